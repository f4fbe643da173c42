"""One group per label: what each stretch of the user's work did."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.columns import Columns, ranked
from ior_nb.aggregate.groups import ByText, Distinct
from ior_nb.aggregate.hosts import Apart
from ior_nb.aggregate.rows import latencies
from ior_nb.aggregate.spent import WAITED, wait_rows, waiting
from ior_nb.aggregate.sums import SUMMED, Measures, Sums, averaged, measured
from ior_nb.aggregate.unrecorded import as_group
from ior_nb.runtime.completeness import Counters
from ior_nb.runtime.rows import Rows, read

__all__ = ["labels"]

_LATEST: Final = (1 << 63) - 1


def labels(rows: Rows, unrecorded: Counters) -> Columns:
    """Return one group per label, most time first; calls without a label have the empty one."""
    groups, files, hosts, measures = ByText("label"), ByText("file"), Apart(), Measures()
    pids, named, about = Distinct(), Distinct(), Sums(("waiting_ns", "first_ns", "last_ns"))
    for batch in read(rows, *dict.fromkeys((*SUMMED, *WAITED, "label", "file", "pid", "host", "time_ns"))):
        at, times, file = groups.of(batch), batch["time_ns"].astype(np.int64), files.of(batch)
        measures.add(batch, at, len(groups))
        pids.add(at, hosts.of(batch, "pid"))
        named.add(at[file != 0], file[file != 0])
        about.grow(len(groups))
        about.add("waiting_ns", at, waiting(batch, wait_rows(batch)))
        about.most("first_ns", at, _LATEST - times)
        about.most("last_ns", at, times + latencies(batch)[0])
    found = np.flatnonzero(measures.sums.columns["calls"])
    columns: Columns = {
        "label": groups.names(found),
        "processes": pids.counts(len(groups)).take(found),
        "files": named.counts(len(groups)).take(found),
        **measured(measures, found),
        "waiting_ns": about.columns["waiting_ns"].take(found),
        "first_ns": _LATEST - about.columns["first_ns"].take(found),
        "last_ns": about.columns["last_ns"].take(found),
    }
    return averaged(as_group(ranked(columns, "time_ns", "calls"), "label", unrecorded))

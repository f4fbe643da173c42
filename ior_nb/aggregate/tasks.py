"""One group per task and file, of rows that know their task: those of a cluster."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.columns import Columns, objects
from ior_nb.aggregate.groups import ByText, Numbers
from ior_nb.aggregate.sums import SUMMED, Measures, measured
from ior_nb.aggregate.unrecorded import as_group
from ior_nb.errors import ConfigError
from ior_nb.runtime.completeness import Counters
from ior_nb.runtime.index import pairs
from ior_nb.runtime.rows import Rows, read
from ior_nb.runtime.strings import StringTable

__all__ = ["tasks"]

_ALL_ROWS: Final[Counters] = {}


def tasks(rows: Rows, by: str = "task_prefix", unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return the measures of each pair of a task and a file; calls in no task, or on no file, have empty names.

    Args:
        rows: the rows.
        by: the column that says whose they are, which is none of ours: `task`, `task_prefix` or `worker`.
        unrecorded: calls that are no rows.

    Raises:
        ConfigError: the rows have no such column.
    """
    names, files, both, measures = StringTable(), ByText("file"), Numbers(), Measures()
    keys = [np.zeros((2, 0), np.intp)]
    there = False
    for batch in read(rows, "file", by, *SUMMED):
        texts, whose = batch.words(by)
        there = there or bool((batch.extras[by] != None).any())  # noqa: E711 - of each value
        task, file = names.intern_many(texts).take(whose).astype(np.intp), files.of(batch)
        at, first = both.of(pairs(task, file))
        keys.append(np.stack([task, file])[:, first])
        measures.add(batch, at.astype(np.intp), len(both))
    if not there:
        raise ConfigError(f"these rows have no column {by!r}: those of a cluster have it (ior_nb.dask.trace)")
    task, file = np.concatenate(keys, axis=1)
    columns: Columns = {by: objects(names.at(task)), "file": files.names(file)}
    return as_group(columns | measured(measures, np.arange(len(both))), "file", unrecorded)

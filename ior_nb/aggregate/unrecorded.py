"""Calls that were counted and are no rows: what tables add, so that their sums are the totals of the trace.

The kernel counts every call by its name, also those that were sampled out or lost. Where the groups of a table are
system calls or families, the missing calls go to their groups; where nobody knows to which they belong, they are a
group of their own.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.columns import Columns, objects
from ior_nb.aggregate.groups import ByText
from ior_nb.aggregate.rows import ways
from ior_nb.aggregate.spent import MEASURED
from ior_nb.aggregate.sums import SUMMED, Measures
from ior_nb.runtime.completeness import COUNTED, UNRECORDED, Counters
from ior_nb.runtime.rows import Rows, read
from ior_nb.syscalls import BY_NAME

__all__ = ["added", "as_group", "counted", "grown", "into_groups", "missing", "sums"]

_MEASURES: Final = ("calls", "errors", "probes", "bytes", "bytes_read", "bytes_written", "time_ns", "timed")
_NAMED: Final = {"latency_ns": "time_ns"}
"""What a measure is called in tables, where that is another name than the kernel's."""


def counted(rows: Rows, *, flying: bool = False) -> dict[str, dict[str, int]]:
    """Return what the kernel counts, of these rows: calls that have ended, by name of the system call.

    Args:
        rows: the rows.
        flying: count those in flight too.
    """
    groups, measures = ByText("syscall"), Measures()
    for batch in read(rows, *SUMMED):
        ended = ~batch.in_flight
        part = batch if flying or ended.all() else batch.take(ended)
        at = groups.of(part)
        measures.add(part, at, len(groups))
    found = np.flatnonzero(measures.sums.columns["calls"])
    columns = measures.columns(found)
    values = zip(*(columns[_NAMED.get(measure, measure)].tolist() for measure in COUNTED), strict=True)
    return {name: dict(zip(COUNTED, row, strict=True)) for name, row in zip(groups.names(found), values, strict=True)}


def added(one: Counters, more: Counters) -> dict[str, dict[str, int]]:
    """Return the sum of two counters by system call."""
    return {
        name: {measure: one.get(name, {}).get(measure, 0) + more.get(name, {}).get(measure, 0) for measure in COUNTED}
        for name in dict.fromkeys([*one, *more])
    }


def missing(whole: Counters, rows: Counters) -> dict[str, dict[str, int]]:
    """Return what the whole has and the rows have not, without what they have in common."""
    found = {}
    for name, row in whole.items():
        known = rows.get(name, {})
        left = {measure: max(row.get(measure, 0) - known.get(measure, 0), 0) for measure in COUNTED}
        # Rows know more probes than the kernel does, and their errors are fewer: of both together none is missing.
        failed = sum(row.get(kind, 0) - known.get(kind, 0) for kind in ("errors", "probes"))
        left["probes"] = min(left["probes"], max(failed, 0))
        left["errors"] = max(failed, 0) - left["probes"]
        if left["calls"]:
            found[name] = left
    return found


def sums(unrecorded: Counters) -> Columns:
    """Return the missing calls as columns, a row for each system call."""
    names = list(unrecorded)
    values = {
        _NAMED.get(measure, measure): np.array([unrecorded[name].get(measure, 0) for name in names], np.int64)
        for measure in COUNTED
    }
    read, written = ways(names) * values["bytes"]
    return {
        "syscall": objects(names),
        "family": objects([BY_NAME[name].family if name in BY_NAME else "" for name in names]),
        **values,
        "bytes_read": read,
        "bytes_written": written,
        "timed": values["calls"],
    }


def into_groups(columns: Columns, key: str, unrecorded: Counters) -> Columns:
    """Return the groups of system calls or families with the missing calls in them.

    Args:
        columns: the groups; `timed` is how many calls their time is of.
        key: the column that names them, `syscall` or `family`.
        unrecorded: the missing calls.
    """
    if not unrecorded:
        return columns
    more = sums(unrecorded)
    names = columns[key].tolist()
    numbers = {name: at for at, name in enumerate(dict.fromkeys([*names, *more[key].tolist()]))}
    found = grown(columns, len(numbers))
    found[key] = objects(list(numbers))
    at = np.array([numbers[name] for name in more[key].tolist()])
    for name in _MEASURES:
        if name in found:
            np.add.at(found[name], at, more[name])
    if "family" in found and key != "family":
        found["family"][at] = more["family"]
    if key == "family":
        found["syscalls"] = np.maximum(found["syscalls"], np.bincount(at, minlength=len(numbers)))
    return found


def as_group(columns: Columns, column: str, unrecorded: Counters) -> Columns:
    """Return the groups with one more behind them: all missing calls, `(not recorded)` in that column."""
    if not unrecorded:
        return columns
    totals = {name: int(values.sum()) for name, values in sums(unrecorded).items() if name in _MEASURES}
    found = grown(columns, len(columns[column]) + 1)
    for name in found.keys() & totals.keys():
        found[name][-1] = totals[name]
    found[column][-1] = UNRECORDED
    return found


def grown(columns: Columns, size: int) -> Columns:
    """Return the groups with more behind them, up to `size`: of missing calls, of which nothing is known yet."""
    return {name: _grown(name, values, size) for name, values in columns.items()}


def _grown(name: str, values: np.ndarray, size: int) -> np.ndarray:
    blank = "" if values.dtype == object else np.nan if name == "amplification" else -1 if name in MEASURED else 0
    return np.concatenate([values, np.full(size - len(values), blank, values.dtype)])

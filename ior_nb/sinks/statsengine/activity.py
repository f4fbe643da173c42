"""What each batch adds to the tables of files and processes, and how the rows of a table are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np

from ior_nb.aggregate import Amounts, Reading
from ior_nb.runtime.sheet import ACTIVITY, Ranked, no_activity
from ior_nb.sinks.statsengine.table import OVERFLOW, Table, best

__all__ = ["FROM_SOURCE", "MAXIMA", "RARE", "SUMS", "add", "add_by_process", "add_to_one", "ranked"]

SUMS: Final = ("count", "errors", "read", "written", "fetched", "faulted", "latency", "untimed")
RARE: Final = ("errors", "fetched", "faulted", "untimed")
"""Those few entries have."""
MAXIMA: Final = ("max",)
FROM_SOURCE: Final = ("read", "fetched")
"""Those of a transfer that belong to the file it read from."""


def add(table: Table, entries: np.ndarray, reading: Reading, *, read: bool = True) -> None:
    """Add a batch to the entries of its rows.

    Args:
        table: where to.
        entries: entry of each row.
        reading: the rows.
        read: whether bytes read, and fetched, belong to the same entry.
    """
    table.add("count", entries, 1)
    table.add("latency", entries, reading.latency)
    table.raise_to("max", entries, reading.latency)
    for name, some in _some(reading).items():
        if len(some.rows) and (read or name not in FROM_SOURCE):
            table.add(name, entries.take(some.rows), some.values)
    for name, rows in (("errors", reading.failed), ("untimed", reading.untimed)):
        if len(rows):
            table.add(name, entries.take(rows), 1)


def add_by_process(table: Table, entries: np.ndarray, reading: Reading) -> None:
    """Add a batch to the entries of its processes; those without room share one."""
    read, written = reading.moved_by_process
    sums = {"count": reading.counts.process, "latency": reading.latencies.process, "read": read, "written": written}
    for name, some in (("fetched", reading.fetched), ("faulted", reading.faulted)):
        if len(some.rows):
            sums[name] = reading.by_process(some)
    for name, rows in (("errors", reading.failed), ("untimed", reading.untimed)):
        if len(rows):
            sums[name] = reading.count(rows).process
    for name, values in sums.items():
        table.add(name, entries, values)
    table.raise_to("max", entries, reading.longest.process)


def add_to_one(table: Table, entry: int, reading: Reading) -> None:
    """Add a batch, at least a row, to one entry."""
    columns = table.columns
    columns["max"][entry] = max(columns["max"][entry], reading.longest.call.max())
    columns["latency"][entry] += reading.latencies.call.sum()
    for name, some in _some(reading).items():
        columns[name][entry] += some.values.sum()
    for name, count in (("count", reading.latency), ("errors", reading.failed), ("untimed", reading.untimed)):
        columns[name][entry] += len(count)


def _some(reading: Reading) -> dict[str, Amounts]:
    """Return what some rows have."""
    read, written = reading.moved
    return {"read": read, "written": written, "fetched": reading.fetched, "faulted": reading.faulted}


def _worth(columns: dict[str, np.ndarray], by: str) -> np.ndarray:
    """Return the worth of each entry."""
    worth: np.ndarray = columns["read"] + columns["written"] if by == "bytes" else columns[by].copy()
    return worth


def ranked(
    columns: dict[str, np.ndarray], folded: dict[str, int], folds: int, *, by: str, top: int, pinned: int
) -> tuple[np.ndarray, Callable[[Iterable[Any]], Ranked]]:
    """Choose the best entries of a copied table.

    Args:
        columns: sums and maxima, shape (used,) each; entry 0 is what found no room.
        folded: sums and maxima of entries folded before.
        folds: how many those were.
        by: `count`, `bytes` or `latency`.
        top: rows at most.
        pinned: an entry that has sums of its own and is not ranked; 0 for none.

    Returns:
        The entries, best first; and the function from their keys to the table of them.
    """
    worth = _worth(columns, by)
    some = (columns["count"] > 0) | (columns["read"] > 0)
    some[[OVERFLOW, pinned]] = False
    worth[~some] = -1
    entries = best(worth, top)
    entries = entries[some[entries]]
    known = np.append(entries, pinned) if pinned else entries
    other = no_activity()
    for at, name in enumerate(ACTIVITY):
        if name in MAXIMA:
            rest = columns[name].copy()
            rest[known] = 0
            other[at] = max(int(rest.max()), folded[name])
        elif name in columns:
            other[at] = columns[name].sum() - columns[name][known].sum() + folded[name]
    count = int(np.count_nonzero(some)) - len(entries) + folds

    def values(at: np.ndarray) -> np.ndarray:
        nothing = np.zeros(len(at), np.int64)
        return np.stack([columns[name][at] if name in columns else nothing for name in ACTIVITY], axis=1)

    def table(keys: Iterable[Any]) -> Ranked:
        return Ranked(
            keys=tuple(keys),
            sums=values(entries),
            partial=np.zeros(len(entries), bool),
            other=other,
            folded=count,
            none=values(np.array([pinned]))[0] if pinned else no_activity(),
        )

    return entries, table

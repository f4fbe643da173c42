"""What each batch adds to the tables of files and processes, and how the rows of a table are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ior_nb.aggregate import Amounts
from ior_nb.runtime.index import rows_of
from ior_nb.runtime.sheet import ACTIVITY, Ranked, no_activity
from ior_nb.sinks.statsengine.table import OVERFLOW, Table, best

__all__ = ["MAXIMA", "RARE", "SUMS", "Part", "add", "add_to_one", "ranked"]

SUMS: Final = ("count", "errors", "read", "written", "fetched", "faulted", "latency", "untimed")
RARE: Final = ("errors", "fetched", "faulted", "untimed")
"""Those few entries have."""
MAXIMA: Final = ("max",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What statistics need of the rows of a batch."""

    latency: np.ndarray
    """Of each, int64; 0 where the call has none."""
    read: Amounts
    """Bytes read."""
    written: Amounts
    """Bytes written."""
    fetched: Amounts
    """Bytes devices had to read."""
    faulted: Amounts
    """Bytes that faults on mapped files read."""
    failed: np.ndarray
    """Numbers of the rows that failed."""
    untimed: np.ndarray
    """Numbers of the rows without a latency."""

    def among(self, which: np.ndarray) -> Part:
        """Return that of some rows, by their numbers in ascending order."""
        return Part(
            latency=self.latency[which],
            read=self.read.among(which),
            written=self.written.among(which),
            fetched=self.fetched.among(which),
            faulted=self.faulted.among(which),
            failed=rows_of(np.isin(which, self.failed)),
            untimed=rows_of(np.isin(which, self.untimed)),
        )


def add(table: Table, entries: np.ndarray, part: Part, *, read: bool = True) -> None:
    """Add a batch to the entries of its rows.

    Args:
        table: where to.
        entries: entry of each row.
        part: the numbers.
        read: whether bytes read, and fetched, belong to the same entry.
    """
    table.add("count", entries, 1)
    table.add("latency", entries, part.latency)
    table.raise_to("max", entries, part.latency)
    if read:
        table.add_some("read", entries, part.read)
        table.add_some("fetched", entries, part.fetched)
    table.add_some("written", entries, part.written)
    table.add_some("faulted", entries, part.faulted)
    if len(part.failed):
        table.add("errors", entries[part.failed], 1)
    if len(part.untimed):
        table.add("untimed", entries[part.untimed], 1)


def add_to_one(table: Table, entry: int, part: Part) -> None:
    """Add a batch, at least a row, to one entry."""
    columns = table.columns
    columns["max"][entry] = max(columns["max"][entry], part.latency.max())
    columns["latency"][entry] += part.latency.sum()
    for name, some in (
        ("read", part.read),
        ("written", part.written),
        ("fetched", part.fetched),
        ("faulted", part.faulted),
    ):
        columns[name][entry] += some.values.sum()
    for name, count in (("count", part.latency), ("errors", part.failed), ("untimed", part.untimed)):
        columns[name][entry] += len(count)


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

"""What each batch adds to the tables of files and processes, and how the rows of a table are chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ior_nb.sinks.statsengine.table import OVERFLOW, Table, best

__all__ = ["MAXIMA", "RARE", "SUMS", "Chosen", "Part", "add", "choose", "fields", "numbers"]

SUMS: Final = ("count", "errors", "read", "written", "fetched", "faulted", "latency", "untimed")
RARE: Final = ("errors", "fetched", "faulted", "untimed")
"""Those few entries have."""
MAXIMA: Final = ("max",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The columns of a batch as statistics need them; arrays are int64, shape (n,), unless said otherwise."""

    latency: np.ndarray
    """0 where the call has none."""
    read: np.ndarray | None
    """Bytes read; None where no row has any."""
    written: np.ndarray | None
    """Bytes written; None where no row has any."""
    fetched: np.ndarray
    """Bytes devices had to read."""
    fetching: np.ndarray
    """Numbers of the rows that have any."""
    faults: np.ndarray
    """Numbers of the rows that are faults on mapped files."""
    failed: np.ndarray
    """Numbers of the rows that failed."""
    untimed: np.ndarray
    """Numbers of the rows without a latency."""


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
    if part.read is not None and read:
        table.add("read", entries, part.read)
    if part.written is not None:
        table.add("written", entries, part.written)
    if len(part.fetching) and read:
        table.add("fetched", entries[part.fetching], part.fetched[part.fetching])
    if len(part.faults) and part.read is not None:
        table.add("faulted", entries[part.faults], part.read[part.faults])
    if len(part.failed):
        table.add("errors", entries[part.failed], 1)
    if len(part.untimed):
        table.add("untimed", entries[part.untimed], 1)


def _worth(columns: dict[str, np.ndarray], by: str) -> np.ndarray:
    """Return the worth of each entry."""
    worth: np.ndarray = columns["read"] + columns["written"] if by == "bytes" else columns[by].copy()
    return worth


@dataclass(slots=True)
class Chosen:
    """The entries of a table that become rows, and the sums of the others."""

    entries: np.ndarray
    """Best first."""
    other: dict[str, int] = field(default_factory=dict)
    """Sums and maxima of all that have no row."""
    folded: int = 0
    """How many have no row."""

    @property
    def needed(self) -> bool:
        """Whether there is anything without a row."""
        return self.folded > 0 or any(self.other.values())


def choose(
    columns: dict[str, np.ndarray], folded: dict[str, int], folds: int, *, by: str, top: int, pinned: int
) -> Chosen:
    """Choose the best entries of a copied table.

    Args:
        columns: sums and maxima, shape (used,) each; entry 0 is what found no room.
        folded: sums and maxima of entries folded before.
        folds: how many those were.
        by: `count`, `bytes` or `latency`.
        top: rows at most.
        pinned: an entry that has a row of its own and is not ranked; 0 for none.
    """
    worth = _worth(columns, by)
    some = (columns["count"] > 0) | (columns["read"] > 0)
    some[[OVERFLOW, pinned]] = False
    worth[~some] = -1
    entries = best(worth, top)
    entries = entries[some[entries]]
    known = np.append(entries, pinned) if pinned else entries
    other = {name: int(columns[name].sum()) - int(columns[name][known].sum()) + folded[name] for name in SUMS}
    rest = columns["max"].copy()
    rest[known] = 0
    other["max"] = max(int(rest.max()), folded["max"])
    return Chosen(entries, other, int(np.count_nonzero(some)) - len(entries) + folds)


def numbers(columns: dict[str, np.ndarray], entry: int) -> dict[str, Any]:
    """Return the fields an `Activity` takes from one entry."""
    return fields({name: int(columns[name][entry]) for name in SUMS + MAXIMA})


def fields(values: dict[str, int]) -> dict[str, Any]:
    """Return the fields of an `Activity` by its own names."""
    return {
        "count": values["count"],
        "errors": values["errors"],
        "bytes_read": values["read"],
        "bytes_written": values["written"],
        "fetched_bytes": values["fetched"],
        "faulted_bytes": values["faulted"],
        "latency_total_ns": values["latency"],
        "latency_max_ns": values["max"],
        "timed": values["count"] - values["untimed"],
    }

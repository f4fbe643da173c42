"""`Ranked`: the best rows of a table, and the sums of all that have no row, so that tables of several hosts add up."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

__all__ = ["ACTIVITY", "Ranked", "no_activity"]

ACTIVITY: Final = (
    *("count", "errors", "read", "written", "fetched", "faulted", "latency", "untimed", "files"),
    "max",
)
"""What is known of a file, directory, process or line; all but the last are sums. `files` is for directories alone."""
_WORTH: Final = {"count": ("count",), "bytes": ("read", "written"), "latency": ("latency",)}


def no_activity() -> np.ndarray:
    """Return zeros of the shape of one row."""
    return np.zeros(len(ACTIVITY), np.int64)


def _summed(rows: np.ndarray) -> np.ndarray:
    """Return rows as one."""
    total: np.ndarray = rows.sum(axis=0)
    total[-1] = rows[:, -1].max(initial=0)
    return total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranked:
    """The best rows of a table. Merging never drops one, so it is associative; `best` cuts what is shown."""

    keys: tuple[Any, ...] = ()
    """What each row is of: a text, or the id of a process."""
    sums: np.ndarray = field(default_factory=lambda: np.zeros((0, len(ACTIVITY)), np.int64))
    """By row, then by `ACTIVITY`: int64."""
    partial: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    """Whether a row may lack something, because a table that was merged has no room for it."""
    other: np.ndarray = field(default_factory=no_activity)
    """Sums of all that have no row."""
    folded: int = 0
    """How many those are; one that two of the merged tables have no room for counts twice."""
    none: np.ndarray = field(default_factory=no_activity)
    """Sums of calls that belong to none."""

    def cut(self) -> bool:
        """Return whether there is anything without a row."""
        return self.folded > 0 or bool(self.other.any())

    @classmethod
    def merged(cls, tables: Sequence[Ranked]) -> Ranked:
        """Return the sum of tables, by key."""
        keys = sorted({key for table in tables for key in table.keys})
        place = {key: at for at, key in enumerate(keys)}
        sums = np.zeros((len(keys), len(ACTIVITY)), np.int64)
        partial = np.zeros(len(keys), bool)
        cutting = sum(table.cut() for table in tables)
        without = np.full(len(keys), cutting)
        for table in tables:
            at = np.fromiter(map(place.__getitem__, table.keys), np.int64, len(table.keys))
            sums[at, :-1] += table.sums[:, :-1]
            sums[at, -1] = np.maximum(sums[at, -1], table.sums[:, -1])
            partial[at] |= table.partial
            without[at] -= table.cut()
        nothing = np.zeros((0, len(ACTIVITY)), np.int64)
        return cls(
            keys=tuple(keys),
            sums=sums,
            partial=partial | (without > 0),
            other=_summed(np.stack([table.other for table in tables]) if tables else nothing),
            folded=sum(table.folded for table in tables),
            none=_summed(np.stack([table.none for table in tables]) if tables else nothing),
        )

    def best(self, top: int, by: str, order: Callable[[int], Any] = lambda _: 0) -> Ranked:
        """Return the best rows, best first, with the others summed up.

        Args:
            top: rows at most.
            by: `count`, `bytes` or `latency`.
            order: of rows worth the same; then their keys decide.
        """
        worth = self.sums[:, [ACTIVITY.index(name) for name in _WORTH[by]]].sum(axis=1).tolist()
        ranks = sorted(range(len(self.keys)), key=lambda i: (-worth[i], order(i), self.keys[i]))
        chosen, rest = np.array(ranks[:top], np.int64), np.array(ranks[top:], np.int64)
        return Ranked(
            keys=tuple(self.keys[i] for i in ranks[:top]),
            sums=self.sums[chosen],
            partial=self.partial[chosen],
            other=_summed(np.concatenate([self.other[np.newaxis], self.sums[rest]])),
            folded=self.folded + len(rest),
            none=self.none,
        )

    def renamed(self, keys: Iterable[Hashable]) -> Ranked:
        """Return the table with other keys, in the order of its rows."""
        return Ranked(
            keys=tuple(keys),
            sums=self.sums,
            partial=self.partial,
            other=self.other,
            folded=self.folded,
            none=self.none,
        )

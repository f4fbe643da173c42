"""`Table`: sums by code, dense and bounded. `best`: the ranking of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from ior_nb.runtime.index import grown, once, rows_of

__all__ = ["NO_CODES", "OVERFLOW", "Table", "best"]

OVERFLOW: Final = 0
"""The entry of rows for whose code there was no room."""
NO_CODES: Final = np.zeros(0, np.int64)


def best(values: np.ndarray, count: int) -> np.ndarray:
    """Return where the largest values are, descending; among equals the first.

    Args:
        values: int64, shape (n,).
        count: how many at most.
    """
    if count <= 0:
        return NO_CODES
    if count >= len(values):
        return np.argsort(-values, kind="stable")
    last = np.partition(values, len(values) - count)[len(values) - count]
    above = rows_of(values > last)
    ties = rows_of(values == last)[: count - len(above)]
    chosen = np.concatenate([above, ties])
    chosen.sort()
    return chosen[np.argsort(-values[chosen], kind="stable")]


class Table:
    """Entries with columns of sums, found by code. When it is full, the less used half is folded into one sum.

    Codes of entries that were folded are new again when they come back; what they were stays in `folded`.

    Args:
        sums: names of columns that add up.
        maxima: names of columns that keep the largest.
        marks: names of columns that say something about an entry and have no sum.
        limit: entries at most.
        pinned: a code that is never folded; -1 for none.

    Attributes:
        columns: int64 arrays by name; entry 0 is `OVERFLOW`, entries from `used` on are free.
        codes: the code of each entry.
        folded: sums and maxima of folded entries.
        folds: how many entries were folded.
        fresh: entries opened by the last `entries` call.
        rank: gives the worth of each entry, shape (used,); `count` unless replaced.
        on_fold: is told the entries about to be folded.
    """

    def __init__(
        self,
        sums: tuple[str, ...],
        *,
        maxima: tuple[str, ...] = (),
        marks: tuple[str, ...] = (),
        limit: int,
        pinned: int = -1,
    ) -> None:
        self._sums, self._maxima = sums, maxima
        self._limit = max(limit, 2)
        self._pinned = pinned
        self._entry_of = np.zeros(1024, np.int64)
        self.columns = {name: np.zeros(64, np.int64) for name in sums + maxima + marks}
        self.codes = np.full(64, -1, np.int64)
        self.used = 1
        self.folded = dict.fromkeys(sums + maxima, 0)
        self.folds = 0
        self.fresh = NO_CODES
        self.rank: Callable[[], np.ndarray] = lambda: self.columns["count"][: self.used]
        self.on_fold: Callable[[np.ndarray], None] = lambda _: None
        if pinned >= 0:
            self.entries(np.array([pinned]))

    def entries(self, codes: np.ndarray) -> np.ndarray:
        """Return the entry of each code, opening new ones. May renumber all entries.

        Args:
            codes: integers, shape (n,), n > 0, none negative.

        Returns:
            int64, shape (n,).
        """
        self.fresh = NO_CODES
        self._entry_of = grown(self._entry_of, int(codes.max()) + 1)
        found = self._entry_of.take(codes)
        if found.min() == OVERFLOW:
            new = once(codes[rows_of(found == OVERFLOW)], self._entry_of)
            self._entry_of[new] = OVERFLOW
            self._open(new)
            found = self._entry_of.take(codes)
        return found

    def find(self, code: int) -> int:
        """Return the entry of a code, `OVERFLOW` when it has none."""
        return int(self._entry_of[code]) if code < len(self._entry_of) else OVERFLOW

    def find_all(self, codes: np.ndarray) -> np.ndarray:
        """Return the entry of each code, `OVERFLOW` for those that have none; codes were all known once."""
        return self._entry_of.take(codes)

    def detach(self, code: int) -> None:
        """Let the entry of a code receive nothing more; the code is new again."""
        if code < len(self._entry_of):
            self._entry_of[code] = OVERFLOW

    def recode(self, codes: np.ndarray) -> None:
        """Give the entries other codes: of each entry, shape (used,)."""
        live = rows_of(self.attached())
        self.codes[: self.used] = codes
        self._entry_of = np.zeros(max(1024, int(codes.max()) + 1), np.int64)
        self._entry_of[codes[live]] = live

    def attached(self) -> np.ndarray:
        """Return which entries still receive: bool, shape (used,)."""
        entries = np.arange(self.used)
        attached: np.ndarray = self._entry_of.take(np.maximum(self.codes[: self.used], 0)) == entries
        attached[OVERFLOW] = False
        return attached

    def add(self, name: str, entries: np.ndarray, values: np.ndarray | int) -> None:
        """Add a value per row, int64, or the same for all."""
        np.add.at(self.columns[name], entries, values)

    def raise_to(self, name: str, entries: np.ndarray, values: np.ndarray) -> None:
        """Keep the largest value of each entry."""
        above = rows_of(values > self.columns[name].take(entries))
        if len(above):
            np.maximum.at(self.columns[name], entries[above], values[above])

    def _open(self, codes: np.ndarray) -> None:
        free = self._limit + 1 - self.used
        if len(codes) > free:
            self._fold()
            free = self._limit + 1 - self.used
            self.folds += max(len(codes) - free, 0)
            codes = codes[:free]
        first, self.used = self.used, self.used + len(codes)
        self.codes = grown(self.codes, self.used)
        self.columns = {name: grown(column, self.used) for name, column in self.columns.items()}
        self.codes[first : self.used] = codes
        self.fresh = np.arange(first, self.used)
        self._entry_of[codes] = self.fresh

    def _fold(self) -> None:
        worth = self.rank().copy()
        worth[OVERFLOW] = -1
        if self._pinned >= 0:
            worth[self.find(self._pinned)] = np.iinfo(np.int64).max
        keep = np.sort(best(worth, self._limit // 2))
        keep = keep[keep != OVERFLOW]
        drop = np.ones(self.used, bool)
        drop[keep] = False
        drop[OVERFLOW] = False
        dropped = rows_of(drop)
        if not len(dropped):
            return
        self.on_fold(dropped)
        attached = self.attached()
        for name in self._sums:
            self.folded[name] += int(self.columns[name][dropped].sum())
        for name in self._maxima:
            self.folded[name] = max(self.folded[name], int(self.columns[name][dropped].max()))
        self.folds += len(dropped)
        self._entry_of[self.codes[dropped[attached[dropped]]]] = OVERFLOW
        live = attached[keep]
        self.used = 1 + len(keep)
        for array in (*self.columns.values(), self.codes):
            kept = array[keep]
            array[self.used :] = 0
            array[1 : self.used] = kept
        self._entry_of[self.codes[1 : self.used][live]] = 1 + rows_of(live)

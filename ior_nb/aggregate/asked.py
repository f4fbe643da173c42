"""What a program asked of its files: what it read more than once, what faults brought in, how much more was fetched.

A byte is read again when a call has read it before: of each file, the bytes all calls have read less those of the union
of their ranges. Files are told apart by host, path and inode: what one host has read another has not. Calls whose
position is not known read nothing again.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.groups import Numbers
from ior_nb.aggregate.hosts import Apart
from ior_nb.aggregate.rows import fault_rows, moved
from ior_nb.aggregate.spent import amount
from ior_nb.aggregate.sums import Sums
from ior_nb.runtime import EventBatch
from ior_nb.runtime.index import HALF, pairs

__all__ = ["ASKED", "PLACES", "Asked", "amplification", "moving"]

ASKED: Final = ("syscall", "bytes", "state", "fetched_bytes")
PLACES: Final = ("offset", "old_offset", "inode", "host")
"""The columns of `Asked`; the latter of batches that have `moving` rows."""
_AT_ONCE: Final = 1 << 19
"""Ranges that are put aside before they are united with those before."""
_PARTS: Final = 16
"""So many times files' ranges are united, those of some of them: to sort takes four times the memory they have."""


class Asked:
    """Adds up rows by file: as many ranges are kept as there are that do not touch."""

    def __init__(self) -> None:
        self.sums = Sums(("reread_bytes", "faulted_bytes", "fetched_by_faults"))
        self._inodes, self._numbers = Apart(), Numbers()
        self._files = [np.zeros(0, np.int64)]  # of each number
        self._ranges = [np.zeros((3, 0), np.int64)] * _PARTS  # number of file and inode, begin, end
        self._waiting: list[np.ndarray] = []
        self._many = 0

    def add(
        self,
        batch: EventBatch,
        places: EventBatch,
        at: np.ndarray,
        size: int,
        others: np.ndarray,
        sources: np.ndarray,
    ) -> None:
        """Count rows.

        Args:
            batch: `ASKED` of them.
            places: `PLACES` of them.
            at: the file of each, below `size`.
            size: how many files there are.
            others: rows whose bytes were read from another file.
            sources: which that is, of these rows.
        """
        self.sums.grow(size)
        faults = fault_rows(batch)
        if faults.any():
            rows = np.flatnonzero(faults)
            self.sums.add("faulted_bytes", at[rows], batch["bytes"].view(np.int64)[rows])
            self.sums.add("fetched_by_faults", at[rows], amount(batch, "fetched_bytes")[rows])
        count, start = moved(batch)[0], places["offset"]
        if len(others):
            start, inode, at = start.copy(), places["inode"].copy(), at.copy()
            start[others], inode[others], at[others] = places["old_offset"][others], 0, sources
            places = places.with_columns(inode=inode)
        rows = np.flatnonzero((count > 0) & (start >= 0) & ~faults)
        if not len(rows):
            return
        keys = pairs(at[rows], self._inodes.of(places, "inode", rows))
        numbers, first = self._numbers.of(keys)
        self._files.append((keys.take(first) >> HALF).astype(np.int64))
        self.sums.add("reread_bytes", at[rows], count[rows])
        new = np.array([numbers, start[rows], start[rows] + count[rows]], np.int64)
        self._waiting.append(new)
        self._many += len(rows)
        if self._many > max(_AT_ONCE, sum(known.shape[1] for known in self._ranges)):
            self._unite()

    def _unite(self) -> None:
        for part, known in enumerate(self._ranges):
            mine = [new[:, new[0] % _PARTS == part] for new in self._waiting]
            self._ranges[part] = _united(np.concatenate([known, *mine], axis=1))
        self._waiting, self._many = [], 0

    def columns(self, which: np.ndarray) -> dict[str, np.ndarray]:
        """Return the sums of files, by their numbers."""
        self.sums.grow(int(which.max(initial=-1)) + 1)
        found = {name: values.copy() for name, values in self.sums.columns.items()}
        self._unite()
        files = np.concatenate(self._files)
        for number, begin, end in self._ranges:
            np.subtract.at(found["reread_bytes"], files[number], end - begin)
        return {name: values.take(which) for name, values in found.items()}


def moving(batch: EventBatch) -> bool:
    """Tell whether rows have something to count: failed calls asked for nothing."""
    return bool(batch["bytes"].any()) or bool(fault_rows(batch).any())


def _united(ranges: np.ndarray) -> np.ndarray:
    """Return the union of ranges, those of each file apart, sorted."""
    if not ranges.shape[1]:
        return ranges
    bits = int(ranges[1].max()).bit_length()
    if int(ranges[0].max()).bit_length() + bits < 63:
        order = np.argsort(ranges[0] << bits | ranges[1])  # of one key, which is several times as fast
    else:
        order = np.lexsort((ranges[1], ranges[0]))
    number, begin, end = ranges[:, order]
    reached = _reached(number, end)
    apart = np.append(True, (number[1:] != number[:-1]) | (begin[1:] > reached[:-1]))
    first = np.flatnonzero(apart)
    return np.array([number[first], begin[first], np.maximum.reduceat(end, first)])


def _reached(number: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the largest end of a file so far: the running maximum, those of each file above the last file's."""
    bits = int(end.max()).bit_length()
    if int(number[-1]).bit_length() + bits < 63:
        return np.maximum.accumulate(number << bits | end) & (1 << bits) - 1
    ranked, count = np.sort(end), len(end) + 1  # the ends' ranks are smaller than they are
    return np.asarray(ranked[np.maximum.accumulate(number * count + np.searchsorted(ranked, end)) % count])


def amplification(fetched: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return bytes fetched for each byte asked for, NaN where nothing was asked for or nobody counted.

    Args:
        fetched: bytes devices had to read for calls, below 0 where nobody counted.
        asked: bytes calls read, each once.
    """
    found = np.full(len(fetched), np.nan)
    return np.asarray(np.divide(fetched, asked, out=found, where=(asked > 0) & (fetched >= 0)))

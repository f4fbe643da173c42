"""What a program asked of its files: what it read more than once, what faults brought in, how much more was fetched.

A byte is read again when a call has read it before: of each file, the bytes all calls have read less those of the union
of their ranges. Files are told apart by path and inode. Calls whose position is not known read nothing again.
"""

from __future__ import annotations

import numpy as np

from ior_nb.aggregate.groups import Groups
from ior_nb.aggregate.rows import fault_rows, moved
from ior_nb.runtime import EventBatch

__all__ = ["amplification", "faulted", "read_again"]


def faulted(batch: EventBatch) -> np.ndarray:
    """Return the bytes each row brought in as a fault on a mapped file: int64, 0 for calls."""
    return np.where(fault_rows(batch), batch["bytes"].view(np.int64), 0)


def read_again(batch: EventBatch, others: np.ndarray) -> np.ndarray:
    """Return how many bytes of each row had been read before, or will be by a call that begins further in front: int64.

    Args:
        batch: the rows.
        others: those whose bytes were read from `old_file`.
    """
    again = np.zeros(len(batch), np.int64)
    size = moved(batch)[0]
    start, file, inode = batch["offset"], batch["file"], batch["inode"]
    if len(others):
        start, file, inode = start.copy(), file.copy(), inode.copy()
        start[others], file[others], inode[others] = batch["old_offset"][others], batch["old_file"][others], 0
    rows = np.flatnonzero((size > 0) & (start >= 0) & ~fault_rows(batch))
    if not len(rows):
        return again
    group = Groups(file[rows], inode[rows].view(np.int64)).of_row
    rows = rows[np.lexsort((start[rows], group))]
    group = np.sort(group)
    start, size = start[rows], size[rows]
    end = start + size
    # The largest end before, of the same file: the running maximum of the ends' ranks, those of each file above the
    # last file's.
    ranked, count = np.sort(end), len(rows) + 1
    reached = np.maximum.accumulate(group * count + np.searchsorted(ranked, end))[:-1]
    before = start.copy()
    same = group[1:] == group[:-1]
    before[1:][same] = ranked[reached[same] % count]
    again[rows] = size - np.maximum(end - np.maximum(start, before), 0)
    return again


def amplification(fetched: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return bytes fetched for each byte asked for, NaN where nothing was asked for or nobody counted.

    Args:
        fetched: bytes devices had to read for calls, below 0 where nobody counted.
        asked: bytes calls read, each once.
    """
    found = np.full(len(fetched), np.nan)
    return np.asarray(np.divide(fetched, asked, out=found, where=(asked > 0) & (fetched >= 0)))

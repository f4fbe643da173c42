"""`Rows`: what questions are asked of, wherever the rows are: in memory, or in the row groups of files.

A question reads only the columns it names, a piece at a time, so that it needs as much memory as its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from ior_nb.runtime import progress
from ior_nb.runtime.batch import EventBatch, Source

__all__ = ["Piece", "Rows", "grouped", "pieces", "read"]


class Piece(Protocol):
    """Some of the rows, next to each other; reading it again gives the same rows in the same order."""

    def read(self, *columns: str) -> EventBatch:
        """Return these columns of its rows, and no others; without a name all, those too that are not ours."""

    def some(self, which: np.ndarray, *columns: str) -> EventBatch:
        """Return these columns of some of its rows, by their numbers in ascending order; as `read` returns all."""

    def size(self) -> int:
        """Return how many rows there are to look at, of which it may have fewer."""

    def bounds(self, column: str) -> tuple[int, int] | None:
        """Return between which values a column of numbers is, without reading it; None where nobody knows."""

    def source(self) -> Source:
        """Return the recording its rows are all of."""


class Rows(Protocol):
    """Rows in their order. An `EventBatch` is one piece of them."""

    def pieces(self) -> Iterable[Piece]:
        """Return the pieces, in order."""


def pieces(rows: Rows) -> Iterator[Piece]:
    """Yield the pieces one after the other, for whoever looks at each: a user who waits for it sees how far it is."""
    return progress.over(rows.pieces(), lambda piece: piece.size())


def read(rows: Rows, *columns: str) -> Iterator[EventBatch]:
    """Yield these columns of all rows, piece by piece; batches without a row are left out."""
    for piece in pieces(rows):
        batch = piece.read(*columns)
        if len(batch):
            yield batch


def grouped(batches: Iterable[EventBatch], rows: int) -> Iterator[EventBatch]:
    """Yield the rows of batches in batches of this many, the last one of what is left."""
    waiting: list[EventBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch)
        if count >= rows:
            whole = EventBatch.concat(waiting)
            for at in range(0, count - rows + 1, rows):
                yield whole[at : at + rows]
            waiting, count = [whole[count - count % rows :]], count % rows
    if count:
        yield EventBatch.concat(waiting)

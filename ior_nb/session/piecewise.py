"""`Piecewise`: one look at the rows of a finished trace, as much of it at a time as a view can wait for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import ROWS_AT_ONCE
from ior_nb.runtime.progress import Step
from ior_nb.runtime.rows import Rows

__all__ = ["Piecewise"]


class Piecewise:
    """Rows that are handed out piece by piece, and how far that has come.

    Args:
        rows: the rows.
        columns: those that are wanted.
    """

    def __init__(self, rows: Rows, columns: Sequence[str]) -> None:
        self._pieces = list(rows.pieces())
        self._columns = columns
        self._whole = sum(piece.size() for piece in self._pieces)
        self._next = self._seen = 0
        self._spent = 0.0

    @property
    def over(self) -> bool:
        """Whether all rows were handed out."""
        return self._next >= len(self._pieces)

    def some(self, seconds: float) -> Iterator[EventBatch]:
        """Yield the next rows, a piece at least, until so much time is spent."""
        begin = time.monotonic()
        while not self.over:
            piece = self._pieces[self._next]
            batch = piece.read(*self._columns)
            for at in range(0, len(batch), ROWS_AT_ONCE):
                yield batch[at : at + ROWS_AT_ONCE]
            self._next += 1
            self._seen += piece.size()
            if time.monotonic() - begin >= seconds:
                break
        self._spent += time.monotonic() - begin

    def step(self) -> Step:
        """Return how far it has come, and how long the rest takes."""
        left = self._spent * (self._whole - self._seen) / self._seen if self._seen else -1.0
        return Step("counting", self._seen, self._whole, left)

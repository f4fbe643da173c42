"""`Lines`: sums by line of Python, the user's own of each stack."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate import Reading
from ior_nb.runtime import Recoder, StringTable
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.stacks import IMPORTS, imported, own_frame, parsed, written
from ior_nb.sinks.statsengine.activity import MAXIMA, SUMS, add, add_to_one
from ior_nb.sinks.statsengine.table import Table

__all__ = ["NO_LINE", "Lines"]

NO_LINE: Final = 1
"""The entry of calls without a line."""
_STACKS: Final = 1 << 16
"""Stacks whose line is remembered."""


class Lines:
    """Lines of Python by string code; a line is written as the one frame it is.

    Args:
        limit: how many are kept apart.

    Attributes:
        names: what the codes mean.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stacks = Recoder()
        self._line_of = np.full(1024, -1, np.int64)  # by own code of the stack
        self.names = StringTable()
        self.table = Table(SUMS, maxima=MAXIMA, limit=limit, pinned=0)

    def add(self, reading: Reading) -> None:
        """Add a batch."""
        codes, stacks = reading.batch["stack"], reading.batch.tables["stack"]
        if is_one_value(codes) and not codes[0]:  # no row has one
            add_to_one(self.table, NO_LINE, reading)
        else:
            add(self.table, self.table.entries(self._lines(self._stacks.codes(codes, stacks))), reading)

    def _lines(self, own: np.ndarray) -> np.ndarray:
        """Return the code of the line of each stack."""
        if len(self._stacks.own) > len(self._line_of):
            more = np.full(2 * len(self._stacks.own) - len(self._line_of), -1, np.int64)
            self._line_of = np.concatenate([self._line_of, more])
        new = np.unique(own[self._line_of.take(own) < 0])
        if len(new):
            found = map(parsed, self._stacks.own.at(new))
            frames = [IMPORTS if imported(stack) else own_frame(stack) for stack in found]
            texts = [written([frame]) if frame.function or frame.file else "" for frame in frames]
            self._line_of[new] = self.names.intern_many(texts)
        lines = self._line_of.take(own)
        if len(self._stacks.own) > _STACKS:
            self._forget()
            return self._renamed(lines)
        return lines

    def _forget(self) -> None:
        """Drop the stacks; those that come back are read again."""
        self._stacks = Recoder()
        self._line_of = np.full(1024, -1, np.int64)

    def _renamed(self, lines: np.ndarray) -> np.ndarray:
        """Drop the names of lines that have no entry any more; return the codes of these lines in the new table."""
        if len(self.names) <= 4 * self._limit:
            return lines
        used = np.maximum(self.table.codes[: self.table.used], 0)
        kept = np.unique(np.concatenate([used, lines]))
        names = StringTable()
        new = np.zeros(len(self.names), np.int64)
        new[kept] = names.intern_many(self.names.at(kept))
        self.names = names
        self.table.recode(new[used])
        return np.asarray(new[lines])

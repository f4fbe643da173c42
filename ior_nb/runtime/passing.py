"""`Passing`: the rows that a filter lets pass; pieces that have none of them are not looked at."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from ior_nb.real import Lock
from ior_nb.runtime.batch import EventBatch, Source
from ior_nb.runtime.filter import DIMENSIONS, And, Errors, Filter, Node, Number, Or, Probes, columns_of
from ior_nb.runtime.index import rows_of
from ior_nb.runtime.rows import Piece, Rows

__all__ = ["Passing"]

# Whether any value between two may match.
_MAY: Final[dict[str, Callable[[int, int, int], bool]]] = {
    "=": lambda low, high, value: low <= value <= high,
    "!=": lambda low, high, value: not low == high == value,
    "<": lambda low, _, value: operator.lt(low, value),
    "<=": lambda low, _, value: operator.le(low, value),
    ">": lambda _, high, value: operator.gt(high, value),
    ">=": lambda _, high, value: operator.ge(high, value),
}


_MOST_KNOWN: Final = 1 << 23
"""Rows whose numbers are remembered."""
_FRAME: Final = 256
"""What a piece counts beside its rows."""


class Passing:
    """The rows of others that pass a filter; `Rows` themselves.

    Which rows of a piece pass is remembered, for many questions ask more than once.

    Args:
        rows: the others.
        wanted: the filter.
    """

    def __init__(self, rows: Rows, wanted: Filter) -> None:
        self.rows, self.wanted = rows, wanted
        self.needs = columns_of(wanted)
        self._known: dict[int, tuple[Piece, np.ndarray]] = {}  # by identity, the oldest first
        self._room = _MOST_KNOWN
        self._lock = Lock()  # guards both

    def pieces(self) -> Iterator[_Passed]:
        """Yield the pieces that may have rows that pass."""
        for piece in self.rows.pieces():
            if self.wanted.tree is None or _may_match(self.wanted.tree, piece):
                yield _Passed(piece, self)

    def known(self, piece: Piece) -> np.ndarray | None:
        """Return the numbers of the rows of a piece that pass, if that is remembered."""
        with self._lock:
            found = self._known.get(id(piece))
        return None if found is None else found[1].astype(np.intp)

    def remember(self, piece: Piece, which: np.ndarray) -> None:
        """Remember that; not of rows in memory, which are judged at once and may give way to others."""
        if isinstance(piece, EventBatch):
            return
        with self._lock:
            if id(piece) not in self._known:
                self._known[id(piece)] = piece, which.astype(np.uint32)
                self._room -= len(which) + _FRAME
            while self._room < 0 and len(self._known) > 1:
                _, oldest = self._known.pop(next(iter(self._known)))
                self._room += len(oldest) + _FRAME


class _Passed:
    def __init__(self, piece: Piece, passing: Passing) -> None:
        self._piece, self._passing = piece, passing

    def read(self, *columns: str) -> EventBatch:
        wanted, needs = self._passing.wanted, self._passing.needs
        if not columns:
            batch = self._piece.read()
            return batch.take(rows_of(wanted.mask(batch)))
        which = self._passing.known(self._piece)
        if which is None:
            batch = self._piece.read(*needs)
            which = rows_of(wanted.mask(batch))
            self._passing.remember(self._piece, which)
            if set(columns).issubset(needs):
                return batch.read(*columns).take(which)
        return self._piece.some(which, *columns)

    def some(self, which: np.ndarray, *columns: str) -> EventBatch:
        return self.read(*columns).take(which)

    def size(self) -> int:
        return self._piece.size()

    def bounds(self, column: str) -> None:
        return None

    def source(self) -> Source:
        return self._piece.source()


def _may_match(node: Node, piece: Piece) -> bool:
    """Tell whether a piece can have a row that matches, by what is known without looking."""
    if isinstance(node, And):
        return all(_may_match(part, piece) for part in node.parts)
    if isinstance(node, Or):
        return any(_may_match(part, piece) for part in node.parts)
    if isinstance(node, Errors | Probes):
        return piece.bounds("is_error" if isinstance(node, Errors) else "probe") != (0, 0)
    if isinstance(node, Number) and (known := piece.bounds(DIMENSIONS[node.dimension].columns[0])) is not None:
        return _MAY[node.operator](*known, node.value)
    return True

"""`Passing`: the rows that a filter lets pass; pieces that have none of them are not looked at."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from ior_nb.runtime.batch import EventBatch
from ior_nb.runtime.filter import DIMENSIONS, And, Filter, Node, Number, Or, columns_of
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


class Passing:
    """The rows of others that pass a filter; `Rows` themselves.

    Args:
        rows: the others.
        wanted: the filter.
    """

    def __init__(self, rows: Rows, wanted: Filter) -> None:
        self.rows, self.wanted = rows, wanted
        self.needs = columns_of(wanted)

    def pieces(self) -> Iterator[_Passed]:
        """Yield the pieces that may have rows that pass."""
        for piece in self.rows.pieces():
            if self.wanted.tree is None or _may_match(self.wanted.tree, piece):
                yield _Passed(piece, self.wanted, self.needs)


class _Passed:
    def __init__(self, piece: Piece, wanted: Filter, needs: tuple[str, ...]) -> None:
        self._piece, self._wanted, self._needs = piece, wanted, needs

    def read(self, *columns: str) -> EventBatch:
        if not columns:
            batch = self._piece.read()
            return batch.take(np.flatnonzero(self._wanted.mask(batch)))
        batch = self._piece.read(*self._needs)
        which = np.flatnonzero(self._wanted.mask(batch))
        if set(columns).issubset(self._needs):
            return batch.read(*columns).take(which)
        return self._piece.some(which, *columns)

    def some(self, which: np.ndarray, *columns: str) -> EventBatch:
        return self.read(*columns).take(which)

    def size(self) -> int:
        return self._piece.size()

    def bounds(self, column: str) -> None:
        return None


def _may_match(node: Node, piece: Piece) -> bool:
    """Tell whether a piece can have a row that matches, by what is known without looking."""
    if isinstance(node, And):
        return all(_may_match(part, piece) for part in node.parts)
    if isinstance(node, Or):
        return any(_may_match(part, piece) for part in node.parts)
    if isinstance(node, Number) and (known := piece.bounds(DIMENSIONS[node.dimension].columns[0])) is not None:
        return _MAY[node.operator](*known, node.value)
    return True

"""Rows put together by equal keys, and what can be said about each group."""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["Columns", "Groups", "mean"]

Columns = dict[str, np.ndarray]
"""Equal-length columns by name; text as object arrays."""
PERCENTILES: Final = {"p50_ns": 500, "p90_ns": 900, "p95_ns": 950, "p99_ns": 990, "p999_ns": 999}
"""Name of the column -> rank in thousandths."""


class Groups:
    """Rows put together by equal keys. Groups are numbered from 0, in ascending order of their keys.

    Args:
        *keys: integer arrays, shape (n,).
    """

    def __init__(self, *keys: np.ndarray) -> None:
        of_row, count = _dense(keys[0])
        for key in keys[1:]:
            more, many = _dense(key)
            of_row, count = _dense(of_row * np.int64(max(1, many)) + more)
        self.of_row = of_row
        self.count = count
        self._order = _order(of_row, count)
        self._starts = np.searchsorted(of_row[self._order], np.arange(count))

    def first(self) -> np.ndarray:
        """Return the number of the first row of each group."""
        return self._order[self._starts]

    def sizes(self) -> np.ndarray:
        """Return the number of rows of each group."""
        return np.bincount(self.of_row, minlength=self.count)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of each group, int64."""
        return self._reduced(np.add, values)

    def max(self, values: np.ndarray) -> np.ndarray:
        """Return the largest value of each group, int64."""
        return self._reduced(np.maximum, values)

    def min(self, values: np.ndarray) -> np.ndarray:
        """Return the smallest value of each group, int64."""
        return self._reduced(np.minimum, values)

    def distinct(self, values: np.ndarray) -> np.ndarray:
        """Return how many different values each group has."""
        pairs = Groups(self.of_row, values)
        return np.bincount(self.of_row[pairs.first()], minlength=self.count)

    def _reduced(self, how: np.ufunc, values: np.ndarray) -> np.ndarray:
        if not self.count:
            return np.zeros(0, np.int64)
        result: np.ndarray = how.reduceat(values[self._order].astype(np.int64, copy=False), self._starts)
        return result

    def percentiles(self, values: np.ndarray, which: np.ndarray) -> Columns:
        """Return the nearest-rank percentiles of the values of each group, exact; 0 for a group without any.

        Args:
            values: shape (n,).
            which: bool, shape (n,): the rows that have a value.
        """
        groups, ranked = self.of_row[which], values[which].astype(np.int64, copy=False)
        by_value = np.argsort(ranked)
        order = by_value[_order(groups[by_value], self.count)]
        sizes = np.bincount(groups, minlength=self.count)
        starts = np.cumsum(sizes) - sizes
        ranked = np.append(ranked[order], 0)  # the last one is for groups without a value
        result = {}
        for name, thousandths in PERCENTILES.items():
            rank = np.maximum(1, -(-sizes * thousandths // 1000)) - 1
            result[name] = ranked[np.where(sizes > 0, starts + rank, -1)]
        return result


def _dense(keys: np.ndarray) -> tuple[np.ndarray, int]:
    """Renumber keys from 0 without holes, keeping their order; return the numbers and how many there are."""
    if not len(keys):
        return np.zeros(0, np.int64), 0
    keys = keys.astype(np.int64, copy=False)
    low, high = int(keys.min()), int(keys.max())
    if high - low > 8 * len(keys) + 65_536:
        used, of_row = np.unique(keys, return_inverse=True)
        return of_row.astype(np.int64, copy=False), len(used)
    at = keys - low
    is_used = np.zeros(high - low + 1, bool)
    is_used[at] = True
    return (np.cumsum(is_used) - 1)[at], int(is_used.sum())


def _order(of_row: np.ndarray, count: int) -> np.ndarray:
    """Return the row numbers sorted by group, stable; 16-bit keys take numpy's radix sort."""
    return np.argsort(of_row.astype(np.uint16) if count <= 65_536 else of_row, kind="stable")


def mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return total / count, 0 where there is nothing to divide by."""
    return np.asarray(np.divide(total, count, out=np.zeros(len(total)), where=count > 0))

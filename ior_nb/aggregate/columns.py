"""Equal-length columns by name, and what is done with them when all rows have been looked at."""

from __future__ import annotations

import numpy as np

__all__ = ["Columns", "by_bytes", "in_order", "mean", "objects", "ranked"]

Columns = dict[str, np.ndarray]
"""Equal-length columns by name; text as object arrays."""


def mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return total / count, 0 where there is nothing to divide by."""
    return np.asarray(np.divide(total, count, out=np.zeros(len(total)), where=count > 0))


def objects(values: list[str]) -> np.ndarray:
    """Return strings as an object array."""
    result = np.empty(len(values), object)
    result[:] = values
    return result


def ranked(columns: Columns, *by: str) -> Columns:
    """Return the groups with the largest values first; equal ones by name."""
    if not len(columns[by[0]]):
        return columns
    keys = [-columns[name] for name in reversed(by)]
    return in_order(columns, np.lexsort([np.unique(next(iter(columns.values())), return_inverse=True)[1], *keys]))


def by_bytes(columns: Columns) -> Columns:
    """Return the groups with most bytes read and written first, of these those with most calls, then most time."""
    both = columns["bytes_read"] + columns["bytes_written"]
    found = ranked(columns | {"bytes": both}, "bytes", "calls", "time_ns")
    del found["bytes"]
    return found


def in_order(columns: Columns, order: np.ndarray) -> Columns:
    """Return the groups in another order, or some of them."""
    return {name: values[order] for name, values in columns.items()}

"""Percentiles, exact, of any number of values in bounded memory: first how many are of which size, then the few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from ior_nb.aggregate.columns import Columns
from ior_nb.aggregate.rows import latencies
from ior_nb.runtime import EventBatch
from ior_nb.runtime.rows import Rows, read

__all__ = ["PERCENTILES", "Ranks"]

PERCENTILES: Final = {"p50_ns": 500, "p90_ns": 900, "p95_ns": 950, "p99_ns": 990, "p999_ns": 999}
"""Name of the column -> rank in thousandths."""
_BITS: Final = 7
"""Sizes of a power of two: 128, so that a hundredth of the values of a group, or less, is looked at again."""
_SIZES: Final = 64 << _BITS


class Ranks:
    """Nearest-rank percentiles of the latencies of groups: nobody has to hold all of them to know one.

    All calls are counted by size, 128 sizes to a power of two. Then it is known of which size each percentile is, and
    the rows are read once more for the calls of these sizes alone.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(0, np.int64)

    def add(self, at: np.ndarray, latency: np.ndarray, size: int) -> None:
        """Count calls of the groups `at`, below `size`, that have a latency."""
        if len(self._counts) < size * _SIZES:
            counts = np.zeros(max(size, 2 * len(self._counts) // _SIZES) * _SIZES, np.int64)
            counts[: len(self._counts)] = self._counts
            self._counts = counts
        np.add.at(self._counts, at * _SIZES + _sizes(latency), 1)

    def find(self, rows: Rows, columns: tuple[str, ...], groups: Callable[[EventBatch], np.ndarray]) -> Columns:
        """Return the percentiles, 0 for a group without a value.

        Args:
            rows: those that were added.
            columns: what `groups` needs.
            groups: returns the groups of a batch, as they were.
        """
        counts = self._counts.reshape(-1, _SIZES).cumsum(axis=1)
        total = counts[:, -1] if len(counts) else np.zeros(0, np.int64)
        group = np.arange(len(total))
        places = {}
        wanted = np.zeros(counts.size, bool)
        for name, thousandths in PERCENTILES.items():
            rank = np.maximum(1, -(-total * thousandths // 1000)) - 1
            size = (counts <= rank[:, None]).sum(axis=1)
            size[total == 0] = 0
            below = np.where(size > 0, counts[group, size - 1], 0)
            places[name] = group * _SIZES + size, rank - below
            wanted[places[name][0][total > 0]] = True
        keys, values = self._read(rows, columns, groups, wanted)
        starts = {name: np.searchsorted(keys, key) for name, (key, _) in places.items()}
        values = np.append(values, 0)  # for groups without a value
        return {
            name: values[np.where(total > 0, starts[name] + rank, len(values) - 1)]
            for name, (_, rank) in places.items()
        }

    def _read(
        self, rows: Rows, columns: tuple[str, ...], groups: Callable[[EventBatch], np.ndarray], wanted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the calls of the wanted sizes, sorted: their group and size, and their latency."""
        keys, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for batch in read(rows, *dict.fromkeys((*columns, "latency_ns", "state"))) if wanted.any() else ():
            latency, done = latencies(batch)
            at = groups(batch)
            if not done.all():
                latency, at = latency[done], at[done]
            key = at * _SIZES + _sizes(latency)
            there = np.flatnonzero(wanted.take(key))
            keys.append(key[there])
            values.append(latency[there])
        key, value = np.concatenate(keys), np.concatenate(values)
        order = np.lexsort((value, key))
        return key[order], value[order]


def _sizes(values: np.ndarray) -> np.ndarray:
    """Return the size of each value: the larger the value, the larger it is or the same."""
    # Exponent and first bits of a double stand side by side, and 1.0 is where they begin.
    bits = values.astype(np.float64).view(np.int64) >> (52 - _BITS)
    return np.asarray(np.maximum(bits - (1023 << _BITS) + 1, 0))

"""Log-linear histograms: every power of two in 32 equal parts, so that no value is off by more than 1.6 %.

A histogram is a row of `BUCKETS` counts. Merging is adding; nothing is sampled. The bucket of a value is the exponent
and the upper five bits of the mantissa of the value as a double: no logarithm, no search.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.runtime.statistics import Bucket, Histogram

__all__ = [
    "BUCKETS",
    "COARSE_EDGES",
    "OCTAVES",
    "QUANTILES",
    "buckets_of",
    "coarse",
    "decades",
    "decades_of",
    "octaves_of",
    "quantiles",
]

BUCKETS: Final = 1 + 64 * 32
OCTAVES: Final = 48
"""Powers of two the kernel counts; the last is open above, the first holds 0 too."""
QUANTILES: Final = (500, 900, 950, 990, 999)
"""In thousandths: p50, p90, p95, p99, p99.9."""

_EDGES: Final = tuple(10**k for k in range(3, 10))
_LABELS: Final = ("0", "1us", "10us", "100us", "1ms", "10ms", "100ms", "1s", "+inf")
_SHIFT: Final = 52 - 5
_FIRST: Final = (1023 << 5) - 1  # bucket 0 is the value 0, bucket 1 begins at 1

COARSE_EDGES: Final = np.concatenate([[0.0], np.ldexp(1 + np.arange(257) % 4 / 4, np.arange(257) // 4)])
"""Edges of what `coarse` returns: 0, then four to a power of two; float64, shape (258,), read-only."""
COARSE_EDGES.setflags(write=False)


def _middles() -> np.ndarray:
    """Return the middle of the whole numbers of each bucket."""
    index = np.arange(BUCKETS - 1)
    edges = np.ldexp(1 + (index % 32) / 32, index // 32)
    lower = np.ceil(edges)
    upper = np.maximum(np.ceil(np.append(edges[1:], 2.0**64)) - 1, lower)
    middles = np.minimum(np.floor((lower + upper) / 2), 2.0**63 - 1024)  # the largest double an int64 holds
    return np.concatenate([[0], middles.astype(np.int64)])


_MIDDLES: Final = _middles()


def buckets_of(values: np.ndarray) -> np.ndarray:
    """Return the bucket of each value.

    Args:
        values: int64, shape (n,), not negative.

    Returns:
        int64, shape (n,).
    """
    bits = values.astype(np.float64).view(np.int64)
    bits >>= _SHIFT
    bits -= _FIRST
    return np.maximum(bits, 0, out=bits)


def decades_of(values: np.ndarray) -> np.ndarray:
    """Count the values of each decade exactly: int64, shape (8,)."""
    highest = int(values.max(initial=0))
    below = [0, *(np.count_nonzero(values < e) if e <= highest else len(values) for e in _EDGES), len(values)]
    return np.diff(np.array(below, np.int64))


def octaves_of(counts: np.ndarray) -> np.ndarray:
    """Return the powers of two of histograms, as the kernel counts them.

    Args:
        counts: int64, shape (m, BUCKETS).

    Returns:
        int64, shape (m, OCTAVES).
    """
    octaves = counts[:, 1:].reshape(-1, 64, 32).sum(axis=2)
    octaves[:, 0] += counts[:, 0]
    octaves[:, OCTAVES - 1] += octaves[:, OCTAVES:].sum(axis=1)
    found: np.ndarray = octaves[:, :OCTAVES]
    return found


def coarse(counts: np.ndarray) -> np.ndarray:
    """Merge one histogram, shape (BUCKETS,), for a picture: int64, shape (257,), read-only."""
    merged = np.concatenate([counts[:1], counts[1:].reshape(-1, 8).sum(axis=1)])
    merged.setflags(write=False)
    return merged


def quantiles(counts: np.ndarray) -> list[int]:
    """Return the nearest-rank quantiles `QUANTILES` of one histogram, shape (BUCKETS,); zeros when it is empty."""
    running = np.cumsum(counts)
    total = int(running[-1])
    if not total:
        return [0] * len(QUANTILES)
    ranks = [max(-(-total * q // 1000), 1) for q in QUANTILES]
    found: list[int] = _MIDDLES[np.searchsorted(running, ranks)].tolist()
    return found


def decades(exact: np.ndarray, rows: np.ndarray | None = None, unseen: np.ndarray | None = None) -> Histogram:
    """Return the histogram shown: the eight decades.

    Args:
        exact: decades of the values that are rows, shape (8,).
        rows: the log-linear histogram of the same values; needed with `unseen`.
        unseen: powers of two of values that are no rows, shape (OCTAVES,). They are added.
    """
    counts = [int(c) for c in exact]
    certain = True
    if unseen is not None and rows is not None:
        for octave in np.flatnonzero(unseen).tolist():
            many = int(unseen[octave])
            lower = 1 << octave if octave else 0
            decade = int(np.searchsorted(_EDGES, lower, side="right"))
            edge = _EDGES[decade] if decade < len(_EDGES) else 0
            below = many
            if lower < edge < 2 << octave:
                certain = False
                below = round(many * _share_below(rows, octave, edge))
                counts[decade + 1] += many - below
            counts[decade] += below
    buckets = tuple(
        Bucket(
            label=f"[{_LABELS[i]},{_LABELS[i + 1]})",
            lower_ns=_EDGES[i - 1] if i else 0,
            upper_ns=_EDGES[i] if i < len(_EDGES) else 0,
            count=count,
        )
        for i, count in enumerate(counts)
    )
    return Histogram(total=sum(counts), buckets=buckets, exact=certain)


def _share_below(rows: np.ndarray, octave: int, edge: int) -> float:
    """Return which part of a power of two lies below an edge inside it, going by the rows, else by its width."""
    first = 1 + 32 * octave
    inside = rows[first : first + 32]
    total = int(inside.sum())
    if not total:
        return edge / (1 << octave) - 1
    return int(inside[_MIDDLES[first : first + 32] < edge].sum()) / total

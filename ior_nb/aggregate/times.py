"""When calls happened and how long they took: slots of time, bins of latency, the slowest calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ior_nb.aggregate.columns import Columns, mean
from ior_nb.aggregate.rows import CLASSES, classes, latencies
from ior_nb.aggregate.spent import MEASURED, WAITED, wait_rows
from ior_nb.aggregate.sums import SUMMED, Measures
from ior_nb.runtime import EventBatch, progress
from ior_nb.runtime.rows import Rows, pieces, read

__all__ = ["finished", "heat", "latency_bins", "slowest", "span", "timeline"]

_STEPS: Final = (1, 2, 5)
_LONGEST: Final = 1 << 62
"""More than any call takes, ns."""
_MOST_SLOTS: Final = 100_000
_EDGES: Final = 10 ** (np.arange(19 * 5 + 1) / 5)
"""Of bins of latency: five to a power of ten."""


def span(rows: Rows) -> tuple[int, int] | None:
    """Return when the first and the last of the calls began; None without any."""
    known = []
    for piece in pieces(rows):
        bounds = piece.bounds("time_ns")
        if bounds is None and len(times := piece.read("time_ns")["time_ns"]):
            bounds = int(times.min()), int(times.max())
        if bounds is not None:
            known.append(bounds)
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def slowest(rows: Rows, n: int = 20, *, waiting: bool = False, columns: Sequence[str] = ()) -> EventBatch:
    """Return the n finished calls that took longest, the slowest first, equal ones in order of completion.

    Args:
        rows: the rows.
        n: how many, at most.
        waiting: those that waited for somebody else, instead of those that did not.
        columns: what is wanted of them; by default all there is.
    """
    n = max(0, n)
    best = np.zeros((3, 0), np.int64)  # latency, piece, row in it
    known = list(rows.pieces())
    most = [_LONGEST if (bounds := piece.bounds("latency_ns")) is None else bounds[1] for piece in known]
    order = sorted(range(len(known)), key=lambda number: -most[number])  # so that few of them have to be read
    for number in progress.over(order, lambda number: known[number].size()):
        piece, bar = known[number], int(best[0, -1]) if n and best.shape[1] == n else -1
        if most[number] < bar:
            continue
        at = np.flatnonzero(piece.read("latency_ns")["latency_ns"].astype(np.int64) >= bar)
        if not len(at):
            continue
        batch = piece.some(at, *WAITED)
        latency, done = latencies(batch)
        wanted = np.flatnonzero(done & (wait_rows(batch) == waiting))
        at, latency = at[wanted], latency[wanted]
        if n < len(at):
            limit = np.partition(latency, len(at) - n)[len(at) - n] if n else 0
            at, latency = at[latency >= limit], latency[latency >= limit]
        best = np.concatenate([best, [latency, np.full(len(at), number), at]], axis=1)
        best = best[:, np.lexsort((best[2], best[1], -best[0]))[:n]]
    found: list[EventBatch] = []
    places: list[np.ndarray] = []
    for number in np.unique(best[1]).tolist() or range(len(known[:1])):
        mine = np.flatnonzero(best[1] == number)
        mine = mine[best[2, mine].argsort()]
        found.append(known[number].some(best[2, mine], *columns))
        places.append(mine)
    if not found:
        return EventBatch.empty()
    return EventBatch.concat(found).take(np.argsort(np.concatenate(places)))


def finished(rows: Rows, *, waiting: bool) -> int:
    """Return how many calls there are for `slowest` to choose from."""
    return sum(int((batch.done & (wait_rows(batch) == waiting)).sum()) for batch in read(rows, *WAITED))


def timeline(rows: Rows, *, slot_ns: int | None = None, origin_ns: int | None = None) -> Columns:
    """Return equal slots of time, empty ones too. A call belongs to the slot it started in.

    Args:
        rows: the rows.
        slot_ns: length of a slot; by default the shortest round one that makes no more than 60 of them.
        origin_ns: start of the first slot on the boot clock; by default the earliest row.

    Raises:
        ValueError: the slots are too short for the length of the trace, or not positive.
    """
    start, slot, count = _slots(rows, slot_ns, origin_ns)
    measures = Measures()
    for batch in read(rows, "time_ns", *SUMMED):
        measures.add(batch, _slot_of(batch, start, slot), count)
    found = measures.columns(np.arange(count))
    timed = found.pop("timed")
    shown = ("calls", "errors", "probes", "bytes_read", "bytes_written", "time_ns")
    return {
        "start_s": np.arange(count) * (slot / 1e9),
        "slot_s": np.full(count, slot / 1e9),
        **{name: found[name] for name in shown},
        "mean_ns": mean(found["time_ns"], timed),
        **{name: np.maximum(found[name], 0) for name in MEASURED},
    }


def _slots(rows: Rows, slot_ns: int | None, origin_ns: int | None) -> tuple[int, int, int]:
    """Return start, length and number of the slots of a timeline."""
    whole = span(rows)
    first, last = whole or (origin_ns or 0, origin_ns or 0)
    start = first if origin_ns is None else min(first, origin_ns)
    slot = _round_slot(last - start) if slot_ns is None else int(slot_ns)
    if slot <= 0:
        raise ValueError(f"a slot of {slot} ns: give a positive length")
    count = (last - start) // slot + 1 if whole else 0
    if count > _MOST_SLOTS:
        raise ValueError(f"{count:,} slots of {slot:,} ns are more than {_MOST_SLOTS:,}: give longer ones")
    return start, slot, count


def _slot_of(batch: EventBatch, start: int, slot: int) -> np.ndarray:
    return np.asarray((batch["time_ns"].astype(np.int64) - start) // slot)


def _round_slot(span_ns: int) -> int:
    """Return the shortest slot of 1, 2 or 5 times a power of ten that gives at most 60 of them."""
    size = 1_000
    while True:
        for step in _STEPS:
            if span_ns < 60 * size * step:
                return size * step
        size *= 10


def latency_bins(rows: Rows) -> Columns:
    """Return the latencies of finished calls in logarithmic bins, with one column of counts per byte class.

    Bins go from the first that has a call to the last; calls of less than 1 ns are in the first.
    """
    counts = np.zeros((len(CLASSES), len(_EDGES)), np.int64)
    for batch in read(rows, "syscall", "latency_ns", "state"):
        latency, done = latencies(batch)
        at = classes(batch)[done].astype(np.intp) * len(_EDGES) + _bin_of(latency[done])
        counts += np.bincount(at, minlength=counts.size).reshape(counts.shape)
    low, high = _between(counts.sum(axis=0))
    return {
        "low_ns": _EDGES[low:high],
        "high_ns": _EDGES[low + 1 : high + 1],
        **{name: counts[number, low:high] for number, name in enumerate(CLASSES)},
    }


def heat(rows: Rows, *, origin_ns: int | None = None) -> tuple[Columns, np.ndarray]:
    """Return how many finished calls were how slow, when.

    Returns:
        `start_s`, `slot_s` of the slots of `timeline` and `low_ns`, `high_ns` of the bins of `latency_bins`; and the
        counts: int64, shape (bins, slots).
    """
    start, slot, count = _slots(rows, None, origin_ns)
    counts = np.zeros((len(_EDGES), count), np.int64)
    for batch in read(rows, "time_ns", "latency_ns", "state"):
        latency, done = latencies(batch)
        at = _bin_of(latency[done]) * count + _slot_of(batch, start, slot)[done]
        counts += np.bincount(at, minlength=counts.size).reshape(counts.shape)
    low, high = _between(counts.sum(axis=1))
    axes = {
        "start_s": np.arange(count) * (slot / 1e9),
        "slot_s": np.full(count, slot / 1e9),
        "low_ns": _EDGES[low:high],
        "high_ns": _EDGES[low + 1 : high + 1],
    }
    return axes, counts[low:high]


def _bin_of(latency: np.ndarray) -> np.ndarray:
    return np.asarray(np.searchsorted(_EDGES, np.maximum(latency, 1), side="right") - 1)


def _between(used: np.ndarray) -> tuple[int, int]:
    """Return the first place that is used, and the one behind the last."""
    at = np.flatnonzero(used)
    return (int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0)

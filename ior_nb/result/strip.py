"""What happened when, small enough to be seen at a glance: calls, bytes and waiting in some sixty slots of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.aggregate import Reading
from ior_nb.runtime.index import rows_of

__all__ = ["Slots", "Strip", "drawn"]

SLOTS: Final = 60
"""Slots of a strip."""
_FINE: Final = 1 << 10
"""Slots kept while rows come in: so many that those of a strip can be made of them, wherever they begin."""
_LATEST: Final = 1 << 62
"""Anybody may have written the times of a recording."""
_NAMES: Final = ("calls", "errors", "read", "written", "waiting")
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_HEIGHT: Final = 18


@dataclass(frozen=True, slots=True)
class Strip:
    """The same slots of time for all measures; int64, shape (n,)."""

    calls: np.ndarray
    errors: np.ndarray
    """Those of the calls that failed."""
    read: np.ndarray
    written: np.ndarray
    waiting: np.ndarray
    """Nanoseconds all threads together waited in the slot."""

    def line(self, values: np.ndarray, top: float | None = None) -> str:
        """Return one character a slot, as high as its value; what is there at all is seen."""
        most = float(top if top is not None else values.max(initial=0)) or 1.0
        steps = np.ceil(np.minimum(values / most, 1) * (len(_BLOCKS) - 1)).astype(int)
        return "".join(_BLOCKS[step] for step in steps.tolist())


class Slots:
    """Adds up rows in slots of time that get twice as long as often as it takes for all to fit in."""

    def __init__(self) -> None:
        self._shift = 10  # a slot is 2 ** shift ns
        self._first = -1  # number of the first slot, counted from the clock's zero
        self._sums = np.zeros((len(_NAMES), _FINE), np.int64)

    def add(self, reading: Reading, waits: np.ndarray) -> None:
        """Count rows.

        Args:
            reading: the rows; `time_ns` too.
            waits: numbers of the rows that waited.
        """
        times = reading.batch["time_ns"]
        first, latest = reading.span
        times = (times if latest <= _LATEST else np.minimum(times, np.uint64(_LATEST))).view(np.int64)
        begins = times[waits]
        ends = begins + np.clip(reading.latency[waits], 0, _LATEST - begins)
        self._make_room(min(first, _LATEST), max(min(latest, _LATEST), int(ends.max(initial=0))))
        at = times >> self._shift
        at -= self._first
        self._sums[0] += np.bincount(at, minlength=_FINE)
        if len(reading.failed):
            self._sums[1] += np.bincount(at[reading.failed], minlength=_FINE)
        for sums, some in zip(self._sums[2:4], reading.moved, strict=True):
            if len(some.rows):
                np.add.at(sums, at.take(some.rows), some.values)
        if len(waits):
            self._add_waits(begins, ends)

    def _add_waits(self, begins: np.ndarray, ends: np.ndarray) -> None:
        """Share each wait out among the slots it lasted."""
        size = 1 << self._shift
        first, last = (begins >> self._shift) - self._first, (ends >> self._shift) - self._first
        waiting = self._sums[4]
        # Before a moment inside a slot, the whole slots and a part of one: a wait is what is before its end and not
        # before its begin.
        whole = np.zeros(_FINE + 1, np.int64)
        np.add.at(whole, first, size)
        np.add.at(whole, last, -size)
        waiting += np.cumsum(whole)[:_FINE]
        np.add.at(waiting, first, -(begins & (size - 1)))
        np.add.at(waiting, last, ends & (size - 1))

    def _make_room(self, begin: int, end: int) -> None:
        if 0 <= self._first <= begin >> self._shift and (end >> self._shift) - self._first < _FINE:
            return
        first = begin >> self._shift if self._first < 0 else min(self._first, begin >> self._shift)
        old, used = self._first, _last(self._sums)
        while max(end >> self._shift, old + used if old >= 0 else 0) - first >= _FINE:
            self._shift += 1
            if old >= 0:
                odd = old & 1
                sums = np.zeros_like(self._sums)
                at = (np.arange(_FINE) + odd) >> 1
                for total, values in zip(sums, self._sums, strict=True):
                    np.add.at(total, at, values)
                self._sums, old, used = sums, old >> 1, _last(sums)
            first >>= 1
        if 0 <= first < old:
            self._sums = np.roll(self._sums, old - first, axis=1)
        self._first = first

    def within(self, begin: int, end: int) -> Strip:
        """Return the strip of a stretch of time on the clock of the rows; of all rows where it is empty."""
        sums = np.zeros((len(_NAMES), SLOTS), np.int64)
        if self._first >= 0:
            starts = (np.arange(_FINE) + self._first) << self._shift
            if end <= begin:
                begin, end = int(starts[0]), int(starts[_last(self._sums)]) + (1 << self._shift)
            middles = starts + (1 << self._shift >> 1)
            at = np.clip((middles - begin) * (SLOTS / (end - begin)), 0, SLOTS - 1).astype(int)
            for total, values in zip(sums, self._sums, strict=True):
                np.add.at(total, at, values)
        return Strip(*sums)


def _last(sums: np.ndarray) -> int:
    return int(rows_of(np.asarray(sums.any(axis=0))).max(initial=0))


def drawn(pictures: list[tuple[np.ndarray, str, float]], top: float, name: str) -> str:
    """Return bars over the whole width, one picture's on those of the ones before where they are shares of one."""
    count = len(pictures[0][0])
    out, below = [], np.zeros(count)
    for values, color, strength in pictures:
        for at in rows_of(values).tolist():
            tall = max(float(values[at]) / (top or 1) * _HEIGHT, 1)
            y = _HEIGHT - tall - (below[at] if name == "bytes" else 0)
            out.append(
                f'<rect x="{at}" y="{y:.1f}" width="0.9" height="{tall:.1f}" fill="{color}" fill-opacity="{strength}"/>'
            )
            below[at] += tall
    return (
        f'<svg viewBox="0 0 {count} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{name} over time" '
        f'style="display:block;width:100%;height:{_HEIGHT}px;border-bottom:1px solid rgba(128,128,128,.4)">'
        f"{''.join(out)}</svg>"
    )

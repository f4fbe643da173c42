"""One time axis for recordings of several machines, by the pairs of clocks in their footers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ior_nb.runtime import EventBatch
from ior_nb.runtime.clock import Moment
from ior_nb.runtime.completeness import whole_number

__all__ = ["Axis", "clocks", "moment_of", "sane", "started"]

_SANE: Final = 1 << 62
"""Clocks of real machines say less, ns: anybody may have written a footer."""
_CLOCKS: Final = ("ior_nb.boot_id", "ior_nb.hostname", "ior.hostname")


class Axis:
    """The clocks of recordings, and how far each is moved to be on one.

    A boot clock is the same in all recordings of one run of a machine, whatever is done to its wall clock. Two of them
    are joined by wall clocks: by the difference to the boot clock at the start of a recording and at its end, and in
    between by a straight line. So the axis is as right as the machines' wall clocks are.

    Args:
        footers: of the recordings.
    """

    def __init__(self, footers: Sequence[Mapping[str, str]]) -> None:
        self._pairs = [_pairs(footer) for footer in footers]
        clocks = [next((text for key in _CLOCKS if (text := footer.get(key))), "") for footer in footers]
        one = len(set(clocks)) == 1
        known = [pairs[0] for pairs in self._pairs if pairs]
        self.common = one or len(known) == len(footers)
        """Whether all rows are on one axis; else the times are those of each recording."""
        self.notes: tuple[str, ...] = ()
        """What the reader has to know of it."""
        self.moves = not one and self.common
        """Whether times of recordings are moved."""
        if not self.common:
            self.notes = ("the recordings are of several machines, and not all say when they began: no common time",)
        elif self.moves:
            self.notes = ("several machines on one time axis, as exact as their wall clocks are",)
        # The machine that has run longest: so no time becomes less than nothing.
        self._base = min((pair.wall - pair.boot for pair in known), default=0)
        starts = [wall for footer in footers if (wall := started(footer))]
        first = min(starts, default=0)
        self.began = self.at(first - self._base) if known and self.common else Moment(first, 0)
        """The start of the first recording; zeros where unknown."""

    def at(self, boot: int) -> Moment:
        """Return a moment of the axis on both clocks."""
        return Moment(self._base + boot if self._base else 0, boot)

    def window(self, index: int, times: tuple[int, int]) -> tuple[int, int]:
        """Return a stretch of time of one recording on the axis."""
        begin, end = (int(t) for t in self._on_axis(index, np.array(times, np.int64)))
        return begin, end

    def moved(self, index: int, batch: EventBatch) -> EventBatch:
        """Return rows of one recording with their times on the axis."""
        if not self.moves:
            return batch
        times = np.minimum(batch["time_ns"], np.uint64(_SANE)).astype(np.int64)
        return batch.with_columns(time_ns=self._on_axis(index, times).astype(np.uint64))

    def sql(self, index: int) -> str:
        """Return the time of a row of one recording on the axis, as an expression of SQL."""
        pairs = self._pairs[index]
        first, last = pairs[0], pairs[-1]
        moved = f"CAST(time_ns AS BIGINT) + {first.wall - first.boot - self._base}"
        if drift := (last.wall - last.boot) - (first.wall - first.boot):
            share = f"(CAST(time_ns AS BIGINT) - {first.boot}) / CAST({last.boot - first.boot} AS DOUBLE)"
            moved += f" + CAST(trunc({drift} * least(greatest({share}, 0), 1)) AS BIGINT)"
        return f"CAST(greatest({moved}, 0) AS UBIGINT)"

    def _on_axis(self, index: int, times: np.ndarray) -> np.ndarray:
        if not self.moves:
            return times
        pairs = self._pairs[index]
        first, last = pairs[0], pairs[-1]
        moved = times + (first.wall - first.boot - self._base)
        drift = (last.wall - last.boot) - (first.wall - first.boot)
        if drift:
            share = np.clip((times - first.boot) / (last.boot - first.boot), 0, 1)
            moved += (drift * share).astype(np.int64)
        return np.asarray(np.maximum(moved, 0))


def started(footer: Mapping[str, str]) -> int:
    """Return when a recording began, ns since the epoch, also one of `ior`; 0 where unknown."""
    return moment_of(footer, "started").wall or sane(footer.get("ior.started_at_unix_nano"))


def _pairs(footer: Mapping[str, str]) -> tuple[Moment, ...]:
    """Return the moments a footer has on both clocks: none, its start, or its start and its end.

    An end before the start on either clock is none: a wall clock that was set back would turn the rows around.
    """
    start, end = moment_of(footer, "started"), moment_of(footer, "ended")
    known = [when for when in (start, end) if 0 < when.boot < when.wall]
    return tuple(known[:1] if len(known) == 2 and not (start.boot < end.boot and start.wall < end.wall) else known)


def moment_of(footer: Mapping[str, str], what: str) -> Moment:
    """Return when a recording "started" or "ended", as `clocks` has written it; 0 on a clock it does not say."""
    wall, boot = (sane(footer.get(f"ior_nb.{what}_at_{clock}_nano")) for clock in ("unix", "boot"))
    return Moment(wall, boot)


def sane(said: object) -> int:
    """Return a time that a footer has, ns; 0 for what no clock says."""
    time = whole_number(said) or 0
    return time if 0 < time < _SANE else 0


def clocks(what: str, when: Moment) -> dict[str, str]:
    """Return a moment as the footer of a recording has it; `what` is "started" or "ended"."""
    return {
        f"ior_nb.{what}_at_unix_nano": str(when.wall),
        f"ior_nb.{what}_at_boot_nano": str(when.boot),
    }

"""Time series: sums in slots of half a second."""

from __future__ import annotations

import numpy as np

from ior_nb.runtime.sheet import SLOT_NS

__all__ = ["Series", "slots_between"]


class Series:
    """Sums of several measures over the newest slots; what is older than that is dropped.

    Args:
        measures: how many.
        slots: how many slots are kept.

    Attributes:
        newest: number of the newest slot with data (time // `SLOT_NS`); None before any.
    """

    def __init__(self, measures: int, slots: int) -> None:
        self.slots = slots
        self.newest: int | None = None
        self._sums = np.zeros((measures, slots), np.int64)

    def widen(self, measures: int) -> None:
        """Make room for more measures."""
        if measures > len(self._sums):
            more = np.zeros((max(measures, 2 * len(self._sums)) - len(self._sums), self.slots), np.int64)
            self._sums = np.concatenate([self._sums, more])

    def advance(self, slot: int) -> None:
        """Let the window end at `slot` or later; the slots in between are empty."""
        if self.newest is None:
            self.newest = slot
        elif slot > self.newest:
            if slot - self.newest >= self.slots:
                self._sums[:] = 0
            else:
                self._sums[:, np.arange(self.newest + 1, slot + 1) % self.slots] = 0
            self.newest = slot

    def add(self, slot: int, sums: np.ndarray) -> None:
        """Add one value a measure, shape (m,) with m at most the number of measures, to one slot."""
        self.advance(slot)
        if self.newest is not None and slot > self.newest - self.slots:
            self._sums[: len(sums), slot % self.slots] += sums

    def places(self, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Advance to the newest of `slots`, int64, shape (n,).

        Returns:
            Where each is kept, and which are not too old; None when all are good.
        """
        self.advance(int(slots.max()))
        newest = self.newest if self.newest is not None else 0
        recent = slots > newest - self.slots
        return slots % self.slots, None if recent.all() else recent

    def add_many(
        self, places: np.ndarray, recent: np.ndarray | None, measure: int | np.ndarray, values: np.ndarray | int
    ) -> None:
        """Add a value per row.

        Args:
            places: where each row is kept, from `places`.
            recent: which rows are not too old, from `places`.
            measure: the measure, or one for each row, int64, shape (n,).
            values: int64, shape (n,), or the same for all.
        """
        keys = places + measure * self.slots
        if recent is not None:
            keys = keys[recent]
            values = values if isinstance(values, int) else values[recent]
        np.add.at(self._sums.reshape(-1), keys, values)

    def view(self, now_ns: int, measures: int | None = None) -> tuple[np.ndarray, int]:
        """Return the window that ends now, or at the newest slot if that is later.

        Returns:
            Sums, int64, shape (measures, slots), oldest slot first; and the number of the last slot.
        """
        end = now_ns // SLOT_NS if self.newest is None else max(self.newest, now_ns // SLOT_NS)
        keys = np.arange(end - self.slots + 1, end + 1)
        sums = self._sums[:measures, keys % self.slots]
        sums[:, keys > (end - self.slots if self.newest is None else self.newest)] = 0
        return sums, end


def slots_between(start_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """Return (slot, nanoseconds in it) of an interval; one that is empty or backwards lies in its end's slot."""
    if end_ns <= start_ns:
        return [(end_ns // SLOT_NS, 1)]
    return [
        (slot, min(end_ns, (slot + 1) * SLOT_NS) - max(start_ns, slot * SLOT_NS))
        for slot in range(start_ns // SLOT_NS, (end_ns - 1) // SLOT_NS + 1)
    ]

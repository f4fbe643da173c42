"""`Waiting`: batches that wait for others, because counting one costs the same however few rows it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ior_nb.runtime.batch import EventBatch

__all__ = ["ENOUGH", "Waiting"]

ENOUGH: Final = 1 << 13
"""Rows that wait no longer: more would not stay in a processor's caches while they are joined and counted."""


class Waiting:
    """Puts batches aside until there are enough rows; not for several threads at once.

    Args:
        columns: those that are looked at; others are not joined.
        enough: rows that wait no longer.
    """

    def __init__(self, columns: Sequence[str], enough: int = ENOUGH) -> None:
        self._columns, self._enough = tuple(dict.fromkeys(columns)), enough
        self._batches: list[EventBatch] = []
        self._rows = 0

    def add(self, batch: EventBatch) -> EventBatch | None:
        """Put a batch aside; return all that wait when they are enough."""
        if not self._rows and len(batch) >= self._enough:
            return batch  # itself, so that what is found in it is found once for all who count it
        self._batches.append(batch.read(*self._columns))
        self._rows += len(batch)
        return self.taken() if self._rows >= self._enough else None

    def taken(self) -> EventBatch | None:
        """Return all that wait, which then wait no longer; None where none do."""
        batches, self._batches, self._rows = self._batches, [], 0
        return EventBatch.concat(batches) if batches else None

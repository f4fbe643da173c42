"""`Labelled`: what each stretch of the user's work did, for the summary of a trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.aggregate import Reading, Sums
from ior_nb.runtime import EventBatch, Recoder
from ior_nb.runtime.index import is_nothing

__all__ = ["LabelRow", "Labelled"]

_LABELS: Final = 1 << 16
_SUMS: Final = ("calls", "errors", "read", "written", "latency")


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label."""

    label: str
    calls: int
    errors: int
    bytes_read: int
    bytes_written: int
    latency_ns: int


class Labelled:
    """Adds up batches by label. Of very many labels the half with most time is kept."""

    def __init__(self) -> None:
        self._names = Recoder()
        self._sums = Sums(_SUMS)

    def add(self, batch: EventBatch, reading: Reading) -> None:
        """Count rows that have a label."""
        labels = batch["label"]
        if is_nothing(labels) or not labels.any():
            return
        codes = self._names.codes(labels, batch.tables["label"])
        self._sums.grow(len(self._names.own))
        self._sums.add("calls", codes, 1)
        self._sums.add("latency", codes, reading.latency)
        self._sums.add("errors", codes[reading.failed], 1)
        self._sums.add_some("read", codes, reading.moved.read)
        self._sums.add_some("written", codes, reading.moved.written)
        if len(self._names.own) > _LABELS:
            self._drop()

    def rows(self, most: int) -> tuple[LabelRow, ...]:
        """Return the labels with most time."""
        best = self._ranked()[:most]
        values = zip(
            self._names.own.at(best), *(self._sums.columns[name][best].tolist() for name in _SUMS), strict=True
        )
        return tuple(LabelRow(*one) for one in values)

    def _ranked(self) -> np.ndarray:
        columns = self._sums.columns
        used = np.flatnonzero(columns["calls"])
        used = used[used != 0]
        return np.asarray(used[np.lexsort((columns["calls"][used], columns["latency"][used]))[::-1]])

    def _drop(self) -> None:
        best = self._ranked()[: _LABELS // 2]
        kept = {name: values[best] for name, values in self._sums.columns.items()}
        codes = self._names.keep(best)
        self._sums = Sums(_SUMS)
        self._sums.grow(len(self._names.own))
        for name, values in kept.items():
            self._sums.columns[name][codes] = values

"""`Labelled`: what each stretch of the user's work did, for the summary of a trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.aggregate.sums import Sums
from ior_nb.result.crowd import Moved
from ior_nb.runtime import EventBatch, Recoder

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

    def add(self, batch: EventBatch, latency: np.ndarray, moved: Moved | None) -> None:
        """Count rows that have a label.

        Args:
            batch: rows.
            latency: of each.
            moved: which of them moved bytes.
        """
        labels = batch["label"]
        if not (labels[:1] if labels.strides == (0,) else labels).any():
            return
        codes = self._names.codes(labels, batch.tables["label"]).astype(np.intp)
        self._sums.grow(len(self._names.own))
        self._sums.add("calls", codes, 1)
        self._sums.add("latency", codes, latency)
        self._sums.add("errors", codes[np.flatnonzero(batch.failed)], 1)
        if moved is not None:
            self._sums.add("read", codes[moved.rows], moved.read)
            self._sums.add("written", codes[moved.rows], moved.written)
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

"""Which rows of a run pass the filter, also while it is being changed.

A change begins a new epoch. The kernel program judges a call by one entry of its table and stamps the entry's
generation, the low byte of the epoch, on the record; the rest of the filter of that very epoch is applied here. So a
row is never judged by half of one filter and half of another, however late it arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ior_nb.globalfilter import split
from ior_nb.runtime import EventBatch, Filter, Pushdown
from ior_nb.runtime.batch import is_one_value, repeated

if TYPE_CHECKING:
    from ior_nb.engine.contract import Engine

__all__ = ["Judges"]

_REMEMBERED: Final = 128  # generations back; older ones have long been drained


@dataclass(frozen=True, slots=True)
class _Judge:
    epoch: int
    pushed: Pushdown
    rest: Filter


class Judges:
    """The filters of a run by generation. Changed by one thread, used by another.

    Args:
        engine: one whose `filters` is true decides part of a filter at the source; any other nothing.
        wanted: the filter to begin with.
        epoch: its epoch.
    """

    def __init__(self, engine: Engine, wanted: Filter, epoch: int) -> None:
        self._pushes = engine.filters
        self._judges: dict[int, _Judge] = {}
        self.filter = wanted
        self.epoch = epoch
        self.pushed = self.prepare(wanted, epoch)

    @property
    def generation(self) -> int:
        """What the records of the current epoch carry."""
        return self.epoch & 0xFF if self._pushes else 0

    def prepare(self, wanted: Filter, epoch: int) -> Pushdown:
        """Learn a filter before the engine does; return what the engine is to decide."""
        pushed, rest = split(wanted) if self._pushes else (Pushdown(), wanted)
        generation = epoch & 0xFF if self._pushes else 0
        self._judges[generation] = _Judge(epoch, pushed, rest)
        self._judges.pop((generation - _REMEMBERED) & 0xFF, None)  # never the one that the other thread may look for
        return pushed

    def use(self, wanted: Filter, epoch: int) -> None:
        """The engine has taken it: from now on it is the current one."""
        self.filter, self.epoch = wanted, epoch

    def judge(self, batch: EventBatch) -> tuple[EventBatch, np.ndarray | None]:
        """Return the batch with its epochs, and which rows pass (None: all).

        `filter_epoch` of an engine's batch is the generation of the record.
        """
        generations = batch["filter_epoch"]
        if not len(batch):
            return batch, None
        first = int(generations[0])
        if is_one_value(generations) or (generations == first).all():
            judge = self._judges[first] if first in self._judges else self._judges[self.generation]
            if judge.epoch != first:
                batch = batch.with_columns(filter_epoch=repeated(np.array([judge.epoch], np.uint64), len(batch)))
            return batch, _passes(judge, batch)
        epochs = np.zeros(len(batch), np.uint64)
        passes = np.ones(len(batch), bool)
        for generation in np.unique(generations).tolist():
            rows = np.flatnonzero(generations == generation)
            judge = self._judges.get(generation) or self._judges[self.generation]
            epochs[rows] = judge.epoch
            verdict = _passes(judge, batch.take(rows))
            if verdict is not None:
                passes[rows] = verdict
        return _stamped(batch, epochs), None if passes.all() else passes


def _stamped(batch: EventBatch, epochs: np.ndarray) -> EventBatch:
    return batch.with_columns(filter_epoch=epochs) if (batch["filter_epoch"] != epochs).any() else batch


def _passes(judge: _Judge, batch: EventBatch) -> np.ndarray | None:
    passes = judge.rest.mask(batch) if judge.rest.active else None
    if judge.pushed.active:
        # Calls that have not returned come from outside the program's judgement.
        flying = batch.in_flight
        if flying.any():
            allowed = ~flying | judge.pushed.mask(batch)
            passes = allowed if passes is None else passes & allowed
    return None if passes is None or passes.all() else passes

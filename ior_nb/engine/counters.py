"""The engine `counters`: for places where nothing may be traced. It makes no rows; what there is the host counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from ior_nb.engine.contract import Ended
from ior_nb.engine.counted import COUNTER
from ior_nb.engine.moves import Moves
from ior_nb.engine.player import TOTALS
from ior_nb.errors import ConfigError, SourceError
from ior_nb.runtime import EventBatch, Pushdown, TraceOptions
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.text import brief
from ior_nb.syscalls import SYSCALLS

__all__ = ["CountersEngine"]


class CountersEngine:
    """Traces nothing: a trace has `Trace.host`, what the host counts of this process anyway.

    Args:
        instead_of: why the engine that was meant cannot work here; None where this one was asked for.
    """

    name = "counters"
    replays = False
    can_wait = True
    filters = False
    counts_only = True
    syscalls = SYSCALLS
    title = ""
    how = ""
    caveats: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unfilled: Mapping[str, str] = MappingProxyType({})
    pages: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    moves = Moves()

    def __init__(self, instead_of: SourceError | None = None) -> None:
        self._instead_of = instead_of
        if instead_of is not None:
            why = brief(str(instead_of), 300)
            self.notes = (f"nothing can be traced here: {why}{'' if 'doctor' in why else ' (see %ior doctor)'}",)

    def open(self) -> None:
        """Nothing to load."""

    def start(self, options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        """Begin.

        Raises:
            SourceError: another process is meant, which the engine that this stands in for cannot trace.
            ConfigError: another process is meant.
        """
        scope = options.scope
        if scope.mode != "pids" or scope.pids != (os.getpid(),) or scope.tid:
            if self._instead_of is not None:
                raise self._instead_of
            raise ConfigError(f"the engine counters knows this process as a whole, not {scope}")
        return boot_clock()

    def go_live(self) -> None:
        """There is nothing to hand over."""

    def flush(self) -> dict[str, int]:
        """Return totals of nothing."""
        return dict.fromkeys(TOTALS, 0)

    def counters(self) -> np.ndarray:
        """Return counters of nothing."""
        return np.zeros(512, COUNTER)

    def set_specs(self, enabled: frozenset[int], rates: dict[int, int]) -> None:
        """No call is seen, on or off."""

    def set_filter(self, pushdown: Pushdown, generation: int) -> None:
        """There is nothing to judge."""

    def deaths(self) -> list[tuple[int, int]]:
        """Return nothing: nobody is watched."""
        return []

    def stop(self) -> Ended:
        """End."""
        return Ended(totals=self.flush(), counters=self.counters())

    def close(self) -> None:
        """Nothing to give back."""

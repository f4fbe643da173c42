"""The demo engine: a made-up data-science workload, for docs, tests and first looks. It needs no rights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from ior_nb.engine.contract import Ended
from ior_nb.engine.moves import Moves
from ior_nb.engine.player import Player, sampled
from ior_nb.engine.workload import MAIN, Workload
from ior_nb.errors import ConfigError
from ior_nb.runtime import EventBatch, Pushdown, TraceOptions
from ior_nb.runtime.clock import boot_clock
from ior_nb.syscalls import SYSCALLS

__all__ = ["DemoEngine"]

_CALLS: Final = 512  # system calls have smaller numbers


class DemoEngine:
    """Makes up rows at a steady rate, on the clock of the session: `ior_nb.trace(engine="demo")`.

    The calls asked for, their sampling, and whether children are followed count; whose calls are asked for does not.

    Args:
        seed: of the random numbers.
        rate: calls a second before any choice of calls.
        duration: seconds after which nothing more happens; None for no end.
        clock: now on the boot clock, ns.

    Raises:
        ConfigError: a rate or a duration that is not positive.
    """

    name = "demo"
    replays = False
    counts_only = False
    can_wait = False
    filters = False
    syscalls = SYSCALLS
    title = "demo data"
    notes: tuple[str, ...] = ("demo data: made up, nothing was traced",)
    how = ""
    caveats: tuple[str, ...] = ()
    unfilled: Mapping[str, str] = MappingProxyType({})
    pages: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    moves = Moves()

    def __init__(
        self,
        seed: int = 7,
        rate: float = 20_000,
        duration: float | None = None,
        *,
        clock: Callable[[], int] = boot_clock,
    ) -> None:
        if not 0 < rate <= 1e8 or (duration is not None and not 0 < duration < float("inf")):
            raise ConfigError(f"a demo needs a positive rate and duration, not {rate} calls a second for {duration} s")
        self.seed, self.rate, self.duration = seed, rate, duration
        self._player = Player("ior-demo", clock)
        self._choice: tuple[frozenset[int], dict[int, int]] = (frozenset(), {})
        self._follow = True
        self._start = 0

    def open(self) -> None:
        """Nothing to load."""

    def start(self, options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        """Begin; the same rows come after every start."""
        self._choice = (options.enabled, dict(options.rates))
        self._follow = options.scope.follow
        self._start = self._player.clock()
        self._player.start(self._play, on_batch)
        return self._start

    def go_live(self) -> None:
        """It always is."""

    def flush(self) -> dict[str, int]:
        """Wait until every call that has ended by now has been handed over; return the totals."""
        return self._player.flush()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until `duration` is over, for `timeout` seconds at most; tell whether it is."""
        return self._player.wait(timeout)

    def counters(self) -> np.ndarray:
        """Return the exact counters, those of calls without rows too."""
        return self._player.counters()

    def set_specs(self, enabled: frozenset[int], rates: dict[int, int]) -> None:
        """Change which calls are on, from the next slice of time on."""
        self._choice = (enabled, dict(rates))

    def set_filter(self, pushdown: Pushdown, generation: int) -> None:
        """It judges nothing: every row is handed over."""

    def deaths(self) -> list[tuple[int, int]]:
        """Return nothing: nobody of the demo ends."""
        return []

    def stop(self) -> Ended:
        """End; calls that have not ended yet never began."""
        return self._player.stop()

    def close(self) -> None:
        """End at once. Idempotent."""
        self._player.end()

    # ---- in the player's thread

    def _play(self) -> None:
        workload = Workload(self.seed, self.rate)
        so_far = np.zeros(_CALLS, np.int64)
        limit = None if self.duration is None else self.duration * 1e9
        for calls in workload.slices():
            enabled, rates = self._choice
            wanted = np.isin(calls.number, list(enabled))
            if not self._follow:
                wanted &= calls.columns["pid"] == MAIN
            if limit is not None:
                wanted &= calls.ends < limit
            left = calls.take(wanted)
            keep = sampled(left.number, rates, so_far)
            self._player.pace(workload.batch(left, self._start), self._start + left.ends, keep)
            if limit is not None and calls.ends[-1] >= limit:
                return

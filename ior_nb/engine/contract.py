"""What every engine offers: the session knows an engine by this, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np

from ior_nb.engine.moves import Moves
from ior_nb.runtime import Accounting, EventBatch, Pushdown, TraceOptions
from ior_nb.runtime.values import WITHOUT_STACK
from ior_nb.syscalls import Syscall

__all__ = ["Ended", "Engine", "Feed", "account", "so_far"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What the engine knows when a trace has ended."""

    totals: dict[str, int]
    """The kernel program's totals, `lost_buffer` of the collector, and `open`: calls that had not returned."""
    counters: np.ndarray
    """Exact counters by syscall number: structured array, shape (512,)."""
    notes: tuple[str, ...] = ()
    """What the reader of the result has to know, as far as only the end tells."""
    pages: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Counts of faults on mapped files by path, see `Trace.pages`."""


class Feed:
    """The function to which an engine hands its rows. An engine may keep it longer than the run: then it drops them."""

    def __init__(self, receive: Callable[[EventBatch], None]) -> None:
        self._receive: Callable[[EventBatch], None] | None = receive

    def __call__(self, batch: EventBatch) -> None:
        """Hand rows over, as long as somebody takes them."""
        if (receive := self._receive) is not None:
            receive(batch)

    def close(self) -> None:
        """Drop what comes from now on."""
        self._receive = None


def account(
    totals: Mapping[str, int], *, seen: int, emitted: int, filtered: int, in_flight: int, outside_window: int = 0
) -> Accounting:
    """Return where the calls went.

    Args:
        totals: what an engine counted, of which this takes the losses and what was left out.
        seen: calls begun.
        emitted: finished calls that are rows.
        filtered: calls a filter in this process kept out; those the engine kept out are added.
        in_flight: calls that had not returned.
        outside_window: calls just before or after.
    """
    return Accounting(
        seen=seen,
        emitted=emitted,
        filtered=filtered + totals.get("filtered", 0),
        sampled_out=totals["sampled_out"],
        in_flight=in_flight,
        lost={"ring": totals["lost_ring"], "buffer": totals["lost_buffer"]},
        names_lost=totals["lost_names"],
        unpaired=totals["unpaired"],
        no_start=totals.get("no_start", 0),
        hidden=totals.get("hidden", 0),
        compat=totals["compat"],
        unknown=totals["unknown"],
        threads_lost=totals["slots_full"],
        skipped_runs=totals["skipped_runs"],
        without_stack={reason: totals[reason] for reason in WITHOUT_STACK if totals.get(reason)},
        outside_window=outside_window,
        left_out=totals.get("left_out", 0),
    )


def so_far(totals: Mapping[str, int], filtered: int = 0) -> Accounting:
    """Return where the calls of a trace that goes on went: those nothing is known of are on their way.

    Args:
        totals: what an engine has counted.
        filtered: calls a filter in this process kept out, which may be news to the totals.
    """
    if not totals:
        return Accounting()
    filtered = min(filtered, totals["emitted"])
    emitted = totals["emitted"] - filtered
    known = account(totals, seen=totals["seen"], emitted=emitted, filtered=filtered, in_flight=0)
    return replace(known, in_flight=max(0, known.unaccounted))


@runtime_checkable
class Engine(Protocol):
    """Where events come from. One trace at a time; all methods may be called from any thread."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def can_wait(self) -> bool:
        """Whether it can keep its events until somebody looks (`TraceOptions.quiet`); else rows come at once."""

    @property
    def replays(self) -> bool:
        """Whether its rows are of another time: they belong to whoever listens, whenever they say they began."""

    @property
    def counts_only(self) -> bool:
        """Whether it traces nothing and has no rows: what the host counts is all there is (`Trace.host`)."""

    @property
    def filters(self) -> bool:
        """Whether it decides part of a filter by itself; others are told of no filter, and hand every row over."""

    @property
    def syscalls(self) -> tuple[Syscall, ...]:
        """The system calls there can be rows of: this machine's, or all where rows may be of another."""

    @property
    def title(self) -> str:
        """What is traced, where that is not what was asked for; else empty."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of a result has to know; there when a trace has been started."""

    @property
    def caveats(self) -> tuple[str, ...]:
        """What narrowed the rows before they came here, in words; there when a trace has been started."""

    @property
    def unfilled(self) -> Mapping[str, str]:
        """Columns its rows lack, and why, by their names; there when a trace has been started."""

    @property
    def how(self) -> str:
        """How it gets its rows and what that costs, in a line; empty while there is nothing to say."""

    @property
    def pages(self) -> Mapping[str, Mapping[str, int]]:
        """Counts of faults on mapped files and of writes by path, those of the last flush."""

    @property
    def moves(self) -> Moves:
        """Where files are that were renamed, as far as it saw."""

    def open(self) -> None:
        """Get ready without tracing anything. Idempotent; an IorError says why it cannot work here."""

    def start(self, options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        """Begin, and hand every batch to `on_batch`, in order; return the boot clock, ns, from which on all is seen."""

    def go_live(self) -> None:
        """From now on hand batches over as they come."""

    def flush(self) -> dict[str, int]:
        """Wait until all that happened before has been handed over; return the totals so far."""

    def counters(self) -> np.ndarray:
        """Return the exact counters so far: structured array, shape (512,)."""

    def set_specs(self, enabled: frozenset[int], rates: dict[int, int]) -> None:
        """Change which calls are on, and their sampling."""

    def set_filter(self, pushdown: Pushdown, generation: int) -> None:
        """Judge calls that end from now on by another filter; their rows carry `generation` as `filter_epoch`."""

    def deaths(self) -> list[tuple[int, int]]:
        """Return (pid, boot clock ns) of the processes that ended since the last call."""

    def stop(self) -> Ended:
        """End the trace, the rest handed over."""

    def close(self) -> None:
        """Give everything back. Idempotent."""

"""The bcc engine: system calls traced for real, by a collector process whose frames are decoded here."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ior_nb import errors
from ior_nb.engine.codecount import counter_address
from ior_nb.engine.collected import ENGINES, CollectedEngine
from ior_nb.engine.collector.advice import RECORDING
from ior_nb.engine.collector.hooks import TOLD
from ior_nb.engine.contract import Ended
from ior_nb.engine.pages import settle
from ior_nb.engine.spawn import BUFFER_BYTES, NAME_RING_BYTES, RING_BYTES, Collector, spawn
from ior_nb.engine.spent import WAITS
from ior_nb.runtime import EventBatch, Pushdown, TraceOptions, own
from ior_nb.runtime.text import printable, show_ns
from ior_nb.syscalls.machine import SUPPORTED

__all__ = ["BccEngine", "Ended", "as_json", "cost_of_stacks"]

_WORTH_TELLING_NS: Final = 1_000_000


class BccEngine(CollectedEngine):
    """One collector process, started on first use and kept until `close`.

    One trace at a time. All methods may be called from any thread.

    Args:
        ring_bytes: of the ring of events in the kernel, a power of two.
        buffer_bytes: what the collector keeps for a reader that is slow.
        way: where the program hangs in the kernel: a key of `loader.WAYS`, or "auto", the cheapest that loses nothing
            on this kernel.
    """

    name = "bcc"
    filters = True
    caveats: tuple[str, ...] = ()
    unfilled: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    def __init__(self, *, ring_bytes: int = RING_BYTES, buffer_bytes: int = BUFFER_BYTES, way: str = "auto") -> None:
        super().__init__(buffer_bytes=buffer_bytes)
        self._ring_bytes = ring_bytes
        self._way = way
        self.way = ""
        """Where the program hangs, once it is loaded."""
        self.compiled = False
        """Whether bcc had to compile it; else it came from the cache."""
        self._not_kept = ""
        self._notes: tuple[str, ...] = ()
        self._measured = frozenset[str]()  # what this kernel tells, of `spent.ALL`
        self._skipping = False  # the kernel skipped calls: another way will be chosen when it is loaded anew

    # ---- life

    @property
    def how(self) -> str:
        """Where the program hangs and where it came from, once it is loaded."""
        if self._collector is None or not self.way:
            return ""
        origin = "compiled" if self.compiled else "from the cache"
        return f"bcc: {TOLD[self.way]}, program {origin}" + (f" ({self._not_kept})" if self._not_kept else "")

    def _ready(self) -> bool:
        return super()._ready() and not self._skipping

    def _load(self) -> None:
        self._skipping = False
        answer = self._ask(
            "load",
            event_bytes=self._ring_bytes,
            name_bytes=NAME_RING_BYTES,
            buffer_bytes=self._buffer_bytes,
            way=self._way,
            namespace=os.stat("/proc/self/ns/pid").st_ino,  # noqa: PTH116 - by which a service shows numbers
        )
        self.way, self.compiled, self._not_kept = answer["way"], answer["compiled"], answer["cache"]
        self.unfilled = answer["unfilled"]
        self._measured = frozenset(answer["measured"])
        self.notes = self._notes = (*answer["notes"], *self._sharing.begin(answer["doing"]))

    def _spawn(self) -> Collector:
        if sys.platform != "linux":
            raise errors.SourceUnavailable(
                f"system calls are traced with eBPF, which is Linux only; this is {sys.platform}"
            )
        if not SUPPORTED:
            raise errors.SourceUnavailable(
                f"the system calls of x86-64 and arm64 can be traced, not those of {platform.machine()}; {RECORDING}"
            )
        return spawn()

    # ---- a trace

    def start(self, options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        """Attach.

        Args:
            options: what to trace.
            on_batch: called with every batch, in order, by the pump thread (a quiet trace: by the thread that calls
                `stop`). Batches carry no `seq` and no `cell` yet.

        Returns:
            The boot clock, ns, when the last hook was in place.

        Raises:
            SourceError: it could not start; nothing is attached.
        """
        self.open()
        self._decoder.spent.measured = self._measured - (frozenset() if options.waits else {WAITS})
        self._intake.begin(on_batch, quiet=options.quiet)
        self._intake.moves.watch(options.enabled, options.rates, filtered=options.pushdown.active)
        self._sharing.traced(True)
        answer = self._ask(
            "start",
            scope=dataclasses.asdict(options.scope),
            enabled=sorted(options.enabled),
            rates={str(n): r for n, r in options.rates.items()},
            owner=os.getpid(),
            ignore_tids=list(self.thread_ids()) if self._sharing.works else own.not_users(),
            ignore_pids=[pid for engine in list(ENGINES) if (pid := engine.collector_pid) is not None],
            hurry=list(self.thread_ids()),
            filter=as_json(options.pushdown),
            generation=options.generation,
            waits=options.waits,
            stacks=options.stacks,
            programs=[os.path.realpath(sys.executable), *options.programs] if options.stacks else [],
            counter=[os.getpid(), counter_address()] if options.stacks else None,
        )
        self.notes = self._notes
        if answer["no_stacks"]:
            self.notes += (f"no Python lines: {answer['no_stacks']}",)
        if answer["no_pages"]:
            self.notes += (f"no rows of page_fault: {answer['no_pages']}",)
        self._meet(answer, at_exec=options.scope.at_exec)
        return int(answer["time"])

    def set_filter(self, pushdown: Pushdown, generation: int) -> None:
        """Judge calls that end from now on by another filter; their rows carry `generation` as `filter_epoch`."""
        self._intake.moves.all_seen &= not pushdown.active
        self._ask("filter", filter=as_json(pushdown), generation=generation)

    def set_specs(self, enabled: frozenset[int], rates: dict[int, int]) -> None:
        """Change which calls are on. See `CollectedEngine.set_specs`."""
        self._intake.moves.watch(enabled, rates, filtered=False)
        super().set_specs(enabled, rates)

    def stop(self) -> Ended:
        """Detach, hand over the rest and the calls still open.

        Raises:
            CollectorDied: it was gone; rows that had arrived were handed over before.
        """
        answer = self._end()
        self._skipping = self._way == "auto" and self.way != "tracepoint" and answer["totals"]["skipped_runs"] > 0
        unknown = answer.get("unknown_pythons", {})
        notes = tuple(f"no Python lines of {printable(path)}: {why}" for path, why in unknown.items())
        if uncounted := answer["totals"]["not_counted"]:
            notes += (f"{uncounted:,} faults on mapped files were not counted: more files than there is room for",)
        notes += cost_of_stacks(answer["totals"])
        totals = answer["totals"] | {"open": answer["open"]}
        settle(self._intake.pages, self._intake.moves)
        return Ended(totals=totals, counters=self._counters, notes=notes, pages=self._intake.pages)


def cost_of_stacks(totals: Mapping[str, int]) -> tuple[str, ...]:
    """Return what it took to look at every function of stacks, where that was more than nothing, in a line."""
    count, took = totals["compared"], totals["compared_ns"]
    if took < _WORTH_TELLING_NS:
        return ()
    what = f"{count:,} Python stacks took {show_ns(took)}, {show_ns(took / count)} each"
    why = "their Python does not say whether code is new, so each function was looked at"
    return (f"{what}: {why} (stacks='lines' looks at 12 at most, 'off' at none)",)


def as_json(pushdown: Pushdown) -> dict[str, Any]:
    """Return what `filters.filter_row` of the collector takes; nothing for a filter that lets everything pass."""
    if not pushdown.active:
        return {}
    value, mask = pushdown.comm_words
    return {
        "pid": pushdown.pid,
        "tid": pushdown.tid,
        "calls": None if pushdown.numbers is None else sorted(pushdown.numbers),
        "latency_min": pushdown.latency_min_ns,
        "latency_max": pushdown.latency_max_ns,
        "errors_only": pushdown.errors_only,
        "comm": value.hex(),
        "comm_mask": mask.hex(),
    }

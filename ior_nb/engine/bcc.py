"""The bcc engine: system calls traced for real, by a collector process whose frames are decoded here.

Two threads: `ior-pump` reads the socket and decodes, `ior-control` writes requests. The caller's thread only ever waits
on locks, so that a traced thread makes no call of its own that would show up in the trace.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import sys
import weakref
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from ior_nb import errors
from ior_nb.engine.codecount import counter_address
from ior_nb.engine.collector.advice import RECORDING
from ior_nb.engine.collector.hooks import TOLD
from ior_nb.engine.collector.wire import Frame, Unpacker, pack_json
from ior_nb.engine.contract import Ended
from ior_nb.engine.decode import COUNTER, Decoder, counters_of
from ior_nb.engine.intake import Intake
from ior_nb.engine.pages import settle
from ior_nb.engine.refusals import as_error
from ior_nb.engine.searches import WITHIN_NS
from ior_nb.engine.sharing import Sharing
from ior_nb.engine.spawn import ASLEEP_S, BUFFER_BYTES, NAME_RING_BYTES, RING_BYTES, Collector, spawn, waited
from ior_nb.engine.spent import WAITS
from ior_nb.real import Event, RLock, SimpleQueue, Thread, current
from ior_nb.runtime import EventBatch, Pushdown, TraceOptions, own
from ior_nb.runtime.memory import memory_limit
from ior_nb.runtime.text import printable
from ior_nb.syscalls import NATIVE
from ior_nb.syscalls.machine import SUPPORTED

__all__ = ["BccEngine", "Ended", "as_json"]

_ENGINES: Final[weakref.WeakSet[BccEngine]] = weakref.WeakSet()  # of this process: no trace shows their collectors


class _Answer:
    """A request on its way."""

    def __init__(self) -> None:
        self.ready = Event()
        self.message: dict[str, Any] = {}


class BccEngine:
    """One collector process, started on first use and kept until `close`.

    One trace at a time. All methods may be called from any thread.

    Args:
        ring_bytes: of the ring of events in the kernel, a power of two.
        buffer_bytes: what the collector keeps for a reader that is slow.
        way: where the program hangs in the kernel: a key of `loader.WAYS`, or "auto", the cheapest that loses nothing
            on this kernel.
    """

    name = "bcc"
    replays = False
    counts_only = False
    can_wait = True
    filters = True
    caveats: tuple[str, ...] = ()
    unfilled: Mapping[str, str] = MappingProxyType({})
    syscalls = NATIVE
    title = ""
    notes: tuple[str, ...] = ()

    def __init__(self, *, ring_bytes: int = RING_BYTES, buffer_bytes: int = BUFFER_BYTES, way: str = "auto") -> None:
        self._ring_bytes = ring_bytes
        self._buffer_bytes = min(buffer_bytes, memory_limit() // 8)  # a container may have less than both sides buffer
        self._way = way
        self.way = ""
        """Where the program hangs, once it is loaded."""
        self.compiled = False
        """Whether bcc had to compile it; else it came from the cache."""
        self._not_kept = ""
        self._notes: tuple[str, ...] = ()
        self._measured = frozenset[str]()  # what this kernel tells, of `spent.ALL`
        self._collector: Collector | None = None
        self._lock = RLock()
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Answer] = {}
        self._requests: SimpleQueue[bytes | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._taking = False  # the pump is at work on what the collector sent
        self._sharing = Sharing()
        _ENGINES.add(self)
        self._new_intake()
        self._counters = np.zeros(0, COUNTER)
        self._failure: Exception | None = None
        self._skipping = False  # the kernel skipped calls: another way will be chosen when it is loaded anew
        self._owner = os.getpid()
        self._last_totals: dict[str, int] = {}

    def _new_intake(self) -> None:
        self._decoder = Decoder()
        self._intake = Intake(self._decoder, self._buffer_bytes, self._ask_for_names)

    def _ask_for_names(self) -> None:
        self._requests.put(pack_json(Frame.REQUEST, {"id": 0, "verb": "alive"}))

    # ---- life

    @property
    def collector_pid(self) -> int | None:
        """The collector's process id, None while there is none."""
        return self._collector.pid if self._collector is not None else None

    @property
    def how(self) -> str:
        """Where the program hangs and where it came from, once it is loaded."""
        if self._collector is None or not self.way:
            return ""
        origin = "compiled" if self.compiled else "from the cache"
        return f"bcc: {TOLD[self.way]}, program {origin}" + (f" ({self._not_kept})" if self._not_kept else "")

    def thread_ids(self) -> tuple[int, ...]:
        """Ids of the threads that must not be traced."""
        return tuple(t.native_id for t in self._threads if t.native_id is not None)

    def open(self) -> None:
        """Start the collector and load the program. Nothing is attached yet. Idempotent.

        Raises:
            PermissionDenied: the rights are missing.
            SourceUnavailable: bcc or BTF is missing.
            ProgramRejected: the compiler or the verifier refused the program.
        """
        with self._lock:
            if self._collector is not None and self._failure is None and not self._skipping:
                return
            self._release()
            self._failure = None
            self._skipping = False
            try:
                self._spawn()
                answer = self._ask(
                    "load",
                    event_bytes=self._ring_bytes,
                    name_bytes=NAME_RING_BYTES,
                    buffer_bytes=self._buffer_bytes,
                    way=self._way,
                )
                self.way, self.compiled, self._not_kept = answer["way"], answer["compiled"], answer["cache"]
                self.unfilled = answer["unfilled"]
                self._measured = frozenset(answer["measured"])
                self.notes = self._notes = (*answer["notes"], *self._sharing.begin(answer["doing"]))
            except BaseException:
                self._release()
                raise

    def _spawn(self) -> None:
        if sys.platform != "linux":
            raise errors.SourceUnavailable(
                f"system calls are traced with eBPF, which is Linux only; this is {sys.platform}"
            )
        if not SUPPORTED:
            raise errors.SourceUnavailable(
                f"the system calls of x86-64 and arm64 can be traced, not those of {platform.machine()}; {RECORDING}"
            )
        try:
            self._collector = collector = spawn()
            self._new_intake()
            self._requests = SimpleQueue()
            self._threads = [
                own.OwnThread(self._pump, collector, name="ior-pump"),
                own.OwnThread(self._control, collector, self._requests, name="ior-control"),
            ]
            for thread in self._threads:
                thread.start()
        except OSError as error:
            raise errors.SourceUnavailable(
                f"the collector process cannot be started: {error.strerror or error}"
            ) from error

    def _release(self) -> None:
        self._sharing.end()
        collector, self._collector = self._collector, None
        self._requests.put(None)
        if collector is not None:
            collector.hang_up()  # which wakes the pump
        for thread in self._threads:
            if thread is not current():
                thread.join(timeout=5)
        self._threads = []
        if collector is not None:
            collector.close()

    def close(self) -> None:
        """End the collector; nothing of it is left in the kernel. Idempotent."""
        if os.getpid() != self._owner:  # a forked child must not end its parent's trace
            return
        with self._lock:
            self._release()

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
        scope = options.scope
        self._sharing.traced(True)
        answer = self._ask(
            "start",
            scope={
                "mode": scope.mode,
                "pids": list(scope.pids),
                "follow": scope.follow,
                "tid": scope.tid,
                "uid": scope.uid,
                "cgroup": scope.cgroup,
                "at_exec": scope.at_exec,
            },
            enabled=sorted(options.enabled),
            rates={str(n): r for n, r in options.rates.items()},
            owner=os.getpid(),
            ignore_tids=list(self.thread_ids()) if self._sharing.works else own.not_users(),
            ignore_pids=[pid for engine in list(_ENGINES) if (pid := engine.collector_pid) is not None],
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
        roots = {int(p): up for p, up in answer["roots"].items()}
        running = {int(p): up for p, up in answer["running"].items()}
        self._decoder.names.begin(running if scope.at_exec else running | roots)
        self._decoder.names.set_parents(roots)
        return int(answer["time"])

    def set_specs(self, enabled: frozenset[int], rates: dict[int, int]) -> None:
        """Change which calls are on, live: a map write a row, nothing attached or detached."""
        self._ask("specs", enabled=sorted(enabled), rates={str(n): r for n, r in rates.items()})

    def set_filter(self, pushdown: Pushdown, generation: int) -> None:
        """Judge calls that end from now on by another filter; their rows carry `generation` as `filter_epoch`."""
        self._ask("filter", filter=as_json(pushdown), generation=generation)

    def flush(self) -> dict[str, int]:
        """Wait until everything that happened before has been handed to `on_batch` (quiet: has arrived).

        Returns:
            The totals so far.
        """
        self._last_totals = self._ask("flush")["totals"]
        return self._last_totals

    def counters(self) -> np.ndarray:
        """Return the exact counters so far, after a flush: structured array, shape (512,)."""
        self._ask("flush", counters=True)
        return self._counters

    def stop(self) -> Ended:
        """Detach, hand over the rest and the calls still open.

        Raises:
            CollectorDied: it was gone; rows that had arrived were handed over before.
        """
        try:
            answer = self._ask("stop")
        finally:
            self._sharing.traced(False)
            self._intake.end()
        self._skipping = self._way == "auto" and self.way != "tracepoint" and answer["totals"]["skipped_runs"] > 0
        unknown = answer.get("unknown_pythons", {})
        notes = tuple(f"no Python lines of {printable(path)}: {why}" for path, why in unknown.items())
        if uncounted := answer["totals"]["not_counted"]:
            notes += (f"{uncounted:,} faults on mapped files were not counted: more files than there is room for",)
        totals = answer["totals"] | {"open": answer["open"]}
        settle(self._intake.pages)
        return Ended(totals=totals, counters=self._counters, notes=notes, pages=self._intake.pages)

    # ---- requests

    def _ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        if self._failure is not None:
            raise self._failure
        if self._collector is None:
            raise errors.SessionClosed("the engine is closed")
        number = next(self._ids)
        answer = self._waiting[number] = _Answer()
        self._requests.put(pack_json(Frame.REQUEST, {"id": number, "verb": verb, **arguments}))
        if self._failure is not None:  # it ended in between, and nobody will answer
            answer.ready.set()
        try:
            self._wait_for(answer, verb)
        finally:
            self._waiting.pop(number, None)
        message = answer.message
        if not message:
            raise self._why_it_ended()
        if not message["ok"]:
            raise as_error(message)
        return message

    def _wait_for(self, answer: _Answer, verb: str) -> None:
        collector = self._collector
        pid = collector.pid if collector is not None else None
        if not waited(answer.ready.wait, pid, asleep_s=ASLEEP_S, busy=lambda: self._taking) and collector is not None:
            self._failure = self._failure or errors.CollectorDied(
                f"the collector did nothing about {verb!r} and was ended; the next trace starts another one"
            )
            collector.kill()

    def _why_it_ended(self) -> Exception:
        return self._failure or errors.CollectorDied("the collector ended")

    def _control(self, collector: Collector, requests: SimpleQueue[bytes | None]) -> None:
        while (frame := requests.get()) is not None:
            try:
                collector.send(frame)
            except OSError as error:
                if self._collector is collector and self._failure is None:
                    self._failure = _broken(error, collector)
                collector.kill()  # the pump sees its end, and tells everyone
                return

    def _pump(self, collector: Collector) -> None:
        unpacker = Unpacker()
        buffer = bytearray(4 << 20)
        view = memoryview(buffer)
        failure: Exception
        try:
            while count := self._read(collector, buffer):
                self._taking = True
                for kind, payload in unpacker.feed(view[:count]):
                    self._receive(kind, payload)
                self._taking = False
            said = collector.said()
            failure = errors.CollectorDied(
                f"the collector ended on its own{f' ({said})' if said else ''}; rows that had arrived are kept"
            )
        except OSError as error:
            failure = _broken(error, collector)
        except Exception as error:  # decoding must not end in silence
            failure = errors.SourceError(f"cannot decode what the collector sent: {type(error).__name__}: {error}")
            failure.__cause__ = error
        self._taking = False
        if self._collector is collector:
            self._failure = self._failure or failure
            collector.hang_up()  # its hooks go with it
        for answer in list(self._waiting.values()):
            answer.ready.set()

    def _read(self, collector: Collector, buffer: bytearray) -> int:
        if self._intake.waiting and not collector.sends_within(WITHIN_NS / 1e9):
            self._intake.settle()
        return self._sharing.read(collector, buffer)

    def _receive(self, kind: Frame, payload: bytes) -> None:
        if kind is Frame.ANSWER:
            message = json.loads(payload)
            answer = self._waiting.get(message["id"])
            if answer is not None:
                self._intake.settle()  # whoever asked has to have what came before
                answer.message = message
                answer.ready.set()
        elif kind is Frame.COUNTERS:
            self._counters = counters_of(payload)
        else:
            self._intake.receive(kind, payload)

    def deaths(self) -> list[tuple[int, int]]:
        """Return (pid, boot clock ns) of the processes that ended since the last call."""
        return self._decoder.names.take_deaths()

    def go_live(self) -> None:
        """End the quiet: decode what was kept, and from now on everything as it comes."""
        self._intake.go_live()


def _broken(error: OSError, collector: Collector) -> errors.CollectorDied:
    said = collector.said()
    return errors.CollectorDied(f"the collector's socket broke: {error.strerror}{f' ({said})' if said else ''}")


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

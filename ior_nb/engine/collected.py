"""What engines with a collector process have in common, whatever that process does: requests, answers, frames.

Two threads: `ior-pump` reads the socket and decodes, `ior-control` writes requests. The caller's thread only ever waits
on locks, so that a traced thread makes no call of its own that would show up in the trace.
"""

from __future__ import annotations

import itertools
import json
import os
import weakref
from abc import ABC, abstractmethod
from typing import Any, Final

import numpy as np

from ior_nb import errors
from ior_nb.engine.collector.sizes import possible_cpus
from ior_nb.engine.collector.wire import Frame, Unpacker, pack_json, to_session
from ior_nb.engine.counted import COUNTER, counters_of
from ior_nb.engine.decode import Decoder
from ior_nb.engine.intake import AT_ONCE, Intake
from ior_nb.engine.moves import Moves
from ior_nb.engine.refusals import as_error
from ior_nb.engine.searches import WITHIN_NS
from ior_nb.engine.sharing import Sharing
from ior_nb.engine.spawn import ASLEEP_S, BUFFER_BYTES, Collector, waited
from ior_nb.real import Event, RLock, SimpleQueue, Thread, current
from ior_nb.runtime import own
from ior_nb.runtime.memory import memory_limit
from ior_nb.syscalls import NATIVE

__all__ = ["ENGINES", "CollectedEngine"]

ENGINES: Final[weakref.WeakSet[CollectedEngine]] = weakref.WeakSet()
"""Those of this process: no trace shows their collectors."""


class _Answer:
    """A request on its way."""

    def __init__(self) -> None:
        self.ready = Event()
        self.message: dict[str, Any] = {}


class CollectedEngine(ABC):
    """One collector process, started on first use and kept until `close`; the engine's own part is in subclasses.

    Args:
        buffer_bytes: what the collector keeps for a reader that is slow.
    """

    replays = False
    counts_only = False
    can_wait = True
    syscalls = NATIVE
    title = ""
    _role = "collector"
    """What people know the process as."""

    def __init__(self, *, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._buffer_bytes = min(buffer_bytes, memory_limit() // 8)  # a container may have less than both sides buffer
        self._collector: Collector | None = None
        self._lock = RLock()
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Answer] = {}
        self._requests: SimpleQueue[bytes | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._taking = False  # the pump is at work on what the collector sent
        self._sharing = Sharing()
        ENGINES.add(self)
        self._new_intake()
        self._counters = np.zeros(0, COUNTER)
        self._failure: Exception | None = None
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

    def thread_ids(self) -> tuple[int, ...]:
        """Ids of the threads that must not be traced."""
        return tuple(t.native_id for t in self._threads if t.native_id is not None)

    def open(self) -> None:
        """Start the collector, and have it make ready. Nothing is traced yet. Idempotent.

        Raises:
            PermissionDenied: the rights are missing.
            SourceUnavailable: what it needs is missing here.
            ProgramRejected: the compiler or the verifier refused the program.
        """
        with self._lock:
            if self._ready():
                return
            self._release()
            self._failure = None
            try:
                try:
                    self._connect(self._spawn())
                except OSError as error:
                    raise errors.SourceUnavailable(
                        f"the {self._role} process cannot be started: {error.strerror or error}"
                    ) from error
                self._load()
            except BaseException:
                self._release()
                raise

    def _ready(self) -> bool:
        return self._collector is not None and self._failure is None

    @abstractmethod
    def _spawn(self) -> Collector:
        """Start a collector.

        Raises:
            OSError: it cannot be started.
            SourceUnavailable: it would have nothing to do here.
        """

    @abstractmethod
    def _load(self) -> None:
        """Have it make ready, and keep what it says of itself."""

    def _connect(self, collector: Collector) -> None:
        """Begin to talk to a collector that has just been started."""
        self._collector = collector
        self._new_intake()
        self._requests = SimpleQueue()
        self._threads = [
            own.OwnThread(self._pump, collector, name="ior-pump"),
            own.OwnThread(self._control, collector, self._requests, name="ior-control"),
        ]
        for thread in self._threads:
            thread.start()

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

    def set_specs(self, enabled: frozenset[int], rates: dict[int, int]) -> None:
        """Change which calls are on, live: a map write a row, nothing attached or detached."""
        self._ask("specs", enabled=sorted(enabled), rates={str(n): r for n, r in rates.items()})

    def flush(self) -> dict[str, int]:
        """Wait until everything that happened before has been handed to `on_batch` (quiet: has arrived).

        Returns:
            The totals so far.
        """
        self._last_totals = self._decoder.machinery.totals(self._ask("flush")["totals"])
        return self._last_totals

    def counters(self) -> np.ndarray:
        """Return the exact counters so far, after a flush: structured array, shape (512,)."""
        self._ask("flush", counters=True)
        return self._decoder.machinery.counters(self._counters)

    def _meet(self, answer: dict[str, Any], *, at_exec: bool) -> None:
        """Learn from the answer to a start which processes were there before."""
        roots = {int(pid): parent for pid, parent in answer["roots"].items()}
        running = {int(pid): parent for pid, parent in answer["running"].items()}
        self._decoder.names.begin(running if at_exec else running | roots)
        self._decoder.names.set_parents(roots)

    def _end(self) -> dict[str, Any]:
        """End the trace; return the answer, when all has been handed over."""
        try:
            answer = self._ask("stop")
        finally:
            self._sharing.traced(False)
            self._intake.end()
        machinery = self._decoder.machinery
        self._counters = machinery.counters(self._counters)
        return answer | {"totals": machinery.totals(answer["totals"])}

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
            raise self._error(message)
        return message

    def _error(self, message: dict[str, Any]) -> errors.IorError:
        """Return the error of an answer that is none."""
        return as_error(message)

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
        unpacker = Unpacker(to_session(_processors()))
        buffer = bytearray(AT_ONCE)
        view = memoryview(buffer)
        failure: Exception
        try:
            while count := self._read(collector, buffer):
                self._taking = True
                self._receive(unpacker.feed(view[:count]))
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

    def _receive(self, frames: list[tuple[Frame, bytes]]) -> None:
        begin = 0
        for at, (kind, payload) in enumerate(frames):
            if kind not in (Frame.ANSWER, Frame.COUNTERS):
                continue
            self._intake.receive(frames[begin:at])
            begin = at + 1
            if kind is Frame.COUNTERS:
                self._counters = counters_of(payload)
                continue
            message = json.loads(payload)
            answer = self._waiting.get(message["id"])
            if answer is not None:
                self._intake.settle()  # whoever asked has to have what came before
                answer.message = message
                answer.ready.set()
        self._intake.receive(frames[begin:])

    @property
    def pages(self) -> dict[str, dict[str, int]]:
        """What is counted by file, as of the last flush."""
        return self._intake.pages

    @property
    def moves(self) -> Moves:
        """Where files are that were renamed."""
        return self._intake.moves

    def deaths(self) -> list[tuple[int, int]]:
        """Return (pid, boot clock ns) of the processes that ended since the last call."""
        return self._decoder.names.take_deaths()

    def go_live(self) -> None:
        """End the quiet: decode what was kept, and from now on everything as it comes."""
        self._intake.go_live()


def _processors() -> int:
    try:
        return possible_cpus()
    except (OSError, ValueError):
        return os.cpu_count() or 1


def _broken(error: OSError, collector: Collector) -> errors.CollectorDied:
    said = collector.said()
    return errors.CollectorDied(f"the collector's socket broke: {error.strerror}{f' ({said})' if said else ''}")

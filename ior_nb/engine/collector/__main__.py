"""The collector process: one thread, one loop.

    python -m ior_nb.engine.collector [--socket-fd N] [--owner PID] [--seat SEAT]

It answers requests that come down a Unix stream socket (descriptor 0 unless told otherwise), drains both rings every
few milliseconds and sends what it finds. It ends when the socket closes or its owner dies; the kernel then drops
everything it had loaded.
"""

from __future__ import annotations

import argparse
import array
import collections
import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
from typing import Any, Final

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.bpf import Refused as KernelRefused
from ior_nb.engine.collector.machine import Seat
from ior_nb.engine.collector.processes import Viewer
from ior_nb.engine.collector.rights import missing_rights
from ior_nb.engine.collector.wire import Frame, Unpacker

# A record is written within microseconds, unless the processor that writes it is a virtual one that has to wait.
PATIENCE_S: Final = 10.0
SHORTEST_NAP: Final = 0.002
LONGEST_NAP: Final = 0.025
_FLAGS_AT: Final = wire.HEADER_BYTES + wire.EVENT_BYTES - 2  # before the generation, the last byte
_IN_FLIGHT: Final = bytes(flags for flags in range(256) if flags & wire.EF_IN_FLIGHT)

_DESCRIPTORS: Final = 128
"""A map, a program and a hook are one each: 99 of them on the newest kernels."""


class Refused(Exception):
    """A request that cannot be met; `kind` names the error class the session raises."""

    def __init__(self, kind: str, message: str, log: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.log = log


class Collector:
    """The state of the process."""

    def __init__(self, connection: socket.socket, owner: int, seat: Seat | None = None) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        self._owner_fd = os.pidfd_open(owner) if owner else -1
        self._unpacker = Unpacker(wire.TO_COLLECTOR)
        self._queue: collections.deque[memoryview] = collections.deque()
        self._queued = 0
        self._handed: list[int] = []  # descriptors that go with the next bytes
        self._limit = 512 << 20
        self._seat = seat
        self._tracer: Any = None
        self._dropped_events = self._dropped_in_flight = 0
        self._running = False
        self._nap = LONGEST_NAP

    def run(self) -> None:
        """Serve until the socket closes or the owner dies."""
        poller = select.poll()
        if self._owner_fd >= 0:
            poller.register(self._owner_fd, select.POLLIN)
        while True:
            poller.register(self._socket, self._listens() | (select.POLLOUT if self._queue else 0))
            if self._tracer is not None and self._tracer.stacks is not None:
                poller.register(self._tracer.stacks, select.POLLIN)
            # With unsent data the socket wakes us; the rings are looked at all the same, at their own pace.
            pause = self._pause()
            ready = dict(poller.poll(None if pause is None else pause * 1000))
            if self._owner_fd in ready:
                return
            if self._running:
                self._drain()
            if not self._heard(ready):
                return
            self._send()

    def _listens(self) -> int:
        """Return POLLIN as long as requests are to be heard."""
        return select.POLLIN

    def _pause(self) -> float | None:
        """Return how long nothing may happen, in seconds; None for as long as it takes."""
        return self._nap if self._running or self._queue else None

    def _heard(self, ready: dict[int, int]) -> bool:
        """Answer the requests that have come; tell whether more can come."""
        if not ready.get(self._socket.fileno(), 0) & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return True
        try:
            data = self._received()
        except (BlockingIOError, InterruptedError):
            return True
        for kind, payload in self._unpacker.feed(data):
            if kind is Frame.REQUEST:
                self._answer(payload)
        return data != b""

    def _received(self) -> bytes:
        return self._socket.recv(1 << 20)

    # ---- rings to queue to socket

    def _drain(self) -> None:
        """Move what the rings hold to the queue: names and stacks before the events that use them."""
        tracer = self._tracer
        until = tracer.events.produced
        stacks = tracer.stacks
        rings = [tracer.events, tracer.names] if stacks is None else [tracer.events, tracer.names, stacks.facts]
        fullest = max(ring.waiting / ring.size for ring in rings)
        names_until = tracer.names.produced
        facts_until = stacks.facts.produced if stacks is not None else 0
        deadline = 0.0
        while True:
            while names := tracer.names.read(names_until):
                self._put(Frame.NAMES, names)
            if stacks is not None and (facts := stacks.drain(facts_until)):
                self._put(Frame.FACTS, facts)
            whole = tracer.names.produced - tracer.names.waiting >= names_until
            if whole and (stacks is None or stacks.facts.produced - stacks.facts.waiting >= facts_until):
                break
            deadline = deadline or time.monotonic() + 0.005
            if time.monotonic() > deadline:
                return  # a name is still being written: the events wait for the next round
        while events := tracer.events.read(until):
            if self._queued > self._limit:
                self._dropped_events += len(events) // tracer.events.stride
                flags = events[_FLAGS_AT :: tracer.events.stride]
                self._dropped_in_flight += sum(map(flags.count, _IN_FLIGHT))
            else:
                self._put(Frame.EVENTS, events)
        self._nap = SHORTEST_NAP if fullest > 1 / 32 else min(self._nap * 1.5, LONGEST_NAP)

    def _put(self, kind: Frame, payload: bytes) -> None:
        self._queue.append(memoryview(wire.FRAME.pack(len(payload), kind)))
        self._queue.append(memoryview(payload))
        self._queued += wire.FRAME.size + len(payload)

    def _send(self) -> None:
        while self._queue:
            buffers = [self._queue[i] for i in range(min(len(self._queue), 16))]
            try:
                handed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd])) for fd in self._handed]
                sent = self._socket.sendmsg(buffers, handed)
            except (BlockingIOError, InterruptedError):
                return
            self._handed = []
            self._queued -= sent
            while sent:
                first = self._queue[0]
                if sent < len(first):
                    self._queue[0] = first[sent:]
                    break
                sent -= len(first)
                self._queue.popleft()

    def _flush(self) -> int:
        """Everything that happened before now goes into the queue; return how many records were not ready in time."""
        events = self._tracer.events
        goal = events.produced
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._drain()
            left: int = goal - (events.produced - events.waiting)
            if left <= 0 or time.monotonic() > deadline:
                return max(left, 0) // int(events.stride)
            time.sleep(0.0005)  # who writes them may need this processor

    # ---- requests

    def _answer(self, payload: bytes) -> None:
        number, request = self._request(payload)
        answer: dict[str, Any] = {"id": number, "ok": True}
        try:
            answer |= self._met(request)
        except Refused as error:
            answer |= {"ok": False, "kind": error.kind, "message": str(error), "log": error.log}
        except Exception as error:  # the session must hear of it, whatever it is
            answer |= self._failed(error)
        self._put(Frame.ANSWER, json.dumps(answer).encode())

    def _request(self, payload: bytes) -> tuple[Any, Any]:
        """Return the id of a request, and the request."""
        request = json.loads(payload)
        return request.get("id"), request

    def _met(self, request: Any) -> dict[str, Any]:
        """Do what is asked; return the answer."""
        verb = request["verb"]
        handler = getattr(self, f"_do_{verb}", None)
        if handler is None:
            raise Refused("ConfigError", f"the collector knows no request {verb!r}")
        answer: dict[str, Any] = handler(request)
        return answer

    def _failed(self, error: Exception) -> dict[str, Any]:
        """Return the answer to a request that came to an unexpected end."""
        message = f"{type(error).__name__}: {error}"
        return {"ok": False, "kind": "SourceError", "message": message, "log": traceback.format_exc()}

    def _do_load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the program. {"event_bytes", "name_bytes", "buffer_bytes", "way"}; see `loader.load_program`."""
        if (room := resource.getrlimit(resource.RLIMIT_NOFILE)[0]) < _DESCRIPTORS:
            raise Refused(
                "SourceUnavailable",
                f"the collector may open {room} files, and tracing takes {_DESCRIPTORS}: raise the limit (ulimit -n)",
            )
        if self._tracer is not None:
            return {}
        self._limit = request["buffer_bytes"]
        _check_rights()
        from ior_nb.engine.collector import cache
        from ior_nb.engine.collector.loader import NotHere
        from ior_nb.engine.collector.tracer import Tracer

        before = os.fstat(2).st_size
        try:
            self._tracer = Tracer(
                event_bytes=request["event_bytes"],
                name_bytes=request["name_bytes"],
                way=request.get("way", "auto"),
                viewer=self._viewer(),
                seat=self._seat,
            )
        except (NotHere, ImportError) as error:
            raise Refused("SourceUnavailable", str(error), _said(before)) from error
        except KernelRefused as error:
            raise Refused("ProgramRejected", error.strerror or str(error), error.log) from error
        except Exception as error:  # bcc raises bare Exception when the compiler fails
            raise Refused("ProgramRejected", str(error), _said(before)) from error
        loading = self._tracer.loading
        descriptor, size = self._tracer.doing()
        self._handed = [descriptor]
        return {
            "pid": os.getpid(),
            "cpus": self._tracer.cpus,
            "way": loading.way,
            "compiled": loading.compiled,
            "notes": loading.notes,
            "unfilled": loading.unfilled,
            "measured": loading.measured,
            "cache": loading.cache,
            "folder": str(cache.folder() or ""),
            "doing": size,
        }

    def _viewer(self) -> Viewer:
        """Return who looks."""
        pid, uid, _ = struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return Viewer.of(pid, uid)

    def _do_lines(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load what reads Python stacks, if that can be. {"why": why not; empty when all is well}."""
        tracer = self._loaded()
        tracer.load_stacks()
        return {"why": tracer.no_stacks}

    def _do_trial(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have a tiny program count a few calls; see `trial.examine`."""
        _check_rights()
        from ior_nb.engine.collector import loader, trial
        from ior_nb.engine.collector.bpf import unlimit_memory

        unlimit_memory()
        try:
            found = trial.examine(loader.kernel_btf())
        except loader.NotHere as error:
            raise Refused("SourceUnavailable", str(error)) from error
        except KernelRefused as error:
            raise Refused("ProgramRejected", error.strerror or str(error), error.log) from error
        return {"calls": trial.CALLS, "counted": found.counted}

    def _loaded(self) -> Any:
        if self._tracer is None:
            raise Refused("ConfigError", "load comes first")
        return self._tracer

    def _do_start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Attach. See `Tracer.start`."""
        tracer = self._loaded()
        self._dropped_events = self._dropped_in_flight = 0
        answer: dict[str, Any] = tracer.start(request)
        self._running = True
        return answer

    def _do_specs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Change which calls are on and their sampling rates. {"enabled": [...], "rates": {number: rate}}."""
        self._loaded().set_specs(request["enabled"], {int(n): r for n, r in request["rates"].items()})
        return {}

    def _do_filter(self, request: dict[str, Any]) -> dict[str, Any]:
        """Put another filter in place. {"filter": {...}, "generation": n}; see `filters.filter_row`."""
        self._loaded().set_filter(request["filter"], request["generation"])
        return {}

    def _do_flush(self, request: dict[str, Any]) -> dict[str, Any]:
        """A barrier: what happened before it was sent before its answer. With {"counters": true} they go along."""
        tracer = self._loaded()
        self._flush()
        if request.get("counters"):
            head = json.dumps({"cpus": tracer.cpus}).encode() + b"\n"
            self._put(Frame.COUNTERS, head + tracer.counters())
        if tracer.pages is not None and (counts := tracer.pages.counts()):
            self._put(Frame.CACHED, counts)
        unknown = tracer.stacks.unknown if tracer.stacks is not None else {}
        return {"totals": self._totals(), "queued": self._queued, "unknown_pythons": unknown}

    def _do_alive(self, request: dict[str, Any]) -> dict[str, Any]:
        """Say which ids may still come: whatever was let go before has been sent before."""
        tracer = self._loaded()
        alive = tracer.alive()
        self._flush()
        self._put(Frame.ALIVE, alive)
        return {}

    def _do_stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """Detach, send the rest, the calls still open, and the counters."""
        tracer = self._loaded()
        if not self._running:
            return {"totals": self._totals(), "open": 0}
        tracer.detach()
        self._dropped_events += self._flush()
        opened = tracer.in_flight()
        if opened:
            self._put(Frame.EVENTS, opened)
        self._running = False
        answer = self._do_flush({"counters": True})
        return answer | {"open": tracer.open_calls()}

    def _totals(self) -> dict[str, int]:
        totals: dict[str, int] = self._tracer.totals()
        totals["lost_buffer"] = self._dropped_events
        totals["killed"] -= self._dropped_in_flight  # what is lost is not in flight as well
        return totals

    def close(self) -> None:
        """Unload everything."""
        if self._tracer is not None:
            self._tracer.close()


def _check_rights() -> None:
    lacking = missing_rights()
    if lacking:
        raise Refused("PermissionDenied", lacking)


def _free_limits() -> None:
    """Take limits back that the program has set for itself, as far as may be: they are not meant for us."""
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_AS):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (resource.getrlimit(limit)[1],) * 2)


def _go_first() -> None:
    """Run before ordinary processes: on busy processors a late drain is what loses events."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -15)


def _said(since: int) -> str:
    """Return what the compiler and the verifier have printed on descriptor 2, a file unless started by hand."""
    try:
        return os.pread(2, 1 << 20, since).decode(errors="replace")
    except OSError:
        return ""


def main(arguments: list[str] | None = None) -> int:
    """Run the process."""
    parser = argparse.ArgumentParser(prog="ior-nb collector")
    parser.add_argument("--socket-fd", type=int, default=0)
    parser.add_argument("--owner", type=int, default=os.getppid())
    parser.add_argument("--seat", type=Seat.read)
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):  # Jupyter interrupts whole process groups
        signal.signal(number, signal.SIG_IGN)
    _free_limits()
    _go_first()
    try:
        connection = socket.socket(fileno=options.socket_fd)
    except OSError as error:
        print(f"ior-nb collector: descriptor {options.socket_fd} is no socket ({error})", file=sys.stderr)
        return 2
    collector = Collector(connection, options.owner, options.seat)
    try:
        collector.run()
    except (ConnectionError, BrokenPipeError):
        pass  # the owner is gone
    finally:
        collector.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

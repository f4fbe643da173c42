"""The helper process: it holds the traced programs and speaks the frames of a collector.

It ends when its socket closes or its owner dies, and lets everybody go before; who kills it lets them go as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, Final

from ior_nb.engine.collector.__main__ import Collector, Refused
from ior_nb.engine.collector.processes import descendants, parents, threads
from ior_nb.engine.collector.wire import Frame
from ior_nb.engine.stopped.records import Records, Scope
from ior_nb.engine.stopped.source import Block, Source
from ior_nb.engine.stopped.tasks import has_ended, let_trace, tracer_of, why_not, yama_scope

__all__ = ["Helper", "main"]

_LIVE_S: Final = 0.025
_QUIET_S: Final = 1.0
_LEAVE_S: Final = 3.0
_ENOUGH: Final = 4 << 20
"""Bytes that are understood without being asked for."""


class Helper(Collector):
    """The state of the process.

    Args:
        connection: to the session.
        owner: the process whose end is ours.
        tracer: `strace` or `ptrace`.
    """

    def __init__(self, connection: socket.socket, owner: int, tracer: str) -> None:
        super().__init__(connection, owner)
        self._kind = tracer
        self._source: Source | None = None
        self._records: Records | None = None
        self._began: frozenset[int] = frozenset()
        self._every = _LIVE_S
        self._due = 0.0

    def run(self) -> None:
        """Serve until the socket closes or the owner dies."""
        while True:
            poller = select.poll()
            poller.register(self._owner_fd, select.POLLIN)
            poller.register(self._socket, select.POLLIN | (select.POLLOUT if self._queue else 0))
            for fd in self._source.descriptors if self._source is not None and self._running else ():
                poller.register(fd, select.POLLIN)
            ready = dict(poller.poll(self._every * 1000 if self._running else None))
            if self._owner_fd in ready:
                return
            if self._running:
                self._work()
            if not self._heard(ready):
                return
            self._send()

    def _work(self) -> None:
        """Take what has come, when it is due or much."""
        assert self._source is not None
        now = time.monotonic()
        if self._source.gather() >= _ENOUGH or now >= self._due:
            self._take(self._source.take())
            self._due = now + self._every

    def _take(self, block: Block) -> None:
        assert self._records is not None
        frames = self._records.make(block)
        if frames.names:
            self._put(Frame.NAMES, frames.names)
        if self._queued > self._limit:
            self._records.lose(frames)
        elif frames.events:
            self._put(Frame.EVENTS, frames.events)

    # ---- requests

    def _do_load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Find the tracer, and try it on nobody. {"buffer_bytes"}."""
        self._limit = request["buffer_bytes"]
        if self._source is None:
            if self._kind == "strace":
                from ior_nb.engine.stopped.strace import Strace

                self._source = Strace()
            else:
                from ior_nb.engine.stopped.ptrace import Ptrace

                self._source = Ptrace()
            self._try()
        answer: dict[str, Any] = {"pid": os.getpid(), "about": self._source.about, "doing": 0}
        descriptor, answer["doing"] = self._source.doing
        self._handed = [] if descriptor < 0 else [descriptor]
        return answer

    def _try(self) -> None:
        """Hold a child of ours for a moment: where that is refused, nothing can be traced."""
        assert self._source is not None
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(write)
            let_trace(os.getppid())  # strace is no parent of it
            os.read(read, 1)
            os._exit(0)
        os.close(read)
        try:
            self._attach([child], frozenset())
            self._source.detach()
            self._source.unended()
        finally:
            os.close(write)
            os.waitpid(child, 0)

    def _do_start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Hold the processes of a scope."""
        source = self._loaded()
        if self._running:
            self._do_stop({})
        scope = request["scope"]
        if scope["mode"] != "pids":
            raise Refused(
                "ConfigError", f"{self._kind} traces processes that are named, not {_MODES[scope['mode']]}; bcc does"
            )
        roots = list(scope["pids"])
        tree = parents()
        family = descendants(roots, tree) if scope["follow"] else {}
        family = {pid: parent for pid, parent in family.items() if not has_ended(pid)}
        for pid in roots:
            if (tracer_of(pid) or not threads(pid)) and (reason := why_not(pid)):
                raise Refused("PermissionDenied", f"{self._kind} cannot trace this: {reason}")
        others = [pid for pid in family if pid != os.getpid() and not tracer_of(pid)]
        enabled = frozenset(request["enabled"])
        self._began = enabled
        self._every = _QUIET_S if request["quiet"] else _LIVE_S
        running = {pid: tree.get(pid, 0) for pid in (*roots, *family)}
        self._records = Records(
            Scope(
                pids=frozenset(roots),
                tid=scope["tid"],
                follow=scope["follow"],
                at_exec=scope["at_exec"],
                ignored=frozenset(request["ignore_tids"]),
            ),
            running,
            enabled,
            {int(n): r for n, r in request["rates"].items()},
        )
        self._records.tasks.learn({tid for pid in running for tid in threads(pid)}, {})
        self._attach([*roots, *others], enabled)
        self._running = True
        started = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        held = [pid for pid in family if source.holds(pid)]
        missed = [pid for pid in family if pid not in held and threads(pid) and pid != os.getpid()]
        notes = [f"{len(missed)} processes that ran before are not traced: {why_not(missed[0])}"] if missed else []
        return {
            "time": started,
            "running": {pid: family[pid] for pid in held},
            "roots": {pid: tree.get(pid, 0) for pid in roots},
            "notes": notes,
            "no_stacks": f"{self._kind} does not look into the interpreter" if request["stacks"] else "",
        }

    def _attach(self, pids: list[int], enabled: frozenset[int]) -> None:
        """Hold them; where Yama asks for their leave, wait a moment for a command that is about to give it."""
        deadline = time.monotonic() + _LEAVE_S
        while True:
            try:
                return self._loaded().attach(pids, enabled)
            except Refused:
                if yama_scope() != 1 or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _loaded(self) -> Source:
        if self._source is None:
            raise Refused("ConfigError", "load comes first")
        return self._source

    def _do_specs(self, request: dict[str, Any]) -> dict[str, Any]:
        enabled = frozenset(request["enabled"])
        if more := enabled - self._began:
            raise Refused(
                "ConfigError",
                f"{self._kind} was started without {len(more)} of these calls and cannot be told of others while it "
                "runs: stop this trace (%ior stop) and start one with them",
            )
        if self._records is not None:
            if self._running:
                self._take(self._loaded().take())  # what has happened is judged as it was
            self._records.set_specs(enabled, {int(n): r for n, r in request["rates"].items()})
        return {}

    def _do_filter(self, request: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _do_live(self, request: dict[str, Any]) -> dict[str, Any]:
        self._every = _LIVE_S
        return {}

    def _do_flush(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._running:
            self._take(self._loaded().take())
            if died := self._loaded().died:
                raise Refused("SourceError", died)
        if request.get("counters") and self._records is not None:
            head = json.dumps({"cpus": 1}).encode() + b"\n"
            self._put(Frame.COUNTERS, head + self._records.counters.tobytes())
        return {"totals": self._totals(), "queued": self._queued}

    def _do_alive(self, request: dict[str, Any]) -> dict[str, Any]:
        """Every id may come again."""
        if self._records is not None:
            self._put(Frame.ALIVE, self._records.alive())
        return {}

    def _do_stop(self, request: dict[str, Any]) -> dict[str, Any]:
        source = self._loaded()
        if self._running and self._records is not None:
            died = source.died
            self._take(source.detach())
            self._take(source.unended())
            self._running = False
            if died:
                raise Refused("SourceError", died)
        answer = self._do_flush({"counters": True})
        return answer | {"open": answer["totals"].pop("open", 0)}

    def _totals(self) -> dict[str, int]:
        return dict(self._records.totals) if self._records is not None else {}

    def close(self) -> None:
        """Let everybody go."""
        if self._source is not None and self._running:
            with contextlib.suppress(Refused):  # then they are free already
                self._source.detach()


_MODES: Final = {"all": "the whole machine", "uid": "all of a user", "cgroup": "a control group"}


def main(arguments: list[str]) -> None:
    """Serve on descriptor 0."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--owner", type=int, required=True)
    parser.add_argument("--tracer", choices=("strace", "ptrace"), required=True)
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    helper = Helper(socket.socket(fileno=0), options.owner, options.tracer)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # by way of `close`
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            helper.run()
    finally:
        helper.close()

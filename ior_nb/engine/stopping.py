"""The engines strace and ptrace: the program stops at each call, where the kernel runs no program of ours.

They need no rights and no BPF, only to be let hold the traced process: see `docs/without-bpf.md`. A helper process
(`stopped.helper`) sends what a collector would.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ior_nb import errors
from ior_nb.engine.collected import CollectedEngine
from ior_nb.engine.collector.advice import RECORDING
from ior_nb.engine.contract import Ended
from ior_nb.engine.sharing import not_told
from ior_nb.engine.spawn import Collector, spawn
from ior_nb.engine.stopped.tasks import let_trace
from ior_nb.runtime import EventBatch, Pushdown, TraceOptions, own
from ior_nb.syscalls import NATIVE
from ior_nb.syscalls.machine import SUPPORTED
from ior_nb.syscalls.table import PSEUDO

__all__ = ["PtraceEngine", "StoppingEngine", "StraceEngine"]

_BY_KERNEL: Final = (
    "peer, local, object, fetched_bytes, source, on_cpu_ns, wait_cpu_ns, wait_device_ns, wait_lock_ns, wait_other_ns, "
    "py_file, py_line, py_func, stack, opened_at, file of calls on mapped memory, faults on mapped files"
)
_RUN: Final = """
sys.path += {path!r}
from ior_nb.engine.stopped.helper import main
main(["--owner", sys.argv[1], "--tracer", {tracer!r}])
"""


class StoppingEngine(CollectedEngine):
    """A helper process that holds the traced program. See `CollectedEngine`."""

    name = ""
    syscalls = tuple(call for call in NATIVE if call.name not in PSEUDO)
    filters = False
    _role = "helper"
    caveats: tuple[str, ...] = ()
    unfilled: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._about = ""
        self._notes: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """What traces, and what that costs."""
        return f"{self._about}: the program stops at each call, which costs it 30 µs and more" if self._about else ""

    def _spawn(self) -> Collector:
        if sys.platform != "linux" or not SUPPORTED:
            raise errors.SourceUnavailable(
                f"{self.name} traces on Linux, on x86-64 and arm64; this is {sys.platform}, "
                f"{platform.machine()}; {RECORDING}"
            )
        path = [str(Path(__file__).resolve().parents[2]), *filter(None, sys.path)]
        return spawn(_RUN.format(path=path, tracer=self.name), sudo=False)

    def _load(self) -> None:
        """Have the helper hold a process of its own for a moment."""
        answer = self._ask("load", buffer_bytes=self._buffer_bytes)
        self._about = answer["about"]
        self._notes = self._sharing.begin(answer["doing"]) if answer["doing"] else (not_told("by this engine"),)

    def start(self, options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        """Hold the processes.

        Returns:
            The boot clock, ns, when each of their threads was held.

        Raises:
            ConfigError: whose calls are asked for is not a set of processes.
            SourceError: it could not start; nobody is held.
        """
        self.open()
        self._decoder.spent.measured = frozenset()
        self._intake.begin(on_batch, quiet=options.quiet)
        own_process = os.getpid() in options.scope.pids
        if own_process:
            let_trace(self.collector_pid or 0)
        self._sharing.traced(True)
        answer = self._ask(
            "start",
            scope=dataclasses.asdict(options.scope),
            enabled=sorted(options.enabled),
            rates={str(n): r for n, r in options.rates.items()},
            ignore_tids=list(self.thread_ids()) if self._sharing.works else own.not_users(),
            quiet=options.quiet,
            stacks=options.stacks,
        )
        cost = "each call stops the program for 30 µs and more, and latencies have a part of it"
        self.notes = (
            f"traced with {self._about}; {cost}",
            *(self._notes if own_process else ()),
            *answer["notes"],
        )
        if answer["no_stacks"]:
            self.notes += (f"no Python lines: {answer['no_stacks']}",)
        self._meet(answer, at_exec=options.scope.at_exec)
        return int(answer["time"])

    def _error(self, message: dict[str, Any]) -> errors.IorError:
        kinds = {
            "PermissionDenied": errors.PermissionDenied,
            "SourceUnavailable": errors.SourceUnavailable,
            "ConfigError": errors.ConfigError,
        }
        return kinds.get(message.get("kind", ""), errors.SourceError)(message["message"])

    def set_filter(self, pushdown: Pushdown, generation: int) -> None:
        """It judges nothing: every row is handed over."""

    def go_live(self) -> None:
        """From now on hand batches over as they come."""
        self._intake.go_live()
        self._ask("live")

    def stop(self) -> Ended:
        """Let everybody go, hand over the rest and the calls still open.

        Raises:
            CollectorDied: the helper was gone; rows that had arrived were handed over before.
        """
        try:
            answer = self._end()
        finally:
            let_trace(0)
        return Ended(totals=answer["totals"] | {"open": answer["open"]}, counters=self._counters)


class StraceEngine(StoppingEngine):
    """strace, attached; what it writes is read by the helper."""

    name = "strace"
    unfilled = MappingProxyType(
        {
            "dev, inode, and offset where the call names none": "strace does not tell them",
            _BY_KERNEL: "only the kernel program sees them",
        }
    )


class PtraceEngine(StoppingEngine):
    """The helper stops the program itself, by ptrace(2): where there is no strace."""

    name = "ptrace"
    unfilled = MappingProxyType({_BY_KERNEL: "only the kernel program sees them"})

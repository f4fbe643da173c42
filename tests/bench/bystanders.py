"""What a process in nobody's trace pays while others are traced: by tracers of their own, and at one dispatcher."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

from ior_nb.engine.collector.bpf import PROG_RAW_TRACEPOINT, Program, attach_raw
from ior_nb.engine.collector.dispatcher import Dispatcher
from ior_nb.engine.collector.machine import Seat
from ior_nb.engine.spawn import NAME_RING_BYTES, RING_BYTES
from tests.bench.report import Row, log
from tests.bench.tools import Load, median

TITLE = "bystanders: 1-byte preads of /dev/zero by a process nobody traces; its CPU ns per call"
GOAL = 1.3
COUNTS = (1, 2, 4, 8)
NOTHING = bytes.fromhex("b7000000000000009500000000000000")  # return 0
# Traces a process that sleeps until told to end.
TRACE = """
import sys
from ior_nb.engine.collector.machine import Seat
from ior_nb.engine.collector.tracer import Tracer
from ior_nb.syscalls import NATIVE
event_bytes, name_bytes, pid = map(int, sys.argv[1:4])
seat = Seat.read(sys.argv[4]) if sys.argv[4:] else None
tracer = Tracer(event_bytes=event_bytes, name_bytes=name_bytes, seat=seat)
tracer.start({
    "scope": {"mode": "pids", "pids": [pid], "follow": True, "tid": 0, "uid": 0, "cgroup": 0},
    "enabled": [call.number for call in NATIVE], "rates": {}, "ignore_tids": [], "ignore_pids": [],
})
print(flush=True)
sys.stdin.read()
tracer.close()
"""


def measure(quick: bool) -> list[Row]:
    """Run everything."""
    calls, rounds = (300_000, 3) if quick else (1_000_000, 7)
    found: dict[tuple[str, int], list[float]] = {}
    with _held() as dispatcher:
        ways: dict[str, Callable[[int], subprocess.Popen[str]]] = {
            "by themselves": _tracer,
            "at one dispatcher": functools.partial(_seated, dispatcher),
        }
        for number in range(rounds):
            log(f"{calls:,} calls, round {number + 1} of {rounds}")
            found.setdefault(("untraced", 0), []).append(Load.run(calls).cpu_ns)
            with _empty_pair():
                found.setdefault(("empty pair of raw tracepoints", 0), []).append(Load.run(calls).cpu_ns)
            for what, start in ways.items():
                with contextlib.ExitStack() as stack:
                    for count in range(1, max(COUNTS) + 1):
                        stack.enter_context(_traced(start))
                        if count in COUNTS:
                            found.setdefault((what, count), []).append(Load.run(calls).cpu_ns)
    plain, pair = (median(found.pop(key)) for key in list(found)[:2])
    rows = [Row(what="untraced", measured=f"{plain:,.0f} ns")]
    rows.append(Row(what="empty pair of raw tracepoints", measured=f"{pair:,.0f} ns", added=f"+{pair - plain:,.0f} ns"))
    for (what, count), each in found.items():
        added = median(each) - plain
        rows.append(
            Row(
                what=f"{count} traced {what}",
                measured=f"{median(each):,.0f} ns",
                added=f"+{added:,.0f} ns",
                ratio=f"{added / (pair - plain):.2f}",
                goal=f"≤ {GOAL} pairs" if what == "at one dispatcher" else "",
                met=added / (pair - plain) <= GOAL if what == "at one dispatcher" else None,
            )
        )
    return rows


@contextlib.contextmanager
def _empty_pair() -> Iterator[None]:
    """Attach two programs that do nothing where ours are."""
    with contextlib.ExitStack() as stack:
        for hook in ("sys_exit", "sys_enter"):
            program = Program("nothing", PROG_RAW_TRACEPOINT, NOTHING)
            stack.callback(program.close)
            stack.callback(os.close, attach_raw(hook, program))
        yield


@contextlib.contextmanager
def _held() -> Iterator[Dispatcher]:
    """Hold a dispatcher, and hear in a thread."""
    dispatcher = Dispatcher(event_bytes=RING_BYTES, name_bytes=NAME_RING_BYTES)
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            if select.select([dispatcher], [], [], 0.1)[0]:
                dispatcher.hear()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield dispatcher
    finally:
        over.set()
        listener.join()
        dispatcher.close()


def _seated(dispatcher: Dispatcher, pid: int) -> subprocess.Popen[str]:
    with dispatcher.seat() as seat:
        return _tracer(pid, seat)


def _tracer(pid: int, seat: Seat | None = None) -> subprocess.Popen[str]:
    more = [] if seat is None else [str(seat)]
    command = [sys.executable, "-c", TRACE, str(RING_BYTES), str(NAME_RING_BYTES), str(pid), *more]
    inherited = () if seat is None else seat.descriptors()
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=inherited)


@contextlib.contextmanager
def _traced(start: Callable[[int], subprocess.Popen[str]]) -> Iterator[None]:
    """Have a process that does nothing traced."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as idle, start(idle.pid) as tracer:
        if tracer.stdout is None or not tracer.stdout.readline():
            raise RuntimeError("a tracer did not start")
        try:
            yield
        finally:
            tracer.communicate()
            idle.kill()

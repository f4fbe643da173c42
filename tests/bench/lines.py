"""What the Python stack of every call costs: stacks on against off, in turn, in one run, by depth of the stack."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import ior_nb
from tests.bench.report import Row, log
from tests.live.test_python_lines import pythons

TITLE = "stacks on against off, by depth of the stack"
DEPTHS: Final = (5, 10, 20, 32)
GOALS: Final = {"1-byte pread": 1.5, "open, read, close of 4 KiB": 1.2}
# Functions of different code objects, one below the other: recursion would be cheaper where code is compared.
CALLS: Final = """
import os, sys, tempfile, time
zero = os.open("/dev/zero", os.O_RDONLY)
file = tempfile.NamedTemporaryFile()
file.write(bytes(4096)), file.flush()
def preads(n):
    pread, clock = os.pread, time.thread_time_ns
    begin = clock()
    for _ in range(n): pread(zero, 1, 0)
    return (clock() - begin) / n
def files(n):
    opened, read, close, clock, name = os.open, os.read, os.close, time.thread_time_ns, file.name
    begin = clock()
    for _ in range(n // 3):
        fd = opened(name, 0); read(fd, 4096); close(fd)
    return (clock() - begin) / (n // 3)
chain = {}
for depth in range(40):
    exec(f"def f{depth}(d, what, n):\\n    return f{depth + 1}(d - 1, what, n) if d else what(n)\\n", chain)
def measured(n):
    return [chain["f0"](depth - 4, what, n) for what in (preads, files) for depth in (5, 10, 20, 32)]
"""
LOOP: Final = CALLS + "for line in sys.stdin:\n    print(*measured(int(line)), flush=True)\n"


def measure(quick: bool) -> list[Row]:
    """Measure this process, and a process of each Python there is."""
    calls, rounds = (6000, 3) if quick else (12_000, 9)
    here: dict[str, Callable[[int], list[float]]] = {}
    exec(CALLS, here)  # the same text the children run
    found = _ratios("this process", lambda: here["measured"](calls), rounds, None)
    return [*found, *(row for python in pythons() for row in _of(python, calls, rounds))]


def _of(python: str, calls: int, rounds: int) -> list[Row]:
    name = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.strip()
    with subprocess.Popen([python, "-c", LOOP], stdin=-1, stdout=-1, text=True, bufsize=1) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        talk, hear = child.stdin, child.stdout

        def ask() -> list[float]:
            talk.write(f"{calls}\n")
            return [float(word) for word in hear.readline().split()]

        found = _ratios(f"{name}, {Path(python).parts[1]}", ask, rounds, child.pid)
        talk.close()
    return found


def _ratios(name: str, ask: Callable[[], list[float]], rounds: int, pid: int | None) -> list[Row]:
    log(name)
    taken: dict[str, list[list[float]]] = {"off": [], "lines": [], "full": []}
    ask()
    for _ in range(rounds):
        for stacks, rows in taken.items():
            with ior_nb.trace(pid=pid, stacks=stacks, keep_rows=False) as trace:
                rows.append(ask())
            assert trace.accounting.complete, trace.accounting.line()
    half = len(DEPTHS)
    median = {
        stacks: [statistics.median(column) for column in zip(*rows, strict=True)] for stacks, rows in taken.items()
    }
    judged = sys.version_info >= (3, 12) if pid is None else " 3.11" not in name
    found = []
    for at, (what, goal) in enumerate(GOALS.items()):
        place = slice(at * half, (at + 1) * half)
        off = median["off"][place]
        for stacks in ("lines", "full"):
            ratios = [on / without for on, without in zip(median[stacks][place], off, strict=True)]
            shown = "  ".join(f"{ratio:.2f}" for ratio in ratios)
            said = f"× {shown} at {', '.join(map(str, DEPTHS))} frames; off {off[0]:.0f} ns"
            met = max(ratios) <= goal if judged else None
            found.append(
                Row(what=f"{name}, {stacks}: {what}", measured=said, goal=f"≤ {goal}" if judged else "", met=met)
            )
    return found

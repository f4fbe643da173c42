"""What it costs to know why a call was slow: bytes fetched, peers, and what context switches pay for waits.

IOR_NB_BENCH_BEFORE may name other trees of the program, with colons between, that are measured in turn with this one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.report import Row, log
from tests.bench.tools import median

__all__ = ["TITLE", "measure"]

TITLE = "why it was slow: CPU time of a call, or of a turn of two processes, the ways in turn"
_ROOT: Final = Path(__file__).resolve().parents[2]
_SOCKETS: Final = ("tcp", "unix", "udp", "turns", "connected")
_CALLS: Final = {"pread": 400_000, **dict.fromkeys(_SOCKETS, 100_000), "switch": 50_000}
_TRACE: Final = """
import inspect, subprocess, sys, warnings
import ior_nb
pid = int(sys.argv[1])
# A tree from before waits were told has no such option.
options = {"waits": sys.argv[2] == "waits"} if "waits" in inspect.signature(ior_nb.trace).parameters else {}
warnings.simplefilter("ignore")
idle = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
with ior_nb.trace(pid=pid or idle.pid, keep_rows=False, stacks="off", families="all", **options) as t:
    print(flush=True)
    sys.stdin.readline()
idle.kill()
assert not any(t.accounting.lost.values()), t.accounting.lost
"""


@dataclass(frozen=True, slots=True)
class _Way:
    """How the program is run."""

    tree: Path = _ROOT
    """Whose tracer it is."""
    traced: bool = True
    """Whether the program itself is traced, or another process."""
    waits: bool = False
    """With a look at each context switch."""


def measure(quick: bool) -> list[Row]:
    """Run each kind in each way, in turn; report the median, and what tracing adds to it."""
    rounds = 3 if quick else 9
    trees = [_ROOT, *(Path(name) for name in os.environ.get("IOR_NB_BENCH_BEFORE", "").split(":") if name)]
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="ior-nb-bench-") as folder:
        program = f"{folder}/why"
        subprocess.run(["cc", "-O2", "-o", program, str(Path(__file__).with_suffix(".c"))], check=True)
        for number in range(rounds):
            for kind, calls in _CALLS.items():
                ways = _ways(kind, trees)
                for name in list(ways) if number % 2 else reversed(ways):
                    command = [program, kind, str(calls)]
                    found.setdefault((kind, name), []).append(_run(command, ways[name]))
            log(f"round {number + 1} of {rounds}")
    return [
        _row(kind, name, found[kind, name], found[kind, "untraced"])
        for kind in _CALLS
        for name in ["untraced", *(name for at, name in found if at == kind and name != "untraced")]
    ]


def _row(kind: str, name: str, each: list[float], plain: list[float]) -> Row:
    added = f"+{median(each) - median(plain):,.0f} ns (least +{min(each) - min(plain):,.0f})"
    measured = f"{median(each):,.0f} ns (least {min(each):,.0f})"
    return Row(what=f"{kind}, {name}", measured=measured, added="" if each is plain else added)


def _ways(kind: str, trees: list[Path]) -> dict[str, _Way | None]:
    made: dict[str, _Way | None] = {"untraced": None}
    for tree in trees:
        by = "" if tree == _ROOT else f", by {tree}"
        made[f"traced{by}"] = _Way(tree)
        if kind == "switch":
            made[f"another traced{by}"] = _Way(tree, traced=False)
            made[f"another traced, with waits{by}"] = _Way(tree, traced=False, waits=True)
            made[f"traced, with waits{by}"] = _Way(tree, waits=True)
    return made


def _run(command: list[str], way: _Way | None) -> float:
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with nullcontext() if way is None else _tracing(child.pid, way):
        return float(child.communicate("go\n")[0])


@contextmanager
def _tracing(pid: int, way: _Way) -> Iterator[None]:
    command = [sys.executable, "-c", _TRACE, str(pid if way.traced else 0), "waits" if way.waits else "no waits"]
    path = os.environ | {"PYTHONPATH": str(way.tree)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=way.tree, env=path) as tracer:
        if tracer.stdout is None or not tracer.stdout.readline():
            raise RuntimeError(f"the tracer of {way.tree} did not start")
        try:
            yield
        finally:
            tracer.communicate("\n")
    if tracer.returncode:
        raise RuntimeError(f"the tracer of {way.tree} lost calls, or failed")

"""What several benches need: the load program, processor time of others, a private mount of tracefs."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Load", "cpu_seconds", "load_program", "median", "peak_mib", "trace_load", "with_tracefs"]

HERE = Path(__file__).resolve().parent


@cache
def load_program() -> str:
    """Compile `load.c`; return where the program is. The folder is removed at exit."""
    global _folder
    _folder = tempfile.TemporaryDirectory(prefix="ior-nb-bench-")
    program = f"{_folder.name}/load"
    subprocess.run(["cc", "-O2", "-o", program, str(HERE / "load.c")], check=True)
    return program


_folder: tempfile.TemporaryDirectory[str] | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What the load program measured itself."""

    calls: int
    """Of all its processes."""
    wall_ns: float
    """Wall clock per call, from start to end of the slowest process: what one process sees."""
    cpu_ns: float
    """Processor time per call, mean over the processes."""

    @classmethod
    def parse(cls, text: str) -> Load:
        """Read what the program printed.

        Raises:
            RuntimeError: it printed nothing of that form.
        """
        lines = [[int(w) for w in line.split()] for line in text.splitlines() if line.count(" ") == 2]
        if not lines:
            raise RuntimeError(f"the load program failed: {text!r}")
        calls = sum(n for n, _, _ in lines)
        return cls(calls, max(w / n for n, w, _ in lines), sum(c for _, _, c in lines) / calls)

    @classmethod
    def run(cls, calls: int, processes: int = 1, *, under: Iterable[str] = ()) -> Load:
        """Run it, `calls` calls shared among the processes, under another program if one is given."""
        command = [*under, load_program(), str(calls // processes), str(processes)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return cls.parse(done.stdout)


def trace_load(calls: int, processes: int = 1) -> tuple[list[str], Path]:
    """Return a command that runs the load, and the file that then has its output."""
    out = Path(load_program()).with_name(f"out-{calls}-{processes}")
    inner = [load_program(), str(calls // processes), str(processes)]
    return ["sh", "-c", 'exec "$@" >"$0"', str(out), *inner], out


def with_tracefs(command: list[str]) -> list[str]:
    """Return a command line that runs `command` where tracefs and debugfs are mounted, for it alone."""
    script = (
        "mount --make-rprivate / && mount -t tracefs tracefs /sys/kernel/tracing && "
        "mount -t debugfs debugfs /sys/kernel/debug; "
        'exec "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh", *command]


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process's threads have had, to the nanosecond."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def peak_mib(pid: int) -> float:
    """Return the most memory a process has had resident, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def is_root() -> bool:
    """Whether other tracers can be run here at all."""
    return os.geteuid() == 0

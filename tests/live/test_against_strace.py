"""strace watches the same run: both see the same calls with the same results, thread by thread."""

from __future__ import annotations

import errno
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from ior_nb.syscalls import BY_NUMBER, resolve

if TYPE_CHECKING:
    from tests.live.conftest import Workload

SCENARIOS = ["descriptors", "paths", "names", "transfers", "sockets", "anonymous", "processes", "threads"]
SCENARIOS += ["thread-exec", "memory", "waits", "jail"]
# include/linux/errno.h: what strace calls the results that only the kernel sees.
RESTARTS = {"ERESTARTSYS": 512, "ERESTARTNOINTR": 513, "ERESTARTNOHAND": 514, "ERESTART_RESTARTBLOCK": 516}
NEVER_RETURN = ("exit", "exit_group", "rt_sigreturn")

Call = tuple[str, int | None]

_LINE = re.compile(rb"(\d+) +(.*)")
_RESUMED = re.compile(rb"<\.\.\. (\w+) resumed>")
_RESULT = re.compile(rb"(?:\)|>) += (0x[0-9a-f]+|-?\d+|\?)(?: (E[A-Z_0-9]+))?(?: \(.*)?$")


def result_of(rest: bytes) -> int | None:
    """Return the result at the end of a line as the kernel had it; None where there is none."""
    found = _RESULT.search(rest)
    assert found is not None, rest
    if found[2]:
        name = found[2].decode()
        return -(RESTARTS.get(name) or getattr(errno, name))
    if found[1] == b"?":
        return None
    octal = found[1].startswith(b"0") and not found[1].startswith(b"0x")  # of umask
    return int(found[1], 8 if octal else 0)


def name_of(text: bytes) -> str:
    """Return our name of a call strace names; one it is too old to know it writes as syscall_0x1b9."""
    unknown = text.removeprefix(b"syscall_0x")
    return resolve(text.decode()).name if unknown == text else BY_NUMBER[int(unknown, 16)].name


def by_strace(log: bytes) -> dict[int, list[Call]]:
    """Return (call, result) of each thread in the order in which the calls began."""
    calls: dict[int, list[Call]] = {}
    for line in log.splitlines():
        found = _LINE.match(line)
        assert found is not None, line
        tid, rest = int(found[1]), found[2]
        mine = calls.setdefault(tid, [])
        if rest.startswith((b"+++", b"---")):
            if b"superseded by execve in pid" in rest:  # that thread goes on under this number
                mine.append(calls[int(rest.split()[-2])].pop())
        elif resumed := _RESUMED.match(rest):
            assert mine[-1][0] == name_of(resumed[1]), line
            mine[-1] = (mine[-1][0], result_of(rest))
        else:
            name = name_of(rest[: rest.index(b"(")])
            mine.append((name, None if rest.endswith(b" ...>") else result_of(rest)))
    return {tid: [(n, None if n in NEVER_RETURN else r) for n, r in mine] for tid, mine in calls.items() if mine}


def compare(command: list[str], first: str, session: TracerSession, log: Path) -> tuple[dict[int, list[Call]], ...]:
    """Trace a command under strace; return what both saw of it by thread, from the first execve of `first` on."""
    watched = ["strace", "-f", "-qq", "-s", "0", "-o", str(log), *command]
    with ior_trace(command=watched, session=session, families="all") as t:
        pass
    theirs = by_strace(log.read_bytes())
    times, files, names = t.batch["time_ns"], t.batch.text("file"), t.batch.text("syscall")
    start = times[(names == "execve") & (files == first) & (t.batch["ret"] == 0)].min()
    ours: dict[int, list[Call]] = {}
    for row in sorted(t.batch, key=lambda row: row.time_ns):
        if row.tid in theirs and row.time_ns >= start and row.syscall != "page_fault":  # which is no call
            result = None if row.state != "done" else row.ret
            ours.setdefault(row.tid, []).append((row.syscall, result))

    assert t.returncode == 0
    assert t.accounting.complete
    return ours, theirs


@pytest.fixture(autouse=True)
def _strace(required: Callable[[str], None]) -> None:
    if shutil.which("strace") is None:
        required("needs strace")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_calls_in_the_same_order(
    scenario: str, session: TracerSession, workload: Workload, tmp_path: Path
) -> None:
    """Each thread of the known workload has the sequence of calls and results strace prints, start-up included."""
    folder = tmp_path / "area"
    folder.mkdir()
    command = workload.command(folder, scenario)
    ours, theirs = compare(command, str(workload.program), session, tmp_path / "strace.log")

    assert ours == theirs
    assert sum(len(calls) for calls in ours.values()) > len(workload.expected(folder))


def test_an_interpreter_with_threads_and_children(session: TracerSession, tmp_path: Path) -> None:
    """A Python program with a thread pool and a subprocess has strace's sequences too."""
    code = (
        "import subprocess, concurrent.futures, pathlib\n"
        "stat = pathlib.Path('/proc/self/stat')\n"
        "with concurrent.futures.ThreadPoolExecutor(3) as pool:\n"
        "    list(pool.map(lambda i: stat.read_text(), range(31)))\n"
        "subprocess.run(['/bin/sh', '-c', 'cat /proc/self/status > /dev/null; true'], check=True)\n"
    )
    ours, theirs = compare([sys.executable, "-I", "-c", code], sys.executable, session, tmp_path / "strace.log")

    assert ours == theirs
    assert len(ours) >= 4

"""An independent witness: what the kernel itself counts in /proc/PID/io.

The kernel counts bytes and calls of the read and write families and of transfers between descriptors
(fs/read_write.c); a call whose descriptor is refused before the file is reached is not counted by read, write and
sendfile, and is by their vector forms.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ior_nb.runtime import EventBatch
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace

if TYPE_CHECKING:
    from tests.live.conftest import Workload

READS, WRITES = ("read", "pread64"), ("write", "pwrite64")
VECTOR_READS, VECTOR_WRITES = ("readv", "preadv", "preadv2"), ("writev", "pwritev", "pwritev2")
TRANSFERS = ("sendfile64",)
EBADF = 9

PROGRAM = """
import os, pathlib, signal, sqlite3, sys, zipfile
os.kill(os.getpid(), signal.SIGSTOP)
folder = pathlib.Path(sys.argv[1])
base = sqlite3.connect(folder / 'base.db')
base.execute('create table t (n integer primary key, s text)')
for k in range(37):
    with base:
        base.executemany('insert into t (s) values (?)', (('x' * (i % 97),) for i in range(499)))
base.execute('select sum(length(s)) from t').fetchall()
base.execute('vacuum')
base.close()
with zipfile.ZipFile(folder / 'all.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.write(folder / 'base.db')
with zipfile.ZipFile(folder / 'all.zip') as archive:
    archive.extractall(folder / 'out')
"""


def io_of(pid: int) -> dict[str, int]:
    """Return the kernel's own counts."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    counts = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return {name: counts[name] for name in ("rchar", "wchar", "syscr", "syscw")}


def io_in(rows: EventBatch) -> dict[str, int]:
    """Return what those counts have to be, by the rows of a process."""
    calls, size = rows.text("syscall"), rows["bytes"]
    reached = rows["ret"] != -EBADF

    def counts(scalar: tuple[str, ...], vector: tuple[str, ...]) -> tuple[int, int]:
        of_class = np.isin(calls, [*scalar, *vector, *TRANSFERS])
        counted = of_class & (reached | np.isin(calls, vector))
        return int(size[of_class].sum()), int(counted.sum())

    (rchar, syscr), (wchar, syscw) = counts(READS, VECTOR_READS), counts(WRITES, VECTOR_WRITES)
    return {"rchar": rchar, "wchar": wchar, "syscr": syscr, "syscw": syscw}


def watch(commands: list[list[str]], session: TracerSession) -> list[tuple[dict[str, int], EventBatch]]:
    """Trace processes that stop themselves before they begin; return (what /proc/PID/io grew by, rows) of each."""
    children = [subprocess.Popen(command) for command in commands]
    for child in children:
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    before = [io_of(child.pid) for child in children]
    with ior_trace(session=session) as t:
        for child in children:
            child.send_signal(signal.SIGCONT)
        for child in children:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    after = [io_of(child.pid) for child in children]  # ended, and not yet reaped

    assert [child.wait() for child in children] == [0] * len(children)
    assert t.accounting.complete
    assert t.accounting.unaccounted == 0
    return [
        ({name: last[name] - first[name] for name in first}, t.batch.take(t.batch["pid"] == child.pid))
        for child, first, last in zip(children, before, after, strict=True)
    ]


def test_a_hundred_thousand_calls_of_three_processes(
    session: TracerSession, workload: Workload, tmp_path: Path
) -> None:
    """Bytes and calls of each of three processes that run at once are those the kernel counted."""
    seen = watch([workload.command(tmp_path, "witness", str(n)) for n in (4999, 5003, 5009)], session)

    assert sum(len(rows) for _, rows in seen) > 100_000
    assert [io_in(rows) for _, rows in seen] == [counted for counted, _ in seen]


def test_a_real_program(session: TracerSession, tmp_path: Path) -> None:
    """A program that uses sqlite3 and zipfile has the bytes and calls the kernel counted for it."""
    ((counted, rows),) = watch([[sys.executable, "-I", "-c", PROGRAM, str(tmp_path)]], session)

    assert counted["wchar"] > 1_000_000
    assert io_in(rows) == counted

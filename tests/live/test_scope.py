"""Whose calls are traced: processes, threads, users, control groups, namespaces, the machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ior_nb
from ior_nb.runtime import EventBatch
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from tests.calls import here
from tests.collectors import collector_pid

ROOT = str(Path(ior_nb.__file__).parents[1])
USER = 61_234  # nobody runs anything under this number
FILE = Path("/etc/passwd")  # everybody may read it

# Traces itself and a command from inside a pid namespace, and prints what it saw and what it knows.
NESTED = """
import json, os, subprocess, sys
sys.path.insert(0, sys.argv[1])
import ior_nb
with ior_nb.TracerSession() as session:
    with ior_nb.trace(session=session, syscalls="read,pread64") as t:
        fd = os.open("/etc/passwd", os.O_RDONLY)
        for i in range(23):
            os.pread(fd, 7, i)
        child = subprocess.Popen(["cat", "/etc/passwd"], stdout=subprocess.DEVNULL)
        child.wait()
    own = [[r.pid, r.tid, r.ppid, r.syscall] for r in t.batch if r.file == "/etc/passwd"]
    with ior_nb.trace(session=session, command=["sh", "-c", "cat /etc/passwd > /dev/null; :"], families="all") as t:
        pass
    command = [[r.pid, r.ppid, r.syscall, r.ret] for r in t.batch if r.syscall in ("execve", "wait4") and r.ret >= 0]
    accounting = t.accounting.as_dict()
print(json.dumps({"me": os.getpid(), "child": child.pid, "own": own, "command": command, "accounting": accounting}))
"""


@contextlib.contextmanager
def shell(**options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that waits for lines to run."""
    child = subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    try:
        run(child, ":")
        yield child
    finally:
        child.communicate()


def run(child: subprocess.Popen[bytes], line: str) -> None:
    """Let the shell run a line, and wait until it has."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(f"{line}\necho done\n".encode())
    child.stdin.flush()
    assert child.stdout.readline() == b"done\n"


def reads_of_file(batch: EventBatch) -> dict[int, int]:
    """Return pid -> bytes read from `FILE`."""
    found: Counter[int] = Counter()
    for row in batch:
        if row.file == str(FILE) and row.syscall == "read":
            found[row.pid] += row.bytes
    return dict(found)


def test_children_alive_at_the_start_are_in(session: TracerSession) -> None:
    """A child, and what it starts, is traced although it was there before; its rows say so, the others do not."""
    with shell() as child, ior_trace(session=session) as t:
        run(child, f"cat {FILE} > /dev/null")
    rows = t.batch.take(t.batch["pid"] == child.pid)
    ((cat, size),) = reads_of_file(t.batch).items()
    later = t.batch.take(t.batch["pid"] == cat)

    assert size == FILE.stat().st_size
    assert len(rows) > 0
    assert rows["started_before"].all()
    assert set(rows["ppid"].tolist()) == {os.getpid()}
    assert cat != child.pid
    assert not later["started_before"].any()
    assert set(later["ppid"].tolist()) == {child.pid}


def test_own_leaves_out_children_from_before(session: TracerSession) -> None:
    """With `own` the rows of processes that were running are filtered and counted as such."""
    with shell() as child, ior_trace(session=session, own=True) as t:
        run(child, ":")
        os.access(FILE, os.R_OK)

    assert child.pid not in t.batch["pid"]
    assert str(FILE) in t.batch.text("file")
    assert t.accounting.filtered > 0
    assert t.accounting.unaccounted == 0


def test_a_process_and_its_children(session: TracerSession) -> None:
    """`pid` traces that process and what it starts, nothing of ours."""
    with shell() as child, ior_trace(pid=child.pid, session=session) as t:
        run(child, f"cat {FILE} > /dev/null")
        FILE.read_bytes()

    assert os.getpid() not in t.batch["pid"]
    assert child.pid in t.batch["pid"]
    assert list(reads_of_file(t.batch).values()) == [FILE.stat().st_size]


def test_renames_by_others_are_seen(session: TracerSession, tmp_path: Path) -> None:
    """A file held open by a traced process has its new name after a process out of scope has renamed or deleted it."""
    folder, moved = tmp_path / "folder", tmp_path / "moved"
    folder.mkdir()
    (folder / "file").write_text("1\n2\n3\n4\n")
    with shell() as child, ior_trace(pid=child.pid, session=session, syscalls="read,lseek") as t:
        run(child, f"exec 3< {folder}/file; read x <&3")
        (folder / "file").rename(folder / "other")
        run(child, "read x <&3")
        folder.rename(moved)
        run(child, "read x <&3")
        (moved / "other").unlink()
        run(child, "read x <&3")
    names = [row.file for row in t.batch if row.fd == 0 and row.file.startswith(str(tmp_path))]

    assert list(dict.fromkeys(names)) == [
        f"{folder}/file",
        f"{folder}/other",
        f"{moved}/other",
        f"{moved}/other (deleted)",
    ]


def test_without_follow_children_are_out(session: TracerSession) -> None:
    """With `follow=False` neither children from before nor new ones are traced."""
    with shell() as child:
        with ior_trace(session=session, follow=False) as t:
            run(child, f"cat {FILE} > /dev/null")
            subprocess.run(["cat", str(FILE)], check=True, stdout=subprocess.DEVNULL)
            FILE.read_bytes()
        with ior_trace(pid=child.pid, session=session, follow=False) as of_shell:
            run(child, f"cat {FILE} > /dev/null")

    assert set(t.batch["pid"].tolist()) == {os.getpid()}
    assert reads_of_file(t.batch) == {os.getpid(): FILE.stat().st_size}
    assert set(of_shell.batch["pid"].tolist()) == {child.pid}
    assert reads_of_file(of_shell.batch) == {}


def test_one_thread(session: TracerSession) -> None:
    """`tid` traces that thread only: neither its process's other threads nor its children."""
    steps = [threading.Event() for _ in range(2)]
    tids: list[int] = []

    def work() -> None:
        tids.append(threading.get_native_id())
        steps[0].set()
        steps[1].wait()
        for _ in range(23):
            os.access(FILE, os.R_OK)
        subprocess.run(["cat", str(FILE)], check=True, stdout=subprocess.DEVNULL)

    thread = threading.Thread(target=work)
    thread.start()
    steps[0].wait()
    with ior_trace(tid=tids[0], session=session) as t:
        os.access(FILE, os.R_OK)
        steps[1].set()
        thread.join()
        os.access(FILE, os.R_OK)

    assert set(t.batch["tid"].tolist()) == {tids[0]}
    assert int((t.batch.text("syscall") == here("access")).sum()) == 23
    assert reads_of_file(t.batch) == {}


def test_a_users_processes(session: TracerSession) -> None:
    """`uid` traces what runs under that user, whoever started it, and nobody else."""
    command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "cat", str(FILE)]
    with ior_trace(uid=USER, session=session) as t:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        child.wait()
        subprocess.run(["cat", str(FILE)], check=True, stdout=subprocess.DEVNULL)

    assert reads_of_file(t.batch) == {child.pid: FILE.stat().st_size}
    assert set(t.batch["pid"].tolist()) == {child.pid}
    assert t.accounting.unaccounted == 0


@pytest.fixture
def control_group(required: Callable[[str], None]) -> Iterator[Path]:
    """A new version-2 control group."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    where = next((Path(m[1]) for m in mounts if m[2] == "cgroup2" and os.access(m[1], os.W_OK)), None)
    if where is None:
        required("needs a writable cgroup2 mount")
    assert where is not None
    made = where / f"ior-nb-test-{os.getpid()}"
    made.mkdir()
    (made / "inner").mkdir()
    yield made
    (made / "inner").rmdir()
    made.rmdir()


@pytest.mark.parametrize("inner", ["", "inner"])
def test_a_control_group(inner: str, session: TracerSession, control_group: Path) -> None:
    """`cgroup` traces the processes in the group and in groups below it, and no others."""
    with shell() as child:
        (control_group / inner / "cgroup.procs").write_text(str(child.pid))
        with ior_trace(cgroup=control_group, session=session) as t:
            run(child, f"cat {FILE} > /dev/null")
            FILE.read_bytes()

    assert os.getpid() not in t.batch["pid"]
    assert child.pid in t.batch["pid"]
    assert list(reads_of_file(t.batch).values()) == [FILE.stat().st_size]
    assert t.accounting.unaccounted == 0


def test_from_inside_a_pid_namespace(required: Callable[[str], None]) -> None:
    """Inside a pid namespace all numbers are those of that namespace, of processes from before and of new ones."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", NESTED, ROOT]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    if "unshare: unshare failed" in ran.stderr:
        required("needs the right to make pid namespaces")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    (shell_pid, _, _, _), *_ = told["command"]
    (cat,) = {pid for pid, _, call, _ in told["command"] if call == "execve"} - {shell_pid}

    assert told["me"] == 1
    assert [row for row in told["own"] if row[3] == "pread64"] == [[1, 1, 0, "pread64"]] * 23
    assert {(pid, tid, up) for pid, tid, up, call in told["own"] if call == "read"} == {
        (told["child"], told["child"], 1)
    }
    assert told["child"] < shell_pid < cat < 100
    assert [row for row in told["command"] if row[2] == "execve"] == [
        [shell_pid, 1, "execve", 0],
        [cat, shell_pid, "execve", 0],
    ]
    assert [shell_pid, 1, "wait4", cat] in told["command"]
    assert told["accounting"]["complete"]


def test_into_a_pid_namespace(session: TracerSession) -> None:
    """Processes in a namespace below ours have the numbers we know them by; return values stay as they were."""
    command = ["unshare", "--pid", "--fork", "sh", "-c", f"cat {FILE} > /dev/null; :"]
    with ior_trace(command=command, session=session, families="all") as t:
        pass
    outside, shell_pid = (next(r for r in t.batch if r.file.endswith(f"/{name}")).pid for name in ("unshare", "sh"))
    ((cat, size),) = reads_of_file(t.batch).items()
    waited = {row.pid: row.ret for row in t.batch if row.syscall == "wait4" and row.ret > 0}

    assert size == FILE.stat().st_size
    assert {row.ppid for row in t.batch if row.pid == cat} == {shell_pid}
    assert {row.ppid for row in t.batch if row.pid == shell_pid} == {outside}
    assert waited == {outside: shell_pid, shell_pid: 2}


def test_the_whole_machine(session: TracerSession) -> None:
    """`system` traces everybody but the tracer: its collector, its threads."""
    with shell() as child, ior_trace(system=True, session=session) as t:
        run(child, f"cat {FILE} > /dev/null")
        for _ in range(23):
            os.access("/ior-nb-here", os.R_OK)
        time.sleep(0.05)
    mine = t.batch.take(t.batch["pid"] == os.getpid())

    assert int((mine.text("file") == "/ior-nb-here").sum()) == 23
    assert FILE.stat().st_size in reads_of_file(t.batch).values()
    assert collector_pid(session) not in t.batch["pid"]
    assert set(mine["tid"].tolist()) == {threading.get_native_id()}
    assert t.accounting.complete
    assert t.accounting.unaccounted == 0

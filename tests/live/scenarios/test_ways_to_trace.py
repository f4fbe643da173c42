"""The scenarios that are about how a trace is made: of a thread, sampled, filtered, ended from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ior_nb.result.load import load
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from ior_nb.syscalls import resolve
from tests.live.mounts import mount
from tests.live.scenarios.program import command

IOR_NB = [sys.executable, "-m", "ior_nb"]
WAIT_S = 30
ATTACHED = {
    "anon_inode:bpf_link",
    "anon_inode:bpf-raw-tracepoint",
    "anon_inode:bpf_perf_link",
    "anon_inode:[perf_event]",
}


def told(folder: Path) -> dict[str, Any]:
    """Return what a run said of its only scenario."""
    (line,) = (folder / "log").read_text().splitlines()
    found: dict[str, Any] = json.loads(line)
    assert "failed" not in found
    return found


def test_only_the_calls_asked_for_are_rows(session: TracerSession, tmp_path: Path) -> None:
    """`syscalls` names the calls that are rows; there are no others."""
    with ior_trace(command=command(tmp_path, "open-basic"), session=session, syscalls="openat,close") as t:
        pass

    assert set(t.batch.text("syscall").tolist()) == {"openat", "close"}


def test_every_row_has_its_family(session: TracerSession, tmp_path: Path) -> None:
    """Seven families in one run: each row has the family of its call, and the sums of the families are the rows."""
    names = "open-basic", "socket-basic", "pipe2-basic", "polling-epoll", "sleep-syscalls", "mmap-basic", "aio-setup"
    with ior_trace(command=command(tmp_path, *names), session=session, families="all") as t:
        pass

    pairs = set(zip(t.batch.text("syscall").tolist(), t.batch.text("family").tolist(), strict=True))
    assert {family for _, family in pairs} >= {"FS", "Network", "IPC", "Polling", "Time", "Memory", "AIO"}
    assert all(resolve(call).family == family for call, family in pairs)
    assert int(t.families()["calls"].sum()) == len(t.batch)


def test_all_short_lived_threads_pass_a_filter_by_name(session: TracerSession, tmp_path: Path) -> None:
    """Forty threads of four reads each, gone before anybody could ask for their names, all pass `comm~short-`."""
    run = command(tmp_path, "thread-comm-short-lived")
    with ior_trace(command=run, session=session, filter="comm~short- and syscall=pread64") as t:
        pass

    assert len(t.batch) == 160
    assert len(set(t.batch.text("comm").tolist())) == 40


def test_restarted_reads_are_counted_under_sampling(session: TracerSession, tmp_path: Path) -> None:
    """With one read in three kept the counters have every read, those that a signal cut short too."""
    with ior_trace(command=command(tmp_path, "signal-reexec"), session=session, sampling={"read": 3}) as t:
        pass
    rows = int((t.batch.text("syscall") == "read").sum())
    counted = t.counters["read"]["calls"]

    assert t.accounting.unaccounted == 0
    assert rows + t.accounting.sampled_out == counted


def test_a_ring_is_known_although_its_rows_are_sampled_out(session: TracerSession, tmp_path: Path) -> None:
    """Setting up and registering become no rows; entering has the ring's name all the same."""
    run = command(tmp_path, "iouring-setup", "iouring-enter", "iouring-register")
    sampling = {"io_uring_setup": 0, "io_uring_register": 0}
    with ior_trace(command=run, session=session, sampling=sampling, families="all") as t:
        pass
    calls, files = t.batch.text("syscall"), t.batch.text("file")

    assert not {"io_uring_setup", "io_uring_register"} & set(calls.tolist())
    assert set(files[calls == "io_uring_enter"].tolist()) <= {"anon_inode:[io_uring]"}


THREADS = """
import ctypes, os, sys, threading
def call(*a): ctypes.CDLL(None).syscall(*a)
reader, writer = os.pipe()
print(threading.get_native_id(), flush=True)
ready, go = threading.Event(), threading.Event()
def worker():
    print(threading.get_native_id(), flush=True)
    ready.set()
    go.wait()
    for _ in range(7): os.write(writer, b'abc')
thread = threading.Thread(target=worker); thread.start(); ready.wait()
sys.stdin.readline()
go.set(); thread.join()
for _ in range(3): os.read(reader, 3)
os.write(writer, b'end')
"""


def _threads() -> tuple[subprocess.Popen[str], int, int]:
    """Start a program of two threads that waits for a line; return it and the numbers of both threads."""
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, int(child.stdout.readline()), int(child.stdout.readline())


def _go(child: subprocess.Popen[str]) -> None:
    """Let it go on, and wait for its end."""
    child.communicate("\n", timeout=WAIT_S)


@pytest.mark.parametrize(("which", "writes"), [(0, 1), (1, 7)])
def test_a_traced_thread_and_its_dying_siblings(which: int, writes: int, session: TracerSession) -> None:
    """With `tid` a pipe keeps its name when a sibling ends, and the traced thread's own end loses nothing."""
    child, *tids = _threads()
    with ior_trace(tid=tids[which], session=session, families="all") as t:
        _go(child)
    mine = t.batch.take(t.batch.text("syscall") == "write")
    to_pipe = [row for row in mine if row.file_kind == "pipe"]

    assert set(t.batch["tid"].tolist()) == {tids[which]}
    assert [row.bytes for row in to_pipe] == [3] * writes
    assert len({row.file for row in to_pipe}) == 1
    assert t.accounting.unaccounted == 0


EXEC = """
import os, sys, threading
print(threading.get_native_id(), flush=True)
def worker():
    print(threading.get_native_id(), flush=True)
    sys.stdin.readline()
    os.execv('/bin/sh', ['sh', '-c', 'exit 7'])
thread = threading.Thread(target=worker); thread.start(); thread.join()
"""


@pytest.mark.parametrize("which", ["leader", "thread"])
def test_an_execve_ends_under_the_leaders_number(which: str, session: TracerSession) -> None:
    """A thread executes, and takes the leader's number: a trace of the leader goes on, one of the thread ends whole."""
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", EXEC], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    leader, thread = int(child.stdout.readline()), int(child.stdout.readline())
    with ior_trace(tid=leader if which == "leader" else thread, session=session, families="all") as t:
        child.communicate("\n", timeout=WAIT_S)
    calls = [(row.syscall, row.tid) for row in t.batch if row.syscall in ("execve", "exit_group")]

    assert child.returncode == 7
    assert t.accounting.unaccounted == 0
    if which == "leader":
        assert ("exit_group", leader) in calls
    else:
        assert [call for call, _ in calls][:1] == ["execve"]


def test_a_thread_is_traced_until_its_end() -> None:
    """`ior-nb trace --tid` ends with its thread, though the process lives on."""
    code = (
        "import sys, threading\n"
        "def worker():\n print(threading.get_native_id(), flush=True); sys.stdin.readline()\n"
        "thread = threading.Thread(target=worker); thread.start(); thread.join(); sys.stdin.readline()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    tracer = subprocess.Popen(
        [*IOR_NB, "trace", "--json", "--tid", child.stdout.readline().strip()],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _until_traced(tracer)
    child.stdin.write("\n")
    child.stdin.flush()
    out, _ = tracer.communicate(timeout=WAIT_S)

    assert tracer.returncode == 0
    assert json.loads(out.splitlines()[-1])["accounting"]["complete"]
    assert child.poll() is None
    child.communicate("\n", timeout=WAIT_S)


def _until_traced(tracer: subprocess.Popen[str]) -> None:
    """Wait until a tracer's collector has its programs attached: it says so by what it has open."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        for pid in _children(tracer.pid):
            try:
                links = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
            except OSError:
                continue
            if links & ATTACHED:
                return
        time.sleep(0.01)
    raise AssertionError("the tracer has not started")


def _children(pid: int) -> set[int]:
    """Return the processes below one, as far as /proc tells, and the collectors that have left it."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            except OSError:
                continue
            if parent == pid or (b"ior_nb.engine.collector" in words and str(pid).encode() in words):
                found.add(int(entry.name))
    return found


@pytest.fixture
def sleeping() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does little for long, and writes a byte each time."""
    code = "import os, time\nwhile True:\n os.stat('/etc/hostname'); os.write(1, b'.'); time.sleep(0.01)\n"
    child = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


def _traces(sleeping: subprocess.Popen[bytes], recording: Path, **options: Any) -> subprocess.Popen[str]:
    """Trace a process to a recording."""
    command = [*IOR_NB, "trace", "--json", "--pid", str(sleeping.pid), "-o", str(recording)]
    tracer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    _until_traced(tracer)
    assert sleeping.stdout is not None
    os.set_blocking(sleeping.stdout.fileno(), False)
    sleeping.stdout.read()  # what it did before
    os.set_blocking(sleeping.stdout.fileno(), True)
    sleeping.stdout.read(50)
    return tracer


def test_a_hangup_ends_a_trace_and_keeps_its_recording(sleeping: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """SIGHUP is an end like any other: the recording is whole, nothing temporary is left."""
    tracer = _traces(sleeping, tmp_path / "a.parquet")
    tracer.send_signal(signal.SIGHUP)
    tracer.communicate(timeout=WAIT_S)

    assert len(load(tmp_path / "a.parquet").batch) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_hangup_that_is_ignored_ends_nothing(sleeping: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Started with SIGHUP ignored (as `nohup` does) a trace goes on until it is ended otherwise."""
    tracer = _traces(sleeping, tmp_path / "a.parquet", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    tracer.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        tracer.wait(0.3)
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=WAIT_S)

    assert len(load(tmp_path / "a.parquet").batch) > 0


def test_a_closed_pipe_keeps_the_recording(sleeping: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Where nobody reads what it prints any more the recording is written all the same."""
    tracer = _traces(sleeping, tmp_path / "a.parquet")
    assert tracer.stdout is not None
    assert tracer.stderr is not None
    tracer.stdout.close()
    tracer.stderr.close()
    tracer.send_signal(signal.SIGINT)
    tracer.wait(WAIT_S)

    assert len(load(tmp_path / "a.parquet").batch) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_process_is_traced_until_its_end(sleeping: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """A trace of a process ends when the process does, and is whole."""
    tracer = _traces(sleeping, tmp_path / "a.parquet")
    sleeping.kill()
    sleeping.wait()
    out, _ = tracer.communicate(timeout=WAIT_S)

    assert tracer.returncode == 0
    assert json.loads(out.splitlines()[-1])["accounting"]["complete"]


def test_a_full_disk_is_said_and_leaves_a_readable_recording(tmp_path: Path) -> None:
    """A recording that the disk has no room for: an error that says so, and what was written can be read."""
    code = "import os\nfd = os.open('/dev/zero', 0)\nfor at in range(600000): os.pread(fd, at % 977 + 1, 0)\n"
    with mount(tmp_path / "disk", "-t", "tmpfs", "-o", "size=256k", "tmpfs") as disk:
        ran = subprocess.run(
            [*IOR_NB, "trace", "-o", str(disk / "a.parquet"), "--", sys.executable, "-S", "-c", code],
            capture_output=True, text=True, check=False, timeout=2 * WAIT_S,
        )  # fmt: skip

    assert "No space left on device" in ran.stderr


def test_a_crash_is_the_status(session: TracerSession) -> None:
    """A command that kills itself: its status is 128 plus the signal's number, and its rows are there."""
    code = "import os, signal; os.stat('/etc/hostname'); os.kill(os.getpid(), signal.SIGSEGV)"
    ran = subprocess.run(
        [*IOR_NB, "trace", "--json", "--", sys.executable, "-S", "-c", code],
        capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip

    assert ran.returncode == 128 + signal.SIGSEGV
    assert json.loads(ran.stdout.splitlines()[-1])["accounting"]["complete"]


@pytest.mark.parametrize("offset", [1000, -1000])
def test_names_are_right_in_a_time_namespace(offset: int, tmp_path: Path, required: Callable[[str], None]) -> None:
    """A tracer and its command in a time namespace: each close has its file's name, each row a time of that clock."""
    run = [*IOR_NB, "trace", "--json", "-o", str(tmp_path / "a.parquet"), "--families", "all", "--"]
    shifted = ["unshare", "-T", "--boottime", str(offset)]
    ran = subprocess.run(
        [*shifted, *run, *command(tmp_path, "close-untracked")],
        capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    if "unshare failed" in ran.stderr:
        required("needs time namespaces")
    closes = [call["file"] for call in told(tmp_path)["log"] if call["syscall"] == "close"]
    batch = load(tmp_path / "a.parquet").batch
    rows = batch.take(batch.text("syscall") == "close").text("file").tolist()

    assert ran.returncode == 0
    assert len(closes) == 65
    assert set(closes) <= set(rows)

"""The same for Python code in this very process: its threads, its children, and nothing of the tracer's own."""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ior_nb.runtime import EventBatch
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from tests.calls import STAT, here

if TYPE_CHECKING:
    from tests.live.conftest import Workload

# What Python itself does between two lines is memory and locks; everything else is ours to the last call.
FAMILIES = "FS,Network,AIO,IPC,Polling,Process,Time,Signals"
FORK_IN_THREADS = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def keys(batch: EventBatch) -> Counter[tuple[str, str, int, int]]:
    """Return the multiset of (syscall, file, bytes, errno or 0).

    Left out are locks (futex), and faults on pages of programs, which are there or not as the machine has memory.
    """
    found = ((row.syscall, row.file, row.bytes, -row.ret if row.is_error else 0) for row in batch)
    return Counter(key for key in found if key[0] not in ("futex", "page_fault"))


def of_process(batch: EventBatch, pid: int) -> EventBatch:
    """Return the rows of one process."""
    return batch.take(batch["pid"] == pid)


def link(fd: int) -> str:
    """Return what the kernel calls an open descriptor."""
    return os.readlink(f"/proc/self/fd/{fd}")


def test_calls_of_this_process_are_counted_exactly(session: TracerSession, tmp_path: Path) -> None:
    """Every call of the block is a row, no call of the tracer's threads is, and files have their names."""
    path = str(tmp_path / "file")
    other = str(tmp_path / "other")
    with ior_trace(session=session, own=True, families=FAMILIES) as t:
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        for _ in range(23):
            os.write(fd, b"seven77")
        for i in range(13):
            os.pread(fd, 11, i)
        copy = os.dup(fd)
        os.close(fd)
        os.lseek(copy, 0, os.SEEK_SET)
        os.rename(path, other)
        for _ in range(11):
            os.read(copy, 5)
        for _ in range(7):
            with contextlib.suppress(FileNotFoundError):
                os.stat(path)
        os.unlink(other)
        os.fsync(copy)
        os.close(copy)

    assert keys(t.batch) == {
        ("openat", path, 0, 0): 1,
        ("write", path, 7, 0): 23,
        ("pread64", path, 11, 0): 13,
        ("fcntl", path, 0, 0): 1,  # os.dup asks for close-on-exec
        ("close", path, 0, 0): 1,
        ("lseek", path, 0, 0): 1,
        (here("rename"), other, 0, 0): 1,
        ("read", other, 5, 0): 11,
        (STAT, path, 0, 2): 7,
        (here("unlink"), other, 0, 0): 1,
        ("fsync", f"{other} (deleted)", 0, 0): 1,
        ("close", f"{other} (deleted)", 0, 0): 1,
    }
    assert set(t.batch["tid"].tolist()) == {threading.get_native_id()}
    assert t.accounting.complete
    assert t.accounting.unaccounted == 0


def test_names_are_those_the_kernel_gives_open_descriptors(session: TracerSession, tmp_path: Path) -> None:
    """Pipes, sockets, anonymous files and files opened before the trace are named as /proc/PID/fd does."""
    before = os.open(tmp_path / "before", os.O_CREAT | os.O_RDWR)
    ends = os.pipe()
    pair = socket.socketpair()
    memory = os.memfd_create("live")
    numbers = [before, *ends, pair[0].fileno(), pair[1].fileno(), memory]
    names = [link(fd) for fd in numbers]
    with ior_trace(session=session, families=FAMILIES) as t:
        for fd in numbers:
            os.get_inheritable(fd)
        pair[0].send(b"x" * 17)
        pair[1].recv(64)
        os.write(ends[1], b"y" * 19)
        os.read(ends[0], 64)
    for end in pair:
        end.close()
    for fd in (before, *ends, memory):
        os.close(fd)

    assert keys(t.batch) == Counter([("fcntl", name, 0, 0) for name in names]) + Counter(
        [
            ("sendto", names[3], 17, 0),
            ("recvfrom", names[4], 17, 0),
            ("write", names[2], 19, 0),
            ("read", names[1], 19, 0),
        ]
    )


def test_threads_have_their_own_rows(session: TracerSession, tmp_path: Path) -> None:
    """Seven threads with 101 reads each make 101 rows each, under their own thread ids."""
    path = tmp_path / "shared"
    path.write_bytes(bytes(997))
    fd = os.open(path, os.O_RDONLY)
    ids: list[int] = []

    def reader() -> None:
        for i in range(101):
            os.pread(fd, 7, i)
        ids.append(threading.get_native_id())
        barrier.wait()  # all live at once, so that no id is used twice

    barrier = threading.Barrier(8)
    with ior_trace(session=session, syscalls="pread64") as t:
        threads = [threading.Thread(target=reader) for _ in range(7)]
        for thread in threads:
            thread.start()
        barrier.wait()
        for thread in threads:
            thread.join()
    os.close(fd)

    assert keys(t.batch) == {("pread64", str(path), 7, 0): 707}
    assert Counter(t.batch["tid"].tolist()) == dict.fromkeys(ids, 101)
    assert set(t.batch["pid"].tolist()) == {os.getpid()}


def test_a_subprocess_reads_what_it_inherited(session: TracerSession, workload: Workload, tmp_path: Path) -> None:
    """A program executed with an inherited descriptor has its rows, from its execve to its exit, under its name."""
    path = tmp_path / "inherited"
    path.write_bytes(bytes(79))
    fd = os.open(path, os.O_RDONLY)
    with ior_trace(session=session, families="all") as t:
        child = subprocess.Popen([workload.tiny, str(fd)], pass_fds=(fd,))
        child.wait()
    os.close(fd)
    rows = of_process(t.batch, child.pid)
    from_exec = rows.take(rows["time_ns"] >= rows["time_ns"][rows.text("syscall") == "execve"].min())

    assert keys(from_exec) == {
        ("execve", str(workload.tiny), 0, 0): 1,
        ("read", str(path), 13, 0): 6,
        ("read", str(path), 1, 0): 1,
        ("read", str(path), 0, 0): 4,
        ("exit_group", "", 0, 0): 1,
    }
    assert set(from_exec.text("comm")) == {"tiny"}
    assert set(rows["ppid"].tolist()) == {os.getpid()}
    assert not rows["started_before"].any()


def _work_of_a_fork(inherited: int, path: str) -> None:
    for i in range(23):
        os.pread(inherited, 7, i)
    own = os.open(path, os.O_RDONLY)
    for _ in range(13):
        os.read(own, 3)
    os.close(own)


@FORK_IN_THREADS
def test_forked_workers_are_followed(session: TracerSession, tmp_path: Path) -> None:
    """Workers of multiprocessing's fork have their calls, on inherited and on own descriptors, under their pids."""
    path = str(tmp_path / "data")
    Path(path).write_bytes(bytes(997))
    inherited = os.open(path, os.O_RDONLY)
    forking = multiprocessing.get_context("fork")
    with ior_trace(session=session) as t:
        workers = [forking.Process(target=_work_of_a_fork, args=(inherited, path)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    os.close(inherited)
    on_file = t.batch.take(t.batch.text("file") == path)

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    for worker in workers:
        rows = of_process(on_file, worker.pid or 0)
        assert keys(rows) == {
            ("pread64", path, 7, 0): 23,
            ("openat", path, 0, 0): 1,
            ("read", path, 3, 0): 13,
            ("close", path, 0, 0): 1,
        }
        assert set(rows["ppid"].tolist()) == {os.getpid()}
    assert t.accounting.unaccounted == 0


def test_ordinary_python_moves_as_many_bytes_as_the_files_have(session: TracerSession, tmp_path: Path) -> None:
    """What `open`, `read_bytes` and a copy of a file move adds up to the sizes of the files."""
    source, target = tmp_path / "source", tmp_path / "target"
    with ior_trace(session=session) as t:
        source.write_bytes(b"x" * 100_003)
        with open(source, "rb") as stream, open(target, "wb") as sink:
            while block := stream.read(8191):
                sink.write(block)
        text = target.read_text()
    files, calls = t.batch.text("file"), t.batch.text("syscall")

    def moved(path: Path, call: str) -> int:
        return int(t.batch["bytes"][(files == str(path)) & (calls == call)].sum())

    assert len(text) == 100_003
    assert moved(source, "write") == moved(source, "read") == 100_003
    assert moved(target, "write") == moved(target, "read") == 100_003
    assert set(files) == {str(source), str(target)}


def test_a_mapped_file_is_named(session: TracerSession, tmp_path: Path) -> None:
    """The mmap of a file has the file's name and the pages it takes."""
    path = tmp_path / "mapped"
    path.write_bytes(bytes(3 * 4096 + 1))
    fd = os.open(path, os.O_RDONLY)
    with ior_trace(session=session, syscalls="mmap") as t:
        mmap.mmap(fd, 0, prot=mmap.PROT_READ).close()
    os.close(fd)
    rows: list[Any] = [row for row in t.batch if row.file == str(path)]

    assert [row.address_space_bytes for row in rows] == [4 * 4096]


def test_an_exception_in_the_block_keeps_the_rows(session: TracerSession, tmp_path: Path) -> None:
    """A block that raises ends the trace all the same, with the rows up to there."""
    with pytest.raises(FileNotFoundError), ior_trace(session=session) as t:
        os.stat(tmp_path / "none")

    assert keys(t.batch) == {(STAT, str(tmp_path / "none"), 0, 2): 1}


def test_a_trace_inside_a_trace_has_the_rows_of_its_block(session: TracerSession, tmp_path: Path) -> None:
    """A window inside another has only the calls of its own block; the outer one has all."""
    path = str(tmp_path)
    with ior_trace(session=session) as outer:
        os.stat(path)
        with ior_trace(session=session) as inner:
            for _ in range(3):
                os.stat(path)
        os.stat(path)

    assert keys(inner.batch) == {(STAT, path, 0, 0): 3}
    assert keys(outer.batch) == {(STAT, path, 0, 0): 5}
    assert inner.counters[STAT]["calls"] == 3
    assert outer.accounting.unaccounted == inner.accounting.unaccounted == 0


def test_an_interpreter_started_as_a_command_is_traced(session: TracerSession, tmp_path: Path) -> None:
    """A Python program as a command: its writes are there to the byte, and its exit status is ours."""
    path = tmp_path / "written"
    code = "import os, sys\nfd = os.open(sys.argv[1], 66)\nfor i in range(31): os.write(fd, b'x' * i)\nsys.exit(7)"
    with ior_trace(command=[sys.executable, "-c", code, str(path)], session=session) as t:
        pass
    rows = [row for row in t.batch if row.file == str(path)]

    assert t.returncode == 7
    assert [(row.syscall, row.bytes) for row in rows] == [("openat", 0), *(("write", i) for i in range(31))]

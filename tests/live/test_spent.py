"""What calls made devices read and what they waited for, against independent witnesses.

Bytes: /proc/PID/io of the same process, on an ext4 of the test's own and on a file system in user space. Time: the
latency of the same row, what the scheduler counts in /proc, and what the program itself arranged.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ior_nb.result.trace import Trace
from ior_nb.runtime.schema import PARTS
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from tests.live.mounts import ext4

SIZE = 23 << 20
HERE = Path(__file__).parent

# Runs a piece of code on a file, and says what the kernel counted meanwhile.
PROGRAM = """
import ctypes, json, mmap, os, random, socket, subprocess, sys, threading, time
path, code = sys.argv[1:3]
def read_bytes():
    return int(open('/proc/self/io').read().split('read_bytes: ')[1].split()[0])
def run_delay():
    return int(open('/proc/thread-self/schedstat').read().split()[1])
def drop():
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
def whole(n=65536):
    os.lseek(fd, 0, 0)
    while os.read(fd, n):
        pass
fd = os.open(path, os.O_RDONLY)
read_bytes(), run_delay()
before, delayed = read_bytes(), run_delay()
after = int
exec(code)
print(json.dumps({'read_bytes': read_bytes() - before, 'run_delay': run_delay() - delayed}))
after()
"""


def run(session: TracerSession, path: Path, code: str, **options: Any) -> tuple[Trace, pd.DataFrame, dict[str, int]]:
    """Trace a piece of code; return the trace, its rows, and what the program said."""
    out = path.parent.parent / "said"
    shell = f'exec "$@" > {out}'
    command = ["sh", "-c", shell, "sh", sys.executable, "-c", PROGRAM, str(path), code]
    with ior_trace(command=command, session=session, families="all", **options) as t:
        pass
    assert t.returncode == 0
    assert t.accounting.complete
    said: dict[str, int] = json.loads(out.read_text())
    return t, t.df(), said


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of random bytes on an ext4 of its own."""
    with ext4(tmp_path_factory.mktemp("disk")) as place:
        data = place / "data"
        data.write_bytes(np.random.default_rng(7).bytes(SIZE))
        subprocess.run(["sync", str(data)], check=True)
        yield data


@dataclass
class Sent:
    """What a server has sent: when it was asked (ns of the rows' clock), and how many bytes."""

    reads: np.ndarray[Any, Any]

    def since(self, ns: int) -> int:
        """Return how many bytes it was asked for since then: a kernel may drop a page it has read, and ask again."""
        return int(self.reads[self.reads[:, 0] >= ns, 1].sum())


@dataclass
class Served:
    """A file of a file system in user space."""

    file: Path
    server: subprocess.Popen[str]

    def end(self) -> Sent:
        """Unmount it; return what its server has sent."""
        subprocess.run(["umount", "-l", str(self.file.parent)], check=True)
        return Sent(np.array(json.loads(self.server.communicate()[0])).reshape(-1, 2))


@pytest.fixture
def served(tmp_path: Path, required: Callable[[str], None]) -> Iterator[Served]:
    """One whose server takes 2 ms for each answer."""
    place = tmp_path / "served"
    place.mkdir()
    command = [sys.executable, str(HERE / "fuse.py"), str(place), str(SIZE), "0.002"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        if not server.stdout.readline():
            required("no file system in user space here: /dev/fuse cannot be mounted")

        made = Served(place / "object", server)
        yield made

        if server.poll() is None:
            made.end()


RANDOM = """
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM); any = random.Random(1)
for _ in range(97): os.pread(fd, 4096, any.randrange(5000) * 4096)
"""
THREADS = """
part = lambda k: [os.pread(fd, 1 << 20, i << 20) for i in range(k, 23, 2)]
threads = [threading.Thread(target=part, args=(k,)) for k in (0, 1)]
[t.start() for t in threads]; [t.join() for t in threads]
"""
SENT = """
a, b = os.pipe(); reader = threading.Thread(target=lambda: [os.read(a, 65536) for _ in range(23)])
reader.start(); [os.sendfile(b, fd, i << 20, 65536) for i in range(23)]; reader.join()
"""
CODE = {
    "cold": "drop(); whole()",
    "cold, by megabytes": "drop(); whole(1 << 20)",
    "warm": "whole(); before = read_bytes(); whole()",
    "random": f"drop(); {RANDOM}",
    "direct": """
drop(); room = mmap.mmap(-1, 1 << 20); there = os.open(path, os.O_RDONLY | os.O_DIRECT)
for i in range(7): os.preadv(there, [room], i << 20)
""",
    "two threads": f"drop(); {THREADS}",
    "sent": f"drop(); {SENT}",
}


@pytest.mark.parametrize("way", CODE)
def test_bytes_fetched_are_those_the_kernel_counts(session: TracerSession, disk: Path, way: str) -> None:
    """By file, to the byte: what calls fetched is what /proc/PID/io says the process made the device read."""
    t, rows, said = run(session, disk, CODE[way])
    files = t.files()

    fetched = int(files.fetched_bytes[files.file == str(disk)].sum())
    if way == "warm":
        mine = rows[rows.file == str(disk)]
        at = int(np.flatnonzero(mine.syscall == "lseek")[1])
        assert said["read_bytes"] == 0
        assert not mine.fetched_bytes[at:].any()
        assert set(mine.source[at:][mine.bytes[at:] > 0]) <= {"cache"}
    else:
        assert fetched == said["read_bytes"] > 0
    if way == "direct":
        assert set(rows.source[rows.syscall.str.startswith("preadv")]) == {"direct"}
    if way == "cold":
        assert said["read_bytes"] == SIZE


def test_bytes_a_server_has_to_send_are_counted_too(session: TracerSession, served: Served) -> None:
    """A file system in user space counts nothing in /proc/PID/io; what its pages brought in does."""
    _, rows, said = run(session, served.file, "whole(); os.lseek(fd, 0, 0); whole()")
    sent = served.end()

    mine = rows[(rows.file == str(served.file)) & (rows.syscall == "read")]
    assert said["read_bytes"] < SIZE // 10  # a page of a program may have been evicted
    assert int(mine.fetched_bytes.sum()) == sent.since(0) >= SIZE
    half = len(mine) // 2
    assert int(mine.fetched_bytes[half:].sum()) == sent.since(mine.time_ns.iloc[half]) < SIZE // 10
    assert mine.wait_device_ns[:half].sum() + mine.wait_other_ns[:half].sum() > mine.on_cpu_ns[:half].sum()


# Each is done twice: what comes the second time is there.
SERVED = {
    "by megabytes": "whole(1 << 20)",
    "random": RANDOM,
    "two threads": THREADS,
    "sent": SENT,
    "mapped": "data = mmap.mmap(fd, 0, prot=mmap.PROT_READ); [data[at] for at in range(0, len(data), 4096)]",
    "mapped, at random": "data = mmap.mmap(fd, 0, prot=mmap.PROT_READ); data.madvise(mmap.MADV_RANDOM)\n"
    "any = random.Random(1); [data[any.randrange(5000) * 4096] for _ in range(97)]",
}


@pytest.mark.parametrize("way", SERVED)
def test_what_was_fetched_is_what_the_server_sent(session: TracerSession, served: Served, way: str) -> None:
    """To the byte, by calls and by faults; what it need not send the second time is not fetched then."""
    t, rows, _ = run(session, served.file, f"exec({SERVED[way]!r})\nos.lseek(fd, 0, 0)\nexec({SERVED[way]!r})")
    files = t.files()
    sent = served.end()

    mine = rows[rows.file == str(served.file)]
    again = mine[int(np.flatnonzero(mine.syscall == "lseek")[-1]) :]
    fetched = int(files.fetched_bytes[files.file == str(served.file)].sum())
    assert fetched == sent.since(0) > 0
    assert int(again.fetched_bytes.clip(0).sum()) <= sent.since(again.time_ns.iloc[0]) < fetched // 10
    assert ("page_fault" in set(mine.syscall)) == way.startswith("mapped")


LOCK = """
lock = threading.Lock(); lock.acquire(); threading.Timer(0.2, lock.release).start(); lock.acquire()
"""
PEER = "a, b = socket.socketpair(); threading.Timer(0.15, b.send, [b'x']).start(); a.recv(1)"
TWO_WRITERS = """
name = os.path.dirname(path) + '/two'; there = os.open(name, os.O_CREAT | os.O_RDWR); big = b'x' * (4 << 20)
threads = [threading.Thread(target=lambda: [os.pwrite(there, big, 0) for _ in range(29)]) for _ in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]; os.unlink(name)
"""
# The code, its call that waits, the part that has most of what it slept.
WAITS = {
    "lock of a program": (LOCK, "futex", "wait_other_ns"),
    "slow peer": (PEER, "recvfrom", "wait_other_ns"),
    "child": ("subprocess.run(['sleep', '0.15'])", "wait4", "wait_other_ns"),
    "device": (f"drop(); {RANDOM}", "pread64", "wait_device_ns"),
    "lock in the kernel": (TWO_WRITERS, "pwrite64", "wait_lock_ns"),
}


@pytest.mark.parametrize("what", WAITS)
def test_a_wait_is_told_by_what_it_is_for(session: TracerSession, disk: Path, what: str) -> None:
    """The kind of the wait has the time; and of every call the parts are the latency, to the nanosecond."""
    code, call, part = WAITS[what]
    _, rows, _ = run(session, disk, code)

    done = rows[rows.state == "done"]
    waited = done[done.syscall == call]
    slept = [name for name in PARTS if name not in ("on_cpu_ns", "wait_cpu_ns")]
    assert (done[list(PARTS)] >= 0).all(axis=None)
    assert (done[list(PARTS)].sum(axis=1) == done.latency_ns.astype("int64")).all()
    assert waited[part].sum() == max(waited[name].sum() for name in slept) > 0


BUSY = """
os.sched_setaffinity(0, {0})
busy = [subprocess.Popen([sys.executable, '-c', 'while 1: pass']) for _ in range(2)]
whole(); drop(); os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM); any = random.Random(1)
delayed = run_delay(); os.lseek(fd, 0, 0)
for _ in range(97): os.pread(fd, 4096, any.randrange(5000) * 4096)  # who sleeps in a call queues in it when it is woken
after = lambda: [b.kill() for b in busy]
"""


def test_waiting_for_a_processor_is_what_the_scheduler_counts(session: TracerSession, disk: Path) -> None:
    """Beside busy processes on one processor: most of what /proc/PID/schedstat counts; the rest is not in calls."""
    _, rows, said = run(session, disk, BUSY)

    mine = rows[rows.file == str(disk)]
    mine = mine.iloc[int(np.flatnonzero(mine.syscall == "lseek")[1]) :]
    assert 0.5 * said["run_delay"] < mine.wait_cpu_ns.sum() <= said["run_delay"]


def test_without_waits_only_those_for_a_processor_are_told(session: TracerSession, disk: Path) -> None:
    """`waits=False`: nothing hangs at the scheduler, and its columns say that nobody measured."""
    _, rows, _ = run(session, disk, "whole()", waits=False)

    assert (rows[["wait_device_ns", "wait_lock_ns", "wait_other_ns", "on_cpu_ns"]] == -1).all(axis=None)
    assert (rows.wait_cpu_ns >= 0).all()

"""Values that take more than an argument and a result: what they have to be is told by the kernel, by another way."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ior_nb.result.trace import Trace
from ior_nb.runtime import Row
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from ior_nb.syscalls.machine import NUMBERS

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
O_PATH, O_TMPFILE = 0o10000000, 0o20200000
MSG_PEEK, MSG_TRUNC, MSG_DONTWAIT = 2, 0x20, 0x40
RESOLVE_IN_ROOT = 0x10


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_uint64] | None) -> int:
    """Make a system call; return its result."""
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(LIBC.syscall(ctypes.c_long(NUMBERS[name]), *words))


def link_of(fd: int) -> str:
    """Return what the kernel calls an open file."""
    return os.readlink(f"/proc/self/fd/{fd}")


def only_row(trace: Trace, syscall: str) -> Row:
    """Return the one row of a call."""
    (row,) = trace.batch.take(trace.batch.text("syscall") == syscall)
    return row


def compiled(folder: Path, text: str, *flags: str) -> str:
    """Compile a C program; return where it is."""
    (folder / "program.c").write_text(text)
    subprocess.run(["gcc", "-w", *flags, "-o", folder / "program", folder / "program.c"], check=True)
    return str(folder / "program")


# ---- messages and vectors


class Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("at", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.c_void_p),
        ("entries", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", Header), ("length", ctypes.c_uint32))


class Messages:
    """Messages with buffers of these sizes, one list a message."""

    def __init__(self, sizes: list[list[int]]) -> None:
        self._buffer = ctypes.create_string_buffer(max(sum(s) for s in sizes) + 1)
        self.array = (Message * len(sizes))()
        self._vectors = []
        for message, lengths in zip(self.array, sizes, strict=True):
            vector = (Vector * len(lengths))(*[Vector(ctypes.addressof(self._buffer), n) for n in lengths])
            self._vectors.append(vector)
            message.header.vector, message.header.entries = ctypes.addressof(vector), len(lengths)

    @property
    def lengths(self) -> list[int]:
        """What the kernel has written: msg_len of each."""
        return [message.length for message in self.array]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected datagram sockets with room for many messages."""
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        receiver.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
        receiver.bind(("127.0.0.1", 0))
        sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sender.connect(receiver.getsockname())
        yield sender, receiver


@pytest.mark.parametrize("count", [1, 3, 64, 65, 1024])
def test_messages_move_what_the_kernel_says_of_each(
    count: int, session: TracerSession, pair: tuple[socket.socket, socket.socket]
) -> None:
    """What sendmmsg and recvmmsg move is the msg_len of as many messages as they return, up to the kernel's limit."""
    sender, receiver = pair
    out, into = (
        Messages([[i % 97, 7] for i in range(count)]),
        Messages([[300]] * (count + 1 if count < 1024 else count)),
    )
    with ior_trace(session=session) as t:
        sent = LIBC.sendmmsg(sender.fileno(), out.array, count, 0)
        got = LIBC.recvmmsg(receiver.fileno(), into.array, len(into.array), MSG_DONTWAIT, None)
    rows = {row.syscall: (row.ret, row.bytes) for row in t.batch}

    assert sent == got == count
    assert rows["sendmmsg"] == (count, sum(out.lengths))
    assert rows["recvmmsg"] == (count, sum(into.lengths[:got]))
    assert {name: t.counters[name]["bytes"] for name in rows} == {name: size for name, (_, size) in rows.items()}


def test_messages_that_fail_move_nothing(session: TracerSession, pair: tuple[socket.socket, socket.socket]) -> None:
    """A receive without messages, and one that only peeks, move nothing; a send is cut where it fails."""
    sender, receiver = pair
    out, into = Messages([[100], [70_000], [100]]), Messages([[300]] * 3)
    with ior_trace(session=session) as t:
        assert LIBC.recvmmsg(receiver.fileno(), into.array, 3, MSG_DONTWAIT, None) == -1
        assert LIBC.sendmmsg(sender.fileno(), out.array, 3, 0) == 1
        assert LIBC.recvmmsg(receiver.fileno(), into.array, 3, MSG_DONTWAIT | MSG_PEEK, None) >= 1

    assert [(row.syscall, row.bytes) for row in t.batch] == [("recvmmsg", 0), ("sendmmsg", 100), ("recvmmsg", 0)]
    assert {name: c["bytes"] for name, c in t.counters.items()} == {"recvmmsg": 0, "sendmmsg": 100}


@pytest.mark.parametrize("buffers", [1, 100])
def test_of_cut_messages_what_fits_counts(
    buffers: int, session: TracerSession, pair: tuple[socket.socket, socket.socket]
) -> None:
    """With MSG_TRUNC msg_len is what was on the wire: of each message as much counts as its buffers hold."""
    sender, receiver = pair
    out, into = Messages([[500], [7], [500]]), Messages([[3] * buffers] * 3)
    assert LIBC.sendmmsg(sender.fileno(), out.array, 3, 0) == 3
    with ior_trace(session=session) as t:
        assert LIBC.recvmmsg(receiver.fileno(), into.array, 3, MSG_DONTWAIT | MSG_TRUNC, None) == 3
    row = only_row(t, "recvmmsg")

    assert into.lengths == [500, 7, 500]
    assert row.bytes == sum(min(n, 3 * buffers) for n in into.lengths) == t.counters["recvmmsg"]["bytes"]


@pytest.mark.parametrize("buffers", [1, 64, 65, 100, 1024])
def test_of_a_cut_datagram_what_fits_counts(
    buffers: int, session: TracerSession, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A receive with MSG_TRUNC into any number of buffers moves what they hold, and asked for that much."""
    sender, receiver = pair
    sender.send(bytes(5000))
    into = Messages([[3] * buffers])
    with ior_trace(session=session) as t:
        got = LIBC.recvmsg(receiver.fileno(), ctypes.byref(into.array[0].header), MSG_TRUNC)
    row = only_row(t, "recvmsg")

    assert got == row.ret == 5000
    assert row.bytes == row.requested_bytes == 3 * buffers == t.counters["recvmsg"]["bytes"]


@pytest.mark.parametrize("buffers", [64, 65, 1024])
def test_long_vectors_say_what_was_asked_for(buffers: int, session: TracerSession) -> None:
    """A readv of any number of buffers has the sum of their sizes as what was asked for."""
    with Path("/dev/zero").open("rb") as zero, ior_trace(session=session) as t:
        os.readv(zero.fileno(), [bytearray(5)] * buffers)
    row = only_row(t, "readv")

    assert (row.bytes, row.requested_bytes) == (5 * buffers, 5 * buffers)


# ---- files meant by a descriptor


@pytest.mark.parametrize("memory", [False, True], ids=["file", "memfd"])
def test_a_program_run_by_descriptor_is_named(memory: bool, session: TracerSession) -> None:
    """A program run by descriptor, in a child just forked that cannot read the empty path, is named as the file."""
    fd = os.open("/bin/true", os.O_RDONLY | os.O_CLOEXEC)
    if memory:
        copy = os.memfd_create("program", os.MFD_CLOEXEC)
        os.sendfile(copy, fd, 0, os.fstat(fd).st_size)
        os.close(fd)
        fd = os.open(f"/proc/self/fd/{copy}", os.O_RDONLY | os.O_CLOEXEC)
        os.close(copy)
    with ior_trace(session=session, syscalls="execveat", families=()) as t:
        child = os.fork()
        if not child:
            os.execve(fd, ["true"], {})
        assert os.waitpid(child, 0)[1] == 0
    row = only_row(t, "execveat")

    assert (row.file, row.fd, row.path_arg, row.ret) == (link_of(fd), fd, "", 0)
    assert row.inode == os.fstat(fd).st_ino
    os.close(fd)


RUN = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int c, char **v) {
  int folder = open("/usr/bin", O_PATH | O_DIRECTORY), status, bad = 0;
  char *none[] = {"true", 0};
  for (int i = 0; i < 4; i++) {
    pid_t child = fork();
    if (!child) {
      if (i == 0) syscall(SYS_execve, "/usr/bin/true", none, 0);
      if (i == 1) syscall(SYS_execveat, folder, "true", none, 0, 0);
      if (i == 2) syscall(SYS_execveat, folder, "not-there", none, 0, 0);
      if (i == 3) { chdir("/usr"); syscall(SYS_execve, "bin/./true", none, 0); }
      _exit(9);
    }
    waitpid(child, &status, 0);
    bad |= status != (i == 2 ? 9 << 8 : 0);
  }
  return bad;
}
"""


def test_a_program_is_named_where_its_name_cannot_be_read(session: TracerSession, tmp_path: Path) -> None:
    """In a child just forked the name lies in memory nobody has touched: the kernel's copy of it is taken."""
    with ior_trace(command=[compiled(tmp_path, RUN)], session=session, families="process") as t:
        pass
    runs = t.batch.take(t.batch["ppid"] == t.batch["pid"][0])
    rows = [(r.syscall, r.ret, r.file, r.path_arg) for r in runs if r.syscall.startswith("execve")]

    assert t.returncode == 0
    assert rows == [
        ("execve", 0, "/usr/bin/true", "/usr/bin/true"),
        ("execveat", 0, "/usr/bin/true", "true"),
        ("execveat", -2, "/usr/bin/not-there", "not-there"),
        ("execve", 0, "/usr/bin/true", "bin/./true"),
    ]


def test_an_empty_path_of_readlinkat_is_the_link_itself(session: TracerSession, tmp_path: Path) -> None:
    """A readlinkat of an O_PATH descriptor of a link names that link; one that fails names what it was asked about."""
    (tmp_path / "link").symlink_to("somewhere")
    (tmp_path / "file").touch()
    link, file = (os.open(tmp_path / n, O_PATH | os.O_NOFOLLOW) for n in ("link", "file"))
    buffer = (ctypes.c_uint64 * 9)()
    with ior_trace(session=session) as t:
        results = [call("readlinkat", fd, b"", buffer, 72) for fd in (link, file)]
    rows = [(r.ret > 0, r.fd, r.file) for r in t.batch]

    assert results[0] == 9
    assert results[1] < 0
    assert rows == [(True, link, link_of(link)), (False, file, link_of(file))]
    os.close(link)
    os.close(file)


def test_an_empty_old_path_of_linkat_is_the_descriptor_itself(session: TracerSession, tmp_path: Path) -> None:
    """A linkat of an O_TMPFILE names it as the source, whether it works or not; without the flag nothing is named."""
    fd = os.open(tmp_path, O_TMPFILE | os.O_WRONLY)
    before = link_of(fd)
    new = os.fsencode(tmp_path / "name")
    with ior_trace(session=session) as t:
        worked = [call("linkat", fd, b"", AT_FDCWD, new, flags) == 0 for flags in (0, AT_EMPTY_PATH, AT_EMPTY_PATH)]
    rows = [(r.old_file, r.file) for r in t.batch]

    assert worked == [False, True, False]
    assert rows[0] == ("", str(tmp_path / "name"))
    assert rows[1] == (before, str(tmp_path / "name"))
    assert rows[2][0] in (before, link_of(fd))
    os.close(fd)


def test_an_empty_path_is_the_descriptor_where_flags_say_so(session: TracerSession, tmp_path: Path) -> None:
    """Calls that take AT_EMPTY_PATH, or a null pointer, act on the descriptor; the same without the flag on nothing."""
    fd = os.open(tmp_path, os.O_RDONLY)
    buffer = (ctypes.c_uint64 * 64)()
    with ior_trace(session=session) as t:
        call("newfstatat", fd, b"", buffer, AT_EMPTY_PATH)
        call("statx", fd, b"", AT_EMPTY_PATH, 0x7FF, buffer)
        call("fchownat", fd, b"", -1, -1, AT_EMPTY_PATH)
        call("utimensat", fd, None, None, 0)
        call("fspick", fd, b"", 8)
        call("move_mount", fd, b"", fd, b"", 0x4 | 0x40)
        call("newfstatat", fd, b"", buffer, 0)
    rows = {r.syscall: (r.file, r.old_file) for r in t.batch[:-1]}

    assert {name: file for name, (file, _) in rows.items() if name != "fspick"} == dict.fromkeys(
        ("newfstatat", "statx", "fchownat", "utimensat", "move_mount"), str(tmp_path)
    )
    assert rows["move_mount"][1] == str(tmp_path)
    assert (t.batch[-1].file, t.batch[-1].fd) == ("", -1)
    os.close(fd)


@pytest.mark.parametrize(
    ("path", "below"),
    [
        (b"/nope", "nope"),
        (b"nope", "nope"),
        (b"/../nope", "nope"),
        (b"../../nope/x", "nope/x"),
        (b"/./..//nope", "nope"),
        (b"..nope", "..nope"),
    ],
)
def test_a_directory_that_is_the_root(path: bytes, below: str, session: TracerSession, tmp_path: Path) -> None:
    """A failed openat2 under RESOLVE_IN_ROOT names the path below its directory, from which no `..` leads out."""
    fd = os.open(tmp_path, O_PATH)
    how = (ctypes.c_uint64 * 3)(os.O_RDONLY, 0, RESOLVE_IN_ROOT)
    with ior_trace(session=session) as t:
        call("openat2", fd, path, how, 24)
    row = only_row(t, "openat2")

    assert (row.ret, row.file, row.path_arg) == (-2, f"{tmp_path}/{below}", path.decode())
    os.close(fd)


def test_namespaces_are_named_as_the_kernel_does(session: TracerSession) -> None:
    """Every kind of namespace file has the name readlink gives its descriptor."""
    files = [os.open(path, os.O_RDONLY) for path in sorted(Path("/proc/self/ns").iterdir())]
    with ior_trace(session=session) as t:
        for fd in files:
            os.fstat(fd)
    names = [row.file for row in t.batch]

    assert names == [link_of(fd) for fd in files]
    assert len(names) >= 8
    for fd in files:
        os.close(fd)


# ---- processes

SIBLING = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
  pid_t middle = fork();
  if (!middle) {
    if (!syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)) {
      dprintf(1, "%d %d\n", getpid(), getppid());
      _exit(0);
    }
    _exit(0);
  }
  while (wait(0) > 0);
  return 0;
}
"""


def test_a_sibling_has_its_callers_parent(session: TracerSession, tmp_path: Path) -> None:
    """A process made with CLONE_PARENT has the parent that getppid says in it."""
    program = compiled(tmp_path, SIBLING)
    with ior_trace(session=session) as t:
        said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    pid, parent = map(int, said.split())

    assert set(t.batch["ppid"][t.batch["pid"] == pid].tolist()) == {parent}


RECYCLED = """
import json, os
import ior_nb
def living(pid, then):
    with open("/proc/sys/kernel/ns_last_pid", "w") as last: last.write(str(pid - 1))
    child = os.fork()
    if not child:
        then()
        os._exit(0)
    os.waitpid(child, 0)
    assert child == pid
def look(name):
    try: os.stat("/ior-life-" + name)
    except OSError: pass
def middle():
    look("middle")
    living(30000, lambda: look("second"))
with ior_nb.trace() as t:
    living(30000, lambda: look("first"))
    living(29000, middle)
    living(30000, lambda: look("third"))
rows = [(r.file.rpartition("-")[2], r.pid, r.ppid) for r in t.batch if r.file.startswith("/ior-life-")]
table = t.processes()
print(json.dumps([rows, sorted(zip(table["pid"].tolist(), table["ppid"].tolist()))]))
"""


def test_every_life_of_a_process_number_has_its_own_parent() -> None:
    """Where a number is used again, and all is decoded together, each process has its parent, in rows and tables."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", RECYCLED]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    rows, table = json.loads(ran.stdout)

    assert rows == [["first", 30000, 1], ["middle", 29000, 1], ["second", 30000, 29000], ["third", 30000, 1]]
    assert table[1:] == [[29000, 1], [30000, 1], [30000, 1], [30000, 29000]]


# ---- renames by ways the program does not see

BY_RING = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int c, char **v) {   /* FOLDER how: w(ait) or n(ot: the kernel polls the ring) */
  struct io_uring_params p;
  memset(&p, 0, sizeof p);
  if (chdir(v[1])) return 9;
  mkdir("A", 0700); mkdir("A/B", 0700);
  int fd = open("A/B/f", O_CREAT | O_RDWR, 0600), polled = v[2][0] == 'n';
  write(fd, "1", 1);
  if (polled) p.flags = IORING_SETUP_SQPOLL, p.sq_thread_idle = 2000;
  int r = syscall(SYS_io_uring_setup, 4, &p);
  if (r < 0) return 77;
  char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, 3, MAP_SHARED, r, IORING_OFF_SQ_RING);
  char *cq = mmap(0, p.cq_off.cqes + p.cq_entries * 16, 3, MAP_SHARED, r, IORING_OFF_CQ_RING);
  struct io_uring_sqe *s = mmap(0, p.sq_entries * sizeof *s, 3, MAP_SHARED, r, IORING_OFF_SQES);
  memset(s, 0, sizeof *s);
  s->opcode = IORING_OP_RENAMEAT; s->fd = AT_FDCWD; s->addr = (long)"A"; s->len = AT_FDCWD; s->off = (long)"Z";
  *(unsigned *)(sq + p.sq_off.array) = 0;
  __atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (!polled) syscall(SYS_io_uring_enter, r, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
  while (!__atomic_load_n((unsigned *)(cq + p.cq_off.tail), __ATOMIC_ACQUIRE)) {
    if (__atomic_load_n((unsigned *)(sq + p.sq_off.flags), __ATOMIC_ACQUIRE) & IORING_SQ_NEED_WAKEUP)
      syscall(SYS_io_uring_enter, r, 0, 0, IORING_ENTER_SQ_WAKEUP, 0, 0);
    sched_yield();
  }
  if (((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res) return 3;
  write(fd, "22", 2);
  int g = open("Z/B/f", O_RDWR);
  write(g, "333", 3);
  return 0;
}
"""


@pytest.mark.parametrize("how", ["waiting", "not waiting"])
def test_renames_through_a_ring_are_seen(
    how: str, session: TracerSession, tmp_path: Path, required: Callable[[str], None]
) -> None:
    """A folder renamed by io_uring, even without a system call: files below it have their new path at once."""
    program = compiled(tmp_path, BY_RING)
    with ior_trace(command=[program, str(tmp_path), how], session=session) as t:
        pass
    if t.returncode == 77:
        required("io_uring cannot be used here")
    files = {row.ret: row.file for row in t.batch if row.syscall == "write"}

    assert t.returncode == 0
    assert files == {1: f"{tmp_path}/A/B/f", 2: f"{tmp_path}/Z/B/f", 3: f"{tmp_path}/Z/B/f"}


BY_COMPAT = r"""
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static long entry(long nr, long a, long b, long c) {
  long r;
  __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(0x1000), "D"(0) : "memory");
  return r;
}
int main(int c, char **v) {   /* FOLDER; at each byte it reads: rename A to Z; bind Z to W */
  char *m = mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0), x;
  if (chdir(v[1])) return 9;
  strcpy(m, "A"); strcpy(m + 99, "Z");
  read(0, &x, 1);
  write(1, entry(38, (long)m, (long)m + 99, 0) ? "n" : "y", 1);
  return 0;
}
"""


@pytest.mark.skipif("rename" not in NUMBERS, reason="the 32-bit entry is x86-64's")
@pytest.mark.parametrize("within", [False, True], ids=["another", "its own"])
def test_renames_by_32_bit_calls_are_seen(
    within: bool, session: TracerSession, tmp_path: Path, required: Callable[[str], None]
) -> None:
    """A folder renamed by a 32-bit call, of a traced process or of another: files below it have their new path."""
    program = compiled(tmp_path, BY_COMPAT)
    (tmp_path / "A/B").mkdir(parents=True)
    fd = os.open(tmp_path / "A/B/f", os.O_CREAT | os.O_RDWR)
    warned = pytest.warns(UserWarning, match="32-bit") if within else contextlib.nullcontext()
    with subprocess.Popen([program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        with warned, ior_trace(session=session, follow=within) as t:
            os.write(fd, b"1")
            os.write(other.stdin.fileno(), b"g")
            done = os.read(other.stdout.fileno(), 1)
            os.write(fd, b"22")
    if done != b"y":
        required("there is no 32-bit entry here")
    files = {row.ret: row.file for row in t.batch if row.fd == fd}

    assert files == {1: f"{tmp_path}/A/B/f", 2: link_of(fd)}
    assert link_of(fd) == f"{tmp_path}/Z/B/f"
    os.close(fd)


# ---- control groups

DEEP = """
import json, os, subprocess, sys
import ior_nb
from ior_nb import errors
path, made, seen = sys.argv[1] + "/ior-nb-test", [], {}
try:
    for level in range(70):
        os.mkdir(path)
        made.append(path)
        path += "/d"
    for level in (1, 15, 16, 40, 60):
        with ior_nb.trace(cgroup=made[level - 1]) as t:
            run = f"echo $$ > {made[max(level, 69) - 1]}/cgroup.procs; exec cat /etc/hostname"
            subprocess.run(["sh", "-c", run], stdout=subprocess.DEVNULL, check=True)
        seen[level] = sum(r.file == "/etc/hostname" and r.syscall == "openat" for r in t.batch)
    try:
        with ior_nb.trace(cgroup=made[69]): pass
    except errors.ConfigError as error: seen["70"] = str(error)
finally:
    for folder in reversed(made): os.rmdir(folder)
print(json.dumps(seen))
"""


def test_control_groups_of_any_depth(tmp_path: Path) -> None:
    """Processes far below a control group are traced; one too deep to be looked for is refused, and says so."""
    mounting = 'mount -t cgroup2 none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "sh", "-c", mounting, "sh", str(tmp_path), sys.executable, DEEP]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)

    assert "levels" in seen.pop("70")
    assert seen == {str(level): 1 for level in (1, 15, 16, 40, 60)}

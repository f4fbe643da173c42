"""Scenarios of what is no file of a tree: memory, sockets, messages, waiting, mounts, rings, processes, keys."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import signal
import socket
import struct
import time
from typing import Any

from tests.live.scenarios.calls import ANY, AT_FDCWD, NULL, Calls, Fd, NotHere, at_least, buffer, mapped, scenario

PAGE = mmap.PAGESIZE


# ---- memory


@scenario("mmap-basic")
def mmap_basic(c: Calls) -> None:
    fd = c.open("f", content=bytes(2 * PAGE))
    c.call(
        *("mmap", NULL, 2 * PAGE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0), error=None,
        file=fd.name, bytes=0, address_space_bytes=2 * PAGE,
    )  # fmt: skip


def _mapped(c: Calls) -> tuple[int, str]:
    fd = c.open("f", content=bytes(2 * PAGE))
    return c.raw("mmap", NULL, 2 * PAGE, 3, mmap.MAP_SHARED, fd, 0), fd.name


@scenario("mmap-msync-sync")
def mmap_msync(c: Calls) -> None:
    at, name = _mapped(c)
    c.call("msync", at, PAGE, 4, file=name)


@scenario("mmap-msync-invalid-flags")
def mmap_msync_invalid(c: Calls) -> None:
    at, name = _mapped(c)
    c.call("msync", at, PAGE, 5, error=errno.EINVAL, is_error=True, file=name)


@scenario("mmap-mremap-munmap")
def mmap_mremap_munmap(c: Calls) -> None:
    at = c.raw("mmap", NULL, 8192, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    moved = c.call("mremap", at, 8192, 8192, 1, NULL, address_space_bytes=8192)
    c.call("munmap", moved, 8192, address_space_bytes=8192)


@scenario("mmap-memory-lock")
def mmap_memory_lock(c: Calls) -> None:
    at, name = _mapped(c)
    c.call("mlock", at, PAGE, error=None, file=name)
    c.call("munlock", at, PAGE, error=None)
    c.call("madvise", at, PAGE, 4, file=name)
    c.call("mprotect", at, PAGE, 1)


# ---- sockets


@scenario("socket-basic")
def socket_basic(c: Calls) -> None:
    fd = c.opens("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0, socket="unix:stream:0")
    c.call("close", fd, socket="unix:stream:0")


@scenario("socketpair-basic")
def socketpair_basic(c: Calls) -> None:
    pair = (ctypes.c_int * 2)()
    at = len(c.log)
    c.call("socketpair", socket.AF_UNIX, socket.SOCK_STREAM, 0, pair)
    one, other = Fd(pair[0]), Fd(pair[1])
    c.log[at] |= {"file": one.name, "socket": "unix:stream:0"}
    c.call("write", one, b"abc", 3, bytes=3, socket="unix:stream:0")
    c.call("read", other, buffer(3), 3, bytes=3)


def _accepts(c: Calls, name: str, *flags: int) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    fd = Fd(listener.fileno())
    c.call("listen", fd, 5, socket=ANY)
    client = socket.create_connection(listener.getsockname())
    accepted = c.opens(name, fd, NULL, NULL, *flags, fd=int(fd), file=fd.name)  # what it acted on; `ret` is the new one
    client.sendall(b"seven!!")
    c.call("recvfrom", accepted, buffer(7), 7, 0, NULL, NULL, bytes=7)
    c.call("sendto", accepted, b"three", 5, 0, NULL, 0, bytes=5)
    c.call("shutdown", accepted, socket.SHUT_RDWR)
    c.call("close", accepted)
    client.close()


@scenario("socket-accept-lifecycle")
def socket_accept(c: Calls) -> None:
    _accepts(c, "accept4", os.O_CLOEXEC)


@scenario("socket-accept-plain")
def socket_accept_plain(c: Calls) -> None:
    _accepts(c, "accept")


@scenario("socket-introspection")
def socket_introspection(c: Calls) -> None:
    listener = socket.socket()
    fd = Fd(listener.fileno())
    address, size = buffer(struct.pack("HH12x", socket.AF_INET, 0)), buffer(struct.pack("I", 16))
    c.call("setsockopt", fd, socket.SOL_SOCKET, socket.SO_REUSEADDR, buffer(struct.pack("i", 1)), 4)
    c.call("bind", fd, address, 16)
    c.call("getsockname", fd, address, size)
    c.call("getsockopt", fd, socket.SOL_SOCKET, socket.SO_TYPE, buffer(4), size)
    c.call("getpeername", fd, address, size, error=errno.ENOTCONN, is_error=True)


# ---- communication


def _pipe(c: Calls, name: str, *flags: int) -> None:
    ends = (ctypes.c_int * 2)()
    at = len(c.log)
    c.call(name, ends, *flags)
    reader, writer = Fd(ends[0]), Fd(ends[1])
    c.log[at] |= {"file": reader.name}
    c.call("write", writer, b"abc", 3, bytes=3)
    c.call("read", reader, buffer(3), 3, bytes=3)
    c.call("close", writer)


@scenario("pipe-basic")
def pipe_basic(c: Calls) -> None:
    _pipe(c, "pipe")


@scenario("pipe2-basic")
def pipe2_basic(c: Calls) -> None:
    _pipe(c, "pipe2", os.O_CLOEXEC)


def _eventfd(c: Calls, name: str, *arguments: int) -> None:
    fd = c.opens(name, *arguments)
    c.call("write", fd, struct.pack("Q", 7), 8, bytes=8)
    c.call("read", fd, buffer(8), 8, bytes=8)
    c.call("close", fd)


@scenario("eventfd-basic")
def eventfd_basic(c: Calls) -> None:
    _eventfd(c, "eventfd", 0)


@scenario("eventfd2-basic")
def eventfd2_basic(c: Calls) -> None:
    _eventfd(c, "eventfd2", 0, 0)


@scenario("fd-from-air-eventfd-users")
def fd_from_air(c: Calls) -> None:
    timer = c.opens("timerfd_create", 1, 0)
    c.call("timerfd_settime", timer, 0, buffer(struct.pack("4q", 0, 0, 1, 0)), NULL)
    c.call("timerfd_gettime", timer, buffer(32))
    signals = c.opens("signalfd4", -1, buffer(struct.pack("Q", 1 << (signal.SIGUSR1 - 1))), 8, 0)
    c.call("close", signals)
    c.opens("memfd_create", "ior-nb", 0, path_arg="ior-nb")


@scenario("inotify-basic")
def inotify_basic(c: Calls) -> None:
    fd = c.opens("inotify_init1", 0)
    watch = c.call("inotify_add_watch", fd, c.folder, 0x100, file=c.folder)
    c.file("f")
    c.call("read", fd, buffer(4096), 4096, ret=at_least(16), bytes=at_least(16))
    c.call("inotify_rm_watch", fd, watch)


@scenario("fanotify")
def fanotify(c: Calls) -> None:
    group = c.raw("fanotify_init", 0, 0)
    if group < 0:
        raise NotHere(f"fanotify_init: {os.strerror(-group)}")
    os.close(group)
    fd = c.opens("fanotify_init", 0, os.O_RDONLY)
    c.call("fanotify_mark", fd, 1, 0x2, AT_FDCWD, c.folder, error=None, file=c.folder)
    c.call("close", fd)


@scenario("mq-posix-basic")
def mq_posix(c: Calls) -> None:
    name = f"ior-nb-{os.getpid()}"
    attributes = buffer(struct.pack("8l", 0, 4, 64, 0, 0, 0, 0, 0))
    queue = c.raw("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, attributes)
    if queue < 0:
        raise NotHere(f"mq_open: {os.strerror(-queue)}")
    os.close(queue)
    fd = c.opens("mq_open", name, os.O_RDWR, 0, NULL, file=ANY)
    c.call("mq_timedsend", fd, b"fourteen bytes", 14, 0, NULL, file=ANY, bytes=0)
    c.call("mq_timedreceive", fd, buffer(64), 64, NULL, NULL, file=ANY, bytes=14)
    c.call("mq_getsetattr", fd, NULL, buffer(64), file=ANY)
    c.call("mq_unlink", name, file=name)


@scenario("sysv-shm")
def sysv_shm(c: Calls) -> None:
    key = c.call("shmget", 0, PAGE, 0o1600)
    at = c.call("shmat", key, NULL, 0)
    c.call("shmdt", at)
    c.call("shmctl", key, 0, NULL)


@scenario("sysv-msg")
def sysv_msg(c: Calls) -> None:
    key = c.call("msgget", 0, 0o1600)
    c.call("msgsnd", key, buffer(struct.pack("q", 1) + b"seven!!"), 7, 0)
    c.call("msgrcv", key, buffer(64), 56, 0, 0, ret=7, bytes=7)
    c.call("msgctl", key, 0, NULL)


@scenario("sysv-sem-basic")
def sysv_sem(c: Calls) -> None:
    key = c.call("semget", 0, 1, 0o1600)
    c.call("semop", key, buffer(struct.pack("Hhh", 0, 1, 0)), 1)
    c.call("semtimedop", key, buffer(struct.pack("Hhh", 0, -1, 0)), 1, NULL)
    c.call("semctl", key, 0, 0, 0)


# ---- waiting


@scenario("polling-epoll")
def polling_epoll(c: Calls) -> None:
    reader, writer = (Fd(n) for n in os.pipe())
    os.write(writer, b"x")
    fd = c.opens("epoll_create1", 0)
    wanted = buffer(struct.pack("IQ", select.EPOLLIN, 7))
    more = {"epoll_target_fd": int(reader), "epoll_events": select.EPOLLIN}
    c.call("epoll_ctl", fd, 1, int(reader), wanted, epoll_op="ADD", **more)
    c.call("epoll_pwait", fd, buffer(256), 16, 1000, NULL, 8, ret=1, bytes=0, nfds=16, timeout_ns=1_000_000_000)
    c.call("epoll_ctl", fd, 3, int(reader), wanted, epoll_op="MOD", **more)
    c.call("epoll_ctl", fd, 2, int(reader), wanted, epoll_op="DEL", **more)


@scenario("polling-epoll-wait")
def polling_epoll_wait(c: Calls) -> None:
    fd = c.opens("epoll_create", 1)
    c.call("epoll_wait", fd, buffer(256), 16, 0, ret=0, bytes=0, nfds=16, timeout_ns=0)


@scenario("polling-epoll-pwait2")
def polling_epoll_pwait2(c: Calls) -> None:
    fd = c.opens("epoll_create1", 0)
    wait = buffer(struct.pack("qq", 0, 7))
    c.call("epoll_pwait2", fd, buffer(256), 16, wait, NULL, 8, ret=0, bytes=0, nfds=16, timeout_ns=7)


@scenario("polling-poll")
def polling_poll(c: Calls) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")
    fds = buffer(struct.pack("ihh", reader, select.POLLIN, 0) + struct.pack("ihh", writer, select.POLLOUT, 0))
    c.call("poll", fds, 2, 50, ret=2, nfds=2, timeout_ns=50_000_000)
    c.call("poll", fds, 2, -1, ret=2, nfds=2, timeout_ns=-1)


@scenario("polling-ppoll")
def polling_ppoll(c: Calls) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")
    fds = buffer(struct.pack("ihh", reader, select.POLLIN, 0))
    c.call("ppoll", fds, 1, buffer(struct.pack("qq", 1, 5)), NULL, 8, ret=1, nfds=1, timeout_ns=1_000_000_005)
    c.call("ppoll", fds, 1, NULL, NULL, 8, ret=1, nfds=1, timeout_ns=-1)


@scenario("polling-select")
def polling_select(c: Calls) -> None:
    c.call("select", 0, NULL, NULL, NULL, buffer(struct.pack("qq", 0, 13)), ret=0, timeout_ns=13_000)


@scenario("polling-pselect")
def polling_pselect(c: Calls) -> None:
    c.call("pselect6", 0, NULL, NULL, NULL, buffer(struct.pack("qq", 0, 17)), NULL, ret=0, timeout_ns=17)


# ---- mounts


@scenario("mountfs-management")
def mountfs(c: Calls) -> None:
    """Calls on mounts, quotas and swap are rows also where they fail, as all of these do."""
    missing = c.path("missing")
    calls: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...] = (
        ("mount", ("none", missing, "tmpfs", 0, NULL), {"file": missing, "old_file": ANY}),
        ("umount", (missing, 0), {"file": missing}),
        ("pivot_root", (missing, missing), {"file": ANY, "old_file": ANY}),
        ("swapon", (missing, 0), {"file": missing}),
        ("swapoff", (missing,), {"file": missing}),
        ("quotactl", (0, missing, 0, NULL), {"file": ANY}),
        ("quotactl_fd", (999, 0, 0, NULL), {"fd": 999}),
        ("fsopen", ("no-such-system", 0), {"file": ANY}),
        ("fsconfig", (999, 0, NULL, NULL, 0), {"fd": 999}),
        ("fsmount", (999, 0, 0), {"fd": ANY}),
        ("fspick", (AT_FDCWD, missing, 0), {"file": missing}),
        ("move_mount", (AT_FDCWD, missing, AT_FDCWD, missing, 0), {"file": missing, "old_file": missing}),
        ("open_tree", (AT_FDCWD, missing, 0), {"file": missing}),
        ("mount_setattr", (AT_FDCWD, missing, 0, NULL, 0), {"file": missing}),
        ("statfs", (missing, buffer(256)), {"file": missing}),
    )
    for name, arguments, columns in calls:
        assert c.call(name, *arguments, error=None, **columns) < 0, f"{name} worked"


# ---- asynchronous


@scenario("aio-setup")
def aio_setup(c: Calls) -> None:
    context = ctypes.c_ulong(0)
    c.call("io_setup", 4, context)
    c.call("io_getevents", context.value, 0, 4, NULL, NULL, ret=0)
    c.call("io_destroy", context.value)


@scenario("aio-setup-einval")
def aio_setup_einval(c: Calls) -> None:
    c.call("io_setup", 0, ctypes.c_ulong(1), error=errno.EINVAL, is_error=True)


@scenario("aio-submit")
def aio_submit(c: Calls) -> None:
    fd = c.open("f", content=b"hello world")
    context = ctypes.c_ulong(0)
    c.raw("io_setup", 4, context)
    into = buffer(5)
    block = buffer(struct.pack("QIIHhIQQqQII", 1, 0, 0, 0, 0, fd, ctypes.addressof(into), 5, 0, 0, 0, 0))
    c.call("io_submit", context.value, 1, (ctypes.c_ulong * 1)(ctypes.addressof(block)), ret=1)
    c.call("io_getevents", context.value, 1, 4, buffer(256), NULL, ret=1)


def _ring(c: Calls) -> Fd:
    parameters = buffer(120)
    number = c.raw("io_uring_setup", 4, parameters)
    if number < 0:
        raise NotHere(f"io_uring_setup: {os.strerror(-number)}")
    return Fd(number)


@scenario("iouring-setup")
def iouring_setup(c: Calls) -> None:
    os.close(_ring(c))
    fd = c.opens("io_uring_setup", 4, buffer(120), file="anon_inode:[io_uring]")
    c.call("close", fd)


@scenario("iouring-enter")
def iouring_enter(c: Calls) -> None:
    c.call("io_uring_enter", _ring(c), 0, 0, 0, NULL, 0, file="anon_inode:[io_uring]", ret=0)


@scenario("iouring-register")
def iouring_register(c: Calls) -> None:
    ring, fd = _ring(c), c.open("f")
    c.call("io_uring_register", ring, 2, buffer(struct.pack("i", fd)), 1, file="anon_inode:[io_uring]")
    c.call("io_uring_register", ring, 3, NULL, 0, file="anon_inode:[io_uring]")


@scenario("iouring-enter-ebadf")
def iouring_enter_ebadf(c: Calls) -> None:
    os.close(_ring(c))
    c.call("io_uring_enter", 999, 0, 0, 0, NULL, 0, error=errno.EBADF, is_error=True, fd=999)


@scenario("iouring-register-ebadf")
def iouring_register_ebadf(c: Calls) -> None:
    os.close(_ring(c))
    c.call("io_uring_register", 999, 2, NULL, 0, error=errno.EBADF, is_error=True, fd=999)


@scenario("iouring-registered-ring")
def iouring_registered(c: Calls) -> None:
    """Entered by its index: the descriptor of the row is no descriptor of the process."""
    ring = _ring(c)
    update = buffer(struct.pack("IIQ", 0xFFFFFFFF, 0, ring))
    if (done := c.raw("io_uring_register", ring, 20, update, 1)) < 0:
        raise NotHere(f"IORING_REGISTER_RING_FDS: {os.strerror(-done)}")
    (index,) = struct.unpack_from("I", update)
    c.call("io_uring_enter", index, 0, 0, 0x10, NULL, 0, ret=0, file=ANY)
    c.call(
        "io_uring_register", ring, 21, buffer(struct.pack("IIQ", index, 0, 0)), 1, ret=1, file="anon_inode:[io_uring]"
    )


@scenario("iouring-ring-lifecycle")
def iouring_lifecycle(c: Calls) -> None:
    """The number of a closed ring given to a file: the row says the file."""
    ring = _ring(c)
    number = int(ring)
    c.call("io_uring_enter", ring, 0, 0, 0, NULL, 0, file="anon_inode:[io_uring]", ret=0)
    c.call("close", ring, file="anon_inode:[io_uring]")
    again = c.open("f")
    assert again == number
    c.call("read", again, buffer(3), 3, fd=number)


def _submit(ring: int, parameters: ctypes.Array[ctypes.c_char], entry: bytes, c: Calls) -> int:
    """Let an io_uring do one operation; return its result."""
    words = struct.unpack_from("10I", parameters, 0)
    sq = struct.unpack_from("10I", parameters, 40)  # head tail mask entries flags dropped array
    cq = struct.unpack_from("10I", parameters, 80)  # head tail mask entries overflow cqes
    queue = mapped(ring, sq[6] + words[0] * 4, 3, mmap.MAP_SHARED)
    done = mapped(ring, cq[5] + words[1] * 16, 3, mmap.MAP_SHARED, 0x8000000)
    entries = mapped(ring, words[0] * 64, 3, mmap.MAP_SHARED, 0x10000000)
    ctypes.memmove(entries, entry, 64)
    ctypes.c_uint.from_address(queue + sq[6]).value = 0
    ctypes.c_uint.from_address(queue + sq[1]).value = 1
    c.raw("io_uring_enter", ring, 1, 1, 1, NULL, 0)
    return ctypes.c_int.from_address(done + cq[5] + 8).value


@scenario("iouring-reopen")
def iouring_reopen(c: Calls) -> None:
    """A ring closes a file and opens another, which has the number then: rows follow the file."""
    first, second = c.open("first"), c.file("second")
    parameters = buffer(120)
    ring = c.raw("io_uring_setup", 4, parameters)
    if ring < 0:
        raise NotHere(f"io_uring_setup: {os.strerror(-ring)}")
    c.call("read", first, buffer(3), 3)
    os.close(first)
    path = buffer(os.fsencode(second) + b"\0")
    opens = struct.pack("BBHiQQIIQ24x", 18, 0, 0, AT_FDCWD, 0, ctypes.addressof(path), 0, os.O_RDWR, 0)
    got = _submit(ring, parameters, opens, c)
    if got < 0:
        raise NotHere(f"IORING_OP_OPENAT: {os.strerror(-got)}")
    assert got == first
    c.call("write", Fd(got), b"abc", 3, bytes=3, file=second)


@scenario("iouring-reopen-control")
def iouring_control(c: Calls) -> None:
    """The same without the ring's opening."""
    first = c.open("first")
    c.call("read", first, buffer(3), 3)
    c.call("write", first, b"abc", 3, bytes=3)


# ---- processes as descriptors


@scenario("pidfd-getfd-success")
def pidfd_getfd(c: Calls) -> None:
    fd = c.open("f")
    process = c.opens("pidfd_open", os.getpid(), 0, file=ANY)
    copy = Fd(c.call("pidfd_getfd", process, int(fd), 0, file=ANY))
    c.call("write", copy, b"abc", 3, bytes=3, file=c.path("f"))


@scenario("pidfd-getfd-failure")
def pidfd_getfd_failure(c: Calls) -> None:
    process = Fd(os.pidfd_open(os.getpid()))
    c.call("pidfd_getfd", process, 999, 0, error=errno.EBADF, is_error=True, file=ANY)
    fd = c.open("f")
    c.call("write", fd, b"abc", 3, bytes=3)


# ---- security


@scenario("security-keys-ptrace-perf")
def security_keys(c: Calls) -> None:
    c.call("add_key", "user", "ior-nb", b"x", 1, -1, error=None, file=ANY)
    c.call("keyctl", 0, -1, 0, error=None)
    c.call("ptrace", 7, 1, 0, 0, error=None)  # PTRACE_CONT of what is not traced
    c.call("perf_event_open", buffer(128), 0, -1, -1, 0, error=None, file=ANY)


@scenario("security-getrandom")
def security_getrandom(c: Calls) -> None:
    c.call("getrandom", buffer(16), 16, 0, ret=16, bytes=16)


@scenario("security-landlock")
def security_landlock(c: Calls) -> None:
    rules = c.raw("landlock_create_ruleset", buffer(struct.pack("Q", 1)), 8, 0)
    if rules < 0:
        raise NotHere(f"landlock: {os.strerror(-rules)}")
    os.close(rules)
    returned = c.call("landlock_create_ruleset", buffer(struct.pack("Q", 1)), 8, 0)  # not always a descriptor
    c.call("close", Fd(returned))


@scenario("security-perf-close")
def security_perf(c: Calls) -> None:
    """A software counter: opened and closed it has one name."""
    attributes = struct.pack("IIQQQQQ", 1, 128, 1, 0, 0, 0, 0) + bytes(80)
    number = c.raw("perf_event_open", buffer(attributes), 0, -1, -1, 0)
    if number < 0:
        raise NotHere(f"perf_event_open: {os.strerror(-number)}")
    os.close(number)
    fd = c.opens("perf_event_open", buffer(attributes), 0, -1, -1, 0)
    c.call("close", fd)


@scenario("security-bpf")
def security_bpf(c: Calls) -> None:
    attributes = buffer(struct.pack("5I", 2, 4, 4, 1, 0) + bytes(108))
    number = c.raw("bpf", 0, attributes, 128)
    if number < 0:
        raise NotHere(f"bpf: {os.strerror(-number)}")
    os.close(number)
    returned = c.call("bpf", 0, attributes, 128)  # not every command returns a descriptor
    c.call("close", Fd(returned))


@scenario("security-seccomp")
def security_seccomp(c: Calls) -> None:
    c.call("seccomp", 2, 0, buffer(struct.pack("I", 0x7FFF0000)), error=None)  # is SECCOMP_RET_ALLOW known?


@scenario("anonymous-names-in-turn")
def anonymous_in_turn(c: Calls) -> None:
    """Names of one length, in turn, at addresses that come again: all are the one anonymous inode."""
    kinds = (
        ("timerfd_create", (1, 0)),
        ("eventfd2", (0, 0)),
        ("signalfd4", (-1, buffer(8), 8, 0)),
        ("epoll_create1", (0,)),
    )
    for at in range(2000):
        name, arguments = kinds[at % 4]
        fd = c.opens(name, *arguments)
        c.call("close", fd)
        if at % 50 == 0:
            time.sleep(0.001)  # for the kernel to free

"""Scenarios of open descriptors: open, read, write, receive, close, duplicate."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import threading
import time

from tests.live.scenarios.calls import ANY, AT_FDCWD, NULL, Calls, Fd, at_least, buffer, iovecs, scenario

AT_EMPTY_PATH = 0x1000


# ---- open


@scenario("open-basic")
def open_basic(c: Calls) -> None:
    path = c.path("f")
    fd = c.opens("openat", AT_FDCWD, path, os.O_RDWR | os.O_CREAT, 0o600, path_arg=path)
    c.call("write", fd, b"hello", 5, bytes=5, requested_bytes=5)
    c.call("close", fd, fd=int(fd))


@scenario("open-openat2")
def open_openat2(c: Calls) -> None:
    path = c.file("f")
    fd = c.opens("openat2", AT_FDCWD, path, buffer(struct.pack("QQQ", os.O_RDONLY, 0, 0)), 24, open_flags=os.O_RDONLY)
    c.call("close", fd)


@scenario("open-creat")
def open_creat(c: Calls) -> None:
    fd = c.opens("creat", c.path("f"), 0o600)
    c.call("close", fd)


def _handle(c: Calls, path: str) -> tuple[Fd, object]:
    """Return a descriptor of the mount and the handle of a file."""
    handle = buffer(struct.pack("Ii", 120, 0) + bytes(120))
    c.call("name_to_handle_at", AT_FDCWD, path, handle, buffer(4), 0, file=path)
    return Fd(os.open(c.folder, os.O_RDONLY | os.O_DIRECTORY)), handle


@scenario("open-by-handle-at")
def open_by_handle_at(c: Calls) -> None:
    path = c.file("f", b"seven!!")
    mount, handle = _handle(c, path)
    fd = c.opens("open_by_handle_at", mount, handle, os.O_RDONLY, file=path)
    c.call("read", fd, buffer(7), 7, bytes=7)
    c.call("close", fd)


@scenario("open-enoent")
def open_enoent(c: Calls) -> None:
    path = c.path("missing")
    c.call("openat", AT_FDCWD, path, os.O_RDONLY, 0, error=errno.ENOENT, file=path, is_error=True, fd=-1)


@scenario("open-rdonly-write")
def open_rdonly_write(c: Calls) -> None:
    path = c.file("f")
    fd = c.opens("openat", AT_FDCWD, path, os.O_RDONLY, 0)
    c.call("write", fd, b"hello", 5, error=errno.EBADF, is_error=True)


@scenario("open-duration-gap")
def open_duration_gap(c: Calls) -> None:
    path = c.file("f")
    c.opens("openat", AT_FDCWD, path, os.O_RDONLY, 0)
    until = time.monotonic() + 0.15
    while time.monotonic() < until:  # no call, as far as the C library reads the clock by itself
        pass
    c.opens("openat", AT_FDCWD, path, os.O_RDONLY, 0, gap_ns=at_least(140_000_000))


# ---- handles


@scenario("open-by-handle-at-reuse")
def open_by_handle_at_reuse(c: Calls) -> None:
    paths = [c.file("one"), c.file("two")]
    for path in paths:  # the second gets the first one's number
        mount, handle = _handle(c, path)
        fd = c.opens("open_by_handle_at", mount, handle, os.O_RDWR, file=path)
        c.call("write", fd, b"abc", 3, bytes=3, file=path)
        c.call("close", fd, file=path)
        os.close(mount)


@scenario("open-by-handle-at-threads")
def open_by_handle_at_threads(c: Calls) -> None:
    path = c.file("f", b"eleven bytes")
    mount, handle = _handle(c, path)
    opened: list[Fd] = []

    def one() -> None:
        opened.append(c.opens("open_by_handle_at", mount, handle, os.O_RDONLY, file=path))

    thread = threading.Thread(target=one)
    thread.start()
    thread.join()
    c.call("read", opened[0], buffer(11), 11, bytes=11, file=path)


@scenario("open-by-handle-at-fail")
def open_by_handle_at_fail(c: Calls) -> None:
    mount, _ = _handle(c, c.file("f"))
    bad = buffer(struct.pack("Ii", 4096, 1) + bytes(4096))  # longer than any handle may be
    c.call("open_by_handle_at", mount, bad, os.O_RDONLY, error=errno.EINVAL, is_error=True, file=ANY)


# ---- readwrite


@scenario("readwrite-basic")
def readwrite_basic(c: Calls) -> None:
    fd = c.open("f")
    c.call("write", fd, b"hello world", 11, bytes=11, offset=0, requested_bytes=11)
    c.call("lseek", fd, 0, os.SEEK_SET)
    c.call("read", fd, buffer(64), 64, bytes=11, offset=0, requested_bytes=64)
    c.call("read", fd, buffer(64), 64, bytes=0, offset=11)


@scenario("readwrite-pread")
def readwrite_pread(c: Calls) -> None:
    fd = c.open("f", content=b"hello world")
    c.call("pread64", fd, buffer(5), 5, 6, bytes=5, offset=6)


@scenario("readwrite-preadv")
def readwrite_preadv(c: Calls) -> None:
    fd = c.open("f", content=b"hello world")
    parts = buffer(4), buffer(3)
    c.call("preadv", fd, iovecs(*parts), 2, 1, 0, bytes=7, offset=1)


@scenario("readwrite-preadv2")
def readwrite_preadv2(c: Calls) -> None:
    fd = c.open("f", content=b"hello world")
    parts = buffer(4), buffer(3)
    c.call("preadv2", fd, iovecs(*parts), 2, 2, 0, 0, bytes=7, offset=2)


@scenario("readwrite-pwrite")
def readwrite_pwrite(c: Calls) -> None:
    c.call("pwrite64", c.open("f"), b"abcdefg", 7, 13, bytes=7, offset=13)


@scenario("readwrite-pwritev")
def readwrite_pwritev(c: Calls) -> None:
    parts = buffer(b"abc"), buffer(b"de")
    c.call("pwritev", c.open("f"), iovecs(*parts), 2, 3, 0, bytes=5, offset=3)


@scenario("readwrite-pwritev2")
def readwrite_pwritev2(c: Calls) -> None:
    parts = buffer(b"abc"), buffer(b"de")
    c.call("pwritev2", c.open("f"), iovecs(*parts), 2, 3, 0, 0, bytes=5, offset=3)


@scenario("readwrite-readv")
def readwrite_readv(c: Calls) -> None:
    fd = c.open("f", content=b"hello world")
    parts = buffer(4), buffer(4)
    c.call("readv", fd, iovecs(*parts), 2, bytes=8)


@scenario("readwrite-writev")
def readwrite_writev(c: Calls) -> None:
    parts = buffer(b"abc"), buffer(b"defg")
    c.call("writev", c.open("f"), iovecs(*parts), 2, bytes=7)


@scenario("readwrite-wronly-read")
def readwrite_wronly_read(c: Calls) -> None:
    c.call("read", c.open("f", os.O_WRONLY | os.O_CREAT), buffer(5), 5, error=errno.EBADF, is_error=True)


@scenario("readwrite-rdonly-write")
def readwrite_rdonly_write(c: Calls) -> None:
    c.call("write", c.open(c.file("f"), os.O_RDONLY), b"hello", 5, error=errno.EBADF, is_error=True)


@scenario("readwrite-pread-invalid")
def readwrite_pread_invalid(c: Calls) -> None:
    c.call("pread64", c.open("f"), buffer(5), 5, -1, error=errno.EINVAL, is_error=True)


@scenario("readwrite-pwrite-invalid")
def readwrite_pwrite_invalid(c: Calls) -> None:
    c.call("pwrite64", c.open("f"), b"hello", 5, -1, error=errno.EINVAL, is_error=True)


@scenario("readwrite-readahead")
def readwrite_readahead(c: Calls) -> None:
    c.call("readahead", c.open("f", content=bytes(8192)), 0, 8192, error=None)


@scenario("readwrite-readahead-ebadf")
def readwrite_readahead_ebadf(c: Calls) -> None:
    c.call("readahead", 999, 0, 8192, error=errno.EBADF, is_error=True, fd=999)


@scenario("readwrite-cachestat")
def readwrite_cachestat(c: Calls) -> None:
    fd = c.open("f", content=bytes(8192))
    c.call("cachestat", fd, buffer(struct.pack("QQ", 0, 8192)), buffer(40), 0, error=None)


# ---- bytes by return value


@scenario("retbytes-phase-a")
def retbytes(c: Calls) -> None:
    text = b"eighteen bytes: ok"
    left, right = socket.socketpair()
    one, other = Fd(left.fileno()), Fd(right.fileno())
    c.call("sendto", one, text, 18, 0, NULL, 0, bytes=18)
    c.call("recvfrom", other, buffer(18), 18, 0, NULL, NULL, bytes=18)
    source = c.open("source", content=text)
    c.call("sendfile64", one, source, NULL, 18, bytes=18, file=one.name, old_file=source.name)
    c.call("recvfrom", other, buffer(18), 18, 0, NULL, NULL, bytes=18)
    reader, writer = (Fd(n) for n in os.pipe())
    reader2, writer2 = (Fd(n) for n in os.pipe())
    os.lseek(source, 0, os.SEEK_SET)
    c.call("splice", source, NULL, writer, NULL, 18, 0, bytes=18, file=writer.name, old_file=source.name)
    c.call("tee", reader, writer2, 18, 0, bytes=18, file=writer2.name, old_file=reader.name)
    c.call("read", reader, buffer(18), 18, bytes=18)
    c.call("read", reader2, buffer(18), 18, bytes=18)
    here, there = buffer(text), buffer(18)
    c.call("process_vm_readv", os.getpid(), iovecs(there), 1, iovecs(here), 1, 0, bytes=18)
    c.call("process_vm_writev", os.getpid(), iovecs(here), 1, iovecs(there), 1, 0, bytes=18)
    folder = Fd(os.open(c.folder, os.O_RDONLY))
    c.call("getdents64", folder, buffer(4096), 4096, ret=at_least(1))


@scenario("retbytes-messages")
def retbytes_messages(c: Calls) -> None:
    """The reference has 0 bytes for these two; the kernel tells the length of each message, and so do we."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one, other = Fd(left.fileno()), Fd(right.fileno())

    def messages(*contents: bytes) -> tuple[object, list[object]]:
        bodies = [buffer(content) for content in contents]
        vectors = [iovecs(body) for body in bodies]
        import ctypes

        headers = b"".join(
            struct.pack("QIxxxxQQQQiIIxxxx", 0, 0, ctypes.addressof(v), 1, 0, 0, 0, 0, 0) for v in vectors
        )
        return buffer(headers), [bodies, vectors]

    out, kept = messages(b"three", b"eleven byte", b"-")
    c.call("sendmmsg", one, out, 3, 0, ret=3, bytes=ANY)
    into, kept2 = messages(bytes(64), bytes(64), bytes(64))
    c.call("recvmmsg", other, into, 3, 0x40, NULL, ret=3, bytes=ANY)  # MSG_DONTWAIT
    del kept, kept2


@scenario("recv-flags")
def recv_flags(c: Calls) -> None:
    peek, trunc = socket.MSG_PEEK, socket.MSG_TRUNC
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    fd = Fd(right.fileno())
    left.send(bytes(300))
    c.call("recvfrom", fd, buffer(10), 10, peek, NULL, NULL, ret=10, bytes=0)
    c.call("recvfrom", fd, NULL, 0, peek | trunc, NULL, NULL, ret=300, bytes=0)  # how long is it?
    c.call("recvfrom", fd, buffer(10), 10, trunc, NULL, NULL, ret=300, bytes=10)
    left.send(bytes(400))
    import ctypes

    parts = [buffer(10) for _ in range(4)]
    vector = iovecs(*parts)
    header = buffer(struct.pack("QIxxxxQQQQiI", 0, 0, ctypes.addressof(vector), 4, 0, 0, 0, 0))
    c.call("recvmsg", fd, header, trunc, ret=400, bytes=40)
    left.send(bytes(100))
    parts = [buffer(5) for _ in range(9)]
    vector = iovecs(*parts)
    header = buffer(struct.pack("QIxxxxQQQQiI", 0, 0, ctypes.addressof(vector), 9, 0, 0, 0, 0))
    c.call("recvmsg", fd, header, trunc, ret=100, bytes=45)  # the reference: the raw return value, from 8 buffers on


# ---- close


@scenario("close-basic")
def close_basic(c: Calls) -> None:
    fd = c.open("f")
    c.call("close", fd, fd=int(fd))


def _row_of(c: Calls) -> list[Fd]:
    """Return three open descriptors with numbers in a row."""
    fds = []
    for at, name in enumerate("abc"):
        number = os.open(c.path(name), os.O_CREAT | os.O_RDWR, 0o600)
        os.dup2(number, 200 + at)
        os.close(number)
        fds.append(Fd(200 + at))
    return fds


@scenario("close-range")
def close_range(c: Calls) -> None:
    _row_of(c)
    c.call("close_range", 200, 202, 0, file=ANY)
    for number in range(200, 203):
        c.call("close", number, error=errno.EBADF, fd=number, is_error=True)


@scenario("close-range-bounded")
def close_range_bounded(c: Calls) -> None:
    *_, last = _row_of(c)
    c.call("close_range", 200, 201, 0, file=ANY)
    c.call("read", 200, buffer(1), 1, error=errno.EBADF)
    c.call("read", last, buffer(1), 1)


@scenario("close-range-cloexec")
def close_range_cloexec(c: Calls) -> None:
    fds = _row_of(c)
    c.call("close_range", 200, 202, 4, file=ANY)  # CLOSE_RANGE_CLOEXEC
    for fd in fds:
        c.call("read", fd, buffer(1), 1)
        assert fcntl.fcntl(fd, fcntl.F_GETFD) == fcntl.FD_CLOEXEC


@scenario("close-range-empty")
def close_range_empty(c: Calls) -> None:
    c.call("close_range", 900, 950, 0, file=ANY)


@scenario("close-range-invalid")
def close_range_invalid(c: Calls) -> None:
    c.call("close_range", 950, 900, 0, error=errno.EINVAL, is_error=True, file=ANY)


@scenario("close-invalid-fd")
def close_invalid_fd(c: Calls) -> None:
    c.call("close", 999, error=errno.EBADF, is_error=True, fd=999)


@scenario("close-double-close")
def close_double_close(c: Calls) -> None:
    fd = c.open("f")
    c.call("close", fd)
    c.call("close", int(fd), error=errno.EBADF, is_error=True, fd=int(fd))


@scenario("close-untracked")
def close_untracked(c: Calls) -> None:
    """The reference is asked not to name such a close after the pipe that had the number before; we name the file."""
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    files = [c.open(f"f{at}") for at in range(64)]
    for fd in files:
        c.call("close", fd)
    os.mkfifo(c.path("fifo"))
    c.call("close", c.open("fifo", os.O_RDWR), file=c.path("fifo"))


@scenario("close-untracked-root")
def close_untracked_root(c: Calls) -> None:
    c.call("close", Fd(os.open("/", os.O_RDONLY)), file="/")


@scenario("close-untracked-busy-pipe")
def close_untracked_busy_pipe(c: Calls) -> None:
    """A pipe takes the number of a closed file while a write of 256 KiB to another pipe waits."""
    reader, writer = os.pipe()
    named = Fd(writer)
    content = buffer(256 << 10)

    def write() -> None:
        c.call("write", named, content, 256 << 10, bytes=256 << 10)

    thread = threading.Thread(target=write)
    thread.start()
    c.call("close", c.open("f"))
    took = 0
    while took < 256 << 10:
        took += len(os.read(reader, 1 << 16))
    thread.join()


# ---- dup, fcntl, ioctl


@scenario("dup-basic")
def dup_basic(c: Calls) -> None:
    fd = c.open("f")
    copy = c.opens("dup", fd, fd=ANY, file=fd.name)
    c.call("write", copy, b"abc", 3, bytes=3)
    c.call("close", fd)
    c.call("write", copy, b"abc", 3, bytes=3)


@scenario("dup-dup2")
def dup_dup2(c: Calls) -> None:
    fd = c.open("f")
    copy = c.opens("dup2", fd, 300, fd=ANY, file=fd.name, ret=300)
    c.call("close", copy, fd=300)


@scenario("dup-dup3")
def dup_dup3(c: Calls) -> None:
    fd = c.open("f")
    copy = c.opens("dup3", fd, 300, os.O_CLOEXEC, fd=ANY, file=fd.name, ret=300)
    c.call("close", copy, fd=300)


@scenario("dup-invalid-fd")
def dup_invalid_fd(c: Calls) -> None:
    c.call("dup", 999, error=errno.EBADF, is_error=True)


@scenario("dup2-same-fd")
def dup2_same_fd(c: Calls) -> None:
    fd = c.open("f")
    c.call("dup2", fd, int(fd), ret=int(fd))
    c.call("close", fd)


@scenario("dup3-invalid-flags")
def dup3_invalid_flags(c: Calls) -> None:
    c.call("dup3", c.open("f"), 300, 1, error=errno.EINVAL, is_error=True)


@scenario("fcntl-dupfd")
def fcntl_dupfd(c: Calls) -> None:
    fd = c.open("f")
    copy = Fd(c.call("fcntl", fd, fcntl.F_DUPFD, 400, ret=400))
    c.call("write", copy, b"abc", 3, bytes=3, fd=400)


@scenario("fcntl-setfl")
def fcntl_setfl(c: Calls) -> None:
    c.call("fcntl", c.open("f"), fcntl.F_SETFL, os.O_APPEND)


@scenario("fcntl-dupfd-cloexec")
def fcntl_dupfd_cloexec(c: Calls) -> None:
    fd = c.open("f")
    copy = Fd(c.call("fcntl", fd, fcntl.F_DUPFD_CLOEXEC, 400, ret=400))
    c.call("close", copy, fd=400)


@scenario("fcntl-invalid-fd")
def fcntl_invalid_fd(c: Calls) -> None:
    c.call("fcntl", 999, fcntl.F_GETFD, 0, error=errno.EBADF, is_error=True, fd=999)


@scenario("fcntl-dupfd-max")
def fcntl_dupfd_max(c: Calls) -> None:
    c.call("fcntl", c.open("f"), fcntl.F_DUPFD, 1 << 30, error=errno.EINVAL, is_error=True)


@scenario("ioctl")
def ioctl(c: Calls) -> None:
    fd = c.open("f")
    c.call("ioctl", fd, 0x5451, 0)  # FIOCLEX
    assert fcntl.fcntl(fd, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
    c.call("ioctl", fd, 0x541B, buffer(4), error=None)  # FIONREAD
    c.call("ioctl", 999, 0x541B, buffer(4), error=errno.EBADF, is_error=True, fd=999)

"""Opens files at lines it writes down, and reads them elsewhere: each `pread` asks for a number of bytes of its own."""

import array
import contextlib
import ctypes
import itertools
import json
import mmap
import os
import socket
import sys
import threading

NUMBERS = itertools.count(5001)  # the loader of programs reads less at once
TRUTH = {}
NAME = os.environ["TRUTH"]
LIBC = ctypes.CDLL(None, use_errno=True)
OPEN = 2  # the number of a call that nobody traces here


def here() -> int:
    """Return the line this is called from."""
    return sys._getframe(1).f_lineno


def read(fd: int, line: int) -> None:
    """Read, whatever comes of it, and write down which line opened the descriptor; 0 where nobody can know."""
    number = next(NUMBERS)
    TRUTH[number] = line
    with contextlib.suppress(OSError):
        os.pread(fd, number, 0)


def opened(name: str) -> tuple[int, int]:
    """Return a descriptor and the line that opened it."""
    return os.open(name, os.O_RDONLY), here()


def again(name: str) -> tuple[int, int]:
    """Do the same on another line: the struct file of the one before is likely to be given out again."""
    return os.open(name, os.O_RDONLY), here()


def unseen(name: str) -> int:
    """Open by a call that is not traced."""
    return LIBC.syscall(OPEN, name.encode(), 0)


def in_turn() -> None:
    """Open one file over and over, by two lines, and by one that nobody sees."""
    for _ in range(101):
        for way in (opened, again):
            fd, line = way(NAME)
            read(fd, line)
            os.close(fd)
        fd = unseen(NAME)
        read(fd, 0)
        os.close(fd)


def passed_on() -> None:
    """Use a file under other numbers, in another thread, in a child, and by C."""
    fd, line = opened(NAME)
    read(os.dup(fd), line)
    read(os.dup2(fd, 77), line)
    thread = threading.Thread(target=read, args=(fd, line))
    thread.start()
    thread.join()
    number = next(NUMBERS)
    TRUTH[number] = line
    LIBC.pread(fd, ctypes.create_string_buffer(number), ctypes.c_size_t(number), ctypes.c_long(0))
    number = next(NUMBERS)
    TRUTH[number] = line
    child = os.fork()
    if not child:
        os.pread(fd, number, 0)
        os._exit(0)
    os.waitpid(child, 0)


def sent() -> None:
    """Give a file to another process that has none of ours."""
    ours, theirs = socket.socketpair()
    number, late = next(NUMBERS), next(NUMBERS)
    child = os.fork()
    if not child:
        ours.close()
        data, control, _, _ = theirs.recvmsg(64, socket.CMSG_SPACE(4))
        (fd,) = array.array("i", control[0][2])
        os.pread(fd, number, 0)
        os.set_inheritable(fd, True)
        os.execv(sys.executable, [sys.executable, "-c", f"import os; os.pread({fd}, {late}, 0)"])
    fd, line = opened(NAME)
    TRUTH[number] = TRUTH[late] = line
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    os.waitpid(child, 0)


def kinds() -> None:
    """Make other files than those with a name."""
    fd, line = os.memfd_create("x"), here()
    read(fd, line)
    pair, line = os.pipe(), here()
    for end in pair:
        read(end, line)
    pair, line = socket.socketpair(), here()
    for end in pair:
        read(end.fileno(), line)
    event, line = os.eventfd(0), here()
    read(event, line)
    listener = socket.create_server(("127.0.0.1", 0))
    client, line = socket.create_connection(listener.getsockname()), here()
    server, accepting = listener.accept(), here()
    read(server[0].fileno(), accepting)
    file, line = open(NAME, "rb"), here()
    mapped = mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ)
    read(file.fileno(), line)
    mapped.close()


in_turn()
passed_on()
sent()
kinds()
with open(f"{NAME}.json", "w") as told:
    json.dump(TRUTH, told)

"""What scenarios are written in: make a call by hand, and write down what a tracer has to say of it.

Runs in the traced program, on the standard library and the numbers of the calls alone. Each scenario runs in a forked
child, between two markers: failing calls of `access` (`faccessat` where there is none) on "/ior-nb-scenario/NAME/begin"
and ".../end".
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from ior_nb.syscalls.machine import NUMBERS

MARKER: Final = "/ior-nb-scenario"
AT_FDCWD: Final = -100
NULL: Final = 0
ANY: Final = "any"
"""A column that is not looked at: nobody but the kernel knows it."""

LIBC: Final = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]

Scenario = Callable[["Calls"], None]
SCENARIOS: Final[dict[str, Scenario]] = {}
"""By the name it has in the reference, in its order there."""


class NotHere(Exception):
    """This machine has no such call, or lacks what the scenario needs: the reason."""


class Fd(int):
    """An open descriptor, and the name the kernel gives it."""

    name: str

    def __new__(cls, number: int) -> Fd:
        """Ask the kernel for the name of an open descriptor."""
        made = super().__new__(cls, number)
        made.name = os.readlink(f"/proc/thread-self/fd/{number}")
        return made


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    """Enter a function into the table."""

    def enter(made: Scenario) -> Scenario:
        SCENARIOS[name] = made
        return made

    return enter


def at_least(least: int) -> list[Any]:
    """Return what a column holds that is this much or more."""
    return [">=", least]


def buffer(content: int | bytes) -> ctypes.Array[ctypes.c_char]:
    """Return memory of that size, or with that content."""
    return ctypes.create_string_buffer(content, content if isinstance(content, int) else max(1, len(content)))


def iovecs(*buffers: ctypes.Array[ctypes.c_char]) -> ctypes.Array[ctypes.c_ulong]:
    """Return an array of struct iovec over these buffers. The caller keeps them alive."""
    flat = [word for one in buffers for word in (ctypes.addressof(one), len(one))]
    return (ctypes.c_ulong * len(flat))(*flat)


def mapped(fd: int, size: int, protection: int, flags: int, offset: int = 0) -> int:
    """Map a file, and nothing beside; return the address. Python's own mapping keeps a descriptor, and reads."""
    at = LIBC.mmap(None, size, protection, flags, fd, offset)
    if at == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    return int(at)


def _word(value: Any) -> ctypes.c_long:
    if isinstance(value, int):
        return ctypes.c_long(value - (1 << 64) if value >= 1 << 63 else value)
    return ctypes.c_long(ctypes.addressof(value))


class Calls:
    """The calls of one scenario, made and logged."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.log: list[dict[str, Any]] = []
        self._kept: list[Any] = []

    def path(self, name: str) -> str:
        """Return the whole path of a file of this scenario."""
        return f"{self.folder}/{name}"

    def file(self, name: str, content: bytes = b"") -> str:
        """Make a file, unlogged; return its path."""
        number = os.open(self.path(name), os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(number, content)
        os.close(number)
        return self.path(name)

    def raw(self, name: str, *arguments: Any) -> int:
        """Make a call; return what the kernel returned, -errno for an error.

        Raises:
            NotHere: this machine's table does not have it.
        """
        if name not in NUMBERS:
            raise NotHere(f"no {name} on this machine")
        given = [buffer(os.fsencode(a) + b"\0") if isinstance(a, str | bytes) else a for a in arguments]
        self._kept += given  # until the scenario ends: the kernel may keep addresses
        words = [_word(a) for a in given] + [ctypes.c_long(0)] * (6 - len(given))
        ctypes.set_errno(0)
        returned = int(LIBC.syscall(ctypes.c_long(NUMBERS[name]), *words))
        return -ctypes.get_errno() if returned == -1 and ctypes.get_errno() else returned

    def call(self, name: str, *arguments: Any, error: int | None = 0, **columns: Any) -> int:
        """Make a call and log it.

        Args:
            name: of the call.
            arguments: numbers, memory, or paths.
            error: what it fails with; 0 where it works, None where both is right.
            columns: of its row. `ret` is what is returned; without others `file` is the name of the descriptor that
                is the first argument (else empty) and `bytes` 0. True for `bytes` is the return value.
        """
        first = arguments[0] if arguments else None
        begin = time.clock_gettime_ns(time.CLOCK_BOOTTIME)  # no system call
        returned = self.raw(name, *arguments)
        between = begin, time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if returned == -errno.ENOSYS:
            raise NotHere(f"the kernel has no {name}")
        if error is not None and (returned != -error if error else returned < 0):
            raise AssertionError(f"{name} returned {returned}, {-error if error else 'no error'} was meant")
        columns.setdefault("file", first.name if isinstance(first, Fd) else "")
        if columns.get("bytes") is True:
            columns["bytes"] = max(returned, 0)
        self.note(name, between=between, **{"ret": returned, "bytes": 0} | columns)
        return returned

    def opens(self, name: str, *arguments: Any, **columns: Any) -> Fd:
        """Make a call that returns a descriptor: its row has the new descriptor's name."""
        made = Fd(self.call(name, *arguments, **{"file": ""} | columns))
        (row,) = (row for row in self.log[-1:] if row["tid"] == threading.get_native_id())
        row |= {"file": columns.get("file", made.name), "fd": columns.get("fd", int(made))}
        return made

    def open(self, name: str, flags: int = os.O_RDWR | os.O_CREAT, content: bytes = b"") -> Fd:
        """Open a file of this scenario, unlogged, with content where it is given."""
        number = os.open(name if name.startswith("/") else self.path(name), flags, 0o600)
        if content:
            os.write(number, content)
            os.lseek(number, 0, os.SEEK_SET)
        return Fd(number)

    def note(self, name: str, *, tid: int = 0, between: tuple[int, int] | None = None, **columns: Any) -> None:
        """Log a call made otherwise, by that thread: some time, or between two times of CLOCK_BOOTTIME."""
        self.log.append({"tid": tid or threading.get_native_id(), "between": between, "syscall": name, **columns})

    def mark(self, which: str, name: str) -> None:
        """Say where a scenario begins or ends."""
        if "access" in NUMBERS:
            self.raw("access", f"{MARKER}/{name}/{which}", 0)
        else:
            self.raw("faccessat", AT_FDCWD, f"{MARKER}/{name}/{which}", 0)

    def forked(self, body: Callable[[Calls], Any], *, leader_ends: bool = False) -> int:
        """Run a function in a child; what it logs is logged here. Returns the child's process id.

        Args:
            body: the function.
            leader_ends: run it in a second thread of the child, while the first has ended.
        """
        reader, writer = os.pipe()
        if (pid := os.fork()) == 0:

            def run() -> None:
                try:
                    inner = Calls(self.folder)
                    body(inner)
                    os.write(writer, json.dumps(inner.log).encode())
                finally:
                    os._exit(0)

            if leader_ends:
                threading.Thread(target=run).start()
                LIBC.syscall(ctypes.c_long(NUMBERS["exit"]), ctypes.c_long(0))
            run()
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            told = file.read()
        os.waitpid(pid, 0)
        self.log += json.loads(told)
        return pid

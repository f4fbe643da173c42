"""The labels of a process's threads, written to memory that whoever traces it can read.

A file a process, in a folder a user. A change is some bytes stored: no system call, so none to be traced, and what a
thread is called stands there before its next call can be a row. Files are small, and a full one is followed by another;
those before go unless somebody traces, who says so by a file of his own. Who begins to write, or to trace, clears away
what the dead have left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from ior_nb.real import RLock
from ior_nb.runtime import own
from ior_nb.runtime.clock import boot_clock, born
from ior_nb.runtime.memory import shared_memory

__all__ = ["OVERLAP", "Change", "Log", "Reader", "clear", "files", "folder", "is_traced", "lives", "mark"]

_HEAD: Final = struct.Struct("=8sQ")
_MAGIC: Final = b"ior-lbl1"
_FULL: Final = b"ior-lbl0"
"""How a file begins, and how the last one does of a process that has more changes than are kept."""
_CHANGE: Final = struct.Struct("=QII")  # when, thread (0: all of the process that have none), bytes of the text
_SMALLEST: Final = 1 << 12
_LARGEST: Final = 1 << 20
"""Bytes of the first file of a process, and of later ones: workers are many, and containers have 64 MiB for all."""
_MOST: Final = 64
"""Files of a process that is traced; what comes after them is not kept."""
_TRACE: Final = "trace"
OVERLAP: Final = (1 << 32) - 1
"""In place of a thread: labels were not inside one another."""


class Change(NamedTuple):
    """From a time on a thread, or a process, has a text."""

    time_ns: int
    thread: int
    """0: all of the process that have none of their own."""
    text: str


def folder() -> Path:
    """Return where the processes of this user write, those that have the same numbers for processes."""
    return shared_memory() / f"ior-nb-{os.geteuid()}-{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116 - one call


def _made_folder() -> Path:
    """Return the folder, which is there and nobody else's."""
    place = folder()
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(errno.EPERM, "it is no folder of this user alone", str(place))
    return place


def files(place: Path) -> Iterator[tuple[int, int, int, Path]]:
    """Yield process, time of its first file, number of the file, and path, of all that are there, in this order."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(place):  # noqa: PTH208 - names are all there is to know
            parts = name.split("-")
            if len(parts) == 3 and all(map(str.isdecimal, parts)):
                found.append((int(parts[0]), int(parts[1]), int(parts[2]), place / name))
    yield from sorted(found)


def mark() -> Path:
    """Say that this process traces, until the file is gone; return it.

    Raises:
        OSError: there is no place for it.
    """
    place = _made_folder()
    clear(place)
    path = place / f"{_TRACE}-{os.getpid()}-{boot_clock()}"
    path.touch(mode=0o600)
    return path


def clear(place: Path) -> None:
    """Remove what the dead have left, unless somebody may still read it."""
    if not is_traced(place):
        for process, began, _, path in files(place):
            if not lives(process, began):
                path.unlink(missing_ok=True)
        for path in place.glob(f"{_TRACE}-*"):
            path.unlink(missing_ok=True)


def is_traced(place: Path, but: str = "") -> bool:
    """Tell whether anybody reads, besides the one whose mark has that name."""
    marks = (name for name in os.listdir(place) if name.startswith(f"{_TRACE}-") and name != but)  # noqa: PTH208
    return any(lives(*map(int, name.split("-")[1:])) for name in marks)


def lives(process: int, when: int) -> bool:
    """Tell whether the process that had a number at that time is there: later it may be another's."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return born(process) <= when


class Log:
    """The changes of this process.

    Raises:
        OSError: there is no memory that can be shared.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._waiting: list[Change] = []  # those of a signal handler, while it interrupts this very code
        self._writing = False
        self._place = _made_folder()
        self._name = f"{os.getpid()}-{boot_clock()}"
        self._number = 0
        self._lost = False
        clear(self._place)
        self._map = self._next()
        self._end = _HEAD.size

    def add(self, change: Change, current: Mapping[int, str]) -> bool:
        """Write a change; tell whether there is room left.

        Args:
            change: it.
            current: what each thread of the process has now, for whoever begins to read at this moment.
        """
        with self._lock:
            self._waiting.append(change)
            if not self._writing:
                self._writing = True
                try:
                    while self._waiting and not self._lost:
                        self._write(self._waiting.pop(0), current)
                finally:
                    self._writing = False
        return not self._lost

    def _write(self, change: Change, current: Mapping[int, str]) -> None:
        written, before = self._put(change), 0
        while not written and before < (size := len(self._map)) and self._follow():
            before = size
            state = [Change(change.time_ns, thread, text) for thread, text in list(current.items())]
            written = all(map(self._put, [*state, change]))
        if not written:
            self._lost = True
            _HEAD.pack_into(self._map, 0, _FULL, self._end)

    def _put(self, change: Change) -> bool:
        text = change.text.encode()
        end = self._end + _CHANGE.size + len(text) + -len(text) % 8
        if end > len(self._map):
            return False
        _CHANGE.pack_into(self._map, self._end, change.time_ns, change.thread, len(text))
        self._map[self._end + _CHANGE.size : self._end + _CHANGE.size + len(text)] = text
        self._end = end
        _HEAD.pack_into(self._map, 0, _MAGIC, end)
        return True

    @own.ours
    def _follow(self) -> bool:
        """Begin the next file, twice as large up to the largest; tell whether there may be one."""
        traced = is_traced(self._place)
        if traced and self._number + 1 >= _MOST:
            return False
        full, self._number = self._map, self._number + 1
        self._map, self._end = self._next(), _HEAD.size
        _libc().munmap(ctypes.addressof(ctypes.c_char.from_buffer(full)), len(full))
        if not traced:
            self._forget()
        return True

    def _next(self) -> memoryview:
        path = self._place / f"{self._name}-{self._number}"
        size = min(_SMALLEST << min(self._number, 8), _LARGEST)
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(opened, 0, size)  # a store to memory that is not there would end the program
            found = _mapped(opened, size)
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(opened)
        _HEAD.pack_into(found, 0, _MAGIC, _HEAD.size)
        return found

    def _forget(self) -> None:
        """Nobody reads: what came before this file is gone."""
        for _, _, number, path in files(self._place):
            if path.name.startswith(f"{self._name}-") and number < self._number:
                path.unlink(missing_ok=True)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc


def _mapped(descriptor: int, size: int) -> memoryview:
    """Return a file as memory. `mmap.mmap` would keep a descriptor, which the user's code may close."""
    address = _libc().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")


class Reader:
    """Reads one file, as it grows. Anybody may have written it.

    Attributes:
        full: whether its process has more changes than are kept.
        overlap: whether it has said that labels were not inside one another.
    """

    def __init__(self, path: Path) -> None:
        self.full = self.overlap = False
        self._path = path
        self._at = _HEAD.size

    def news(self) -> list[Change]:
        """Return the changes since the last look."""
        try:
            opened = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            head = os.pread(opened, _HEAD.size, 0)
            magic, end = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0)
            if magic not in (_MAGIC, _FULL):
                return []
            self.full = magic == _FULL
            size = end - self._at
            written = os.pread(opened, size, self._at) if 0 < size <= _LARGEST else b""
        finally:
            os.close(opened)
        return list(self._parsed(written))

    def _parsed(self, written: bytes) -> Iterator[Change]:
        at = 0
        while at + _CHANGE.size <= len(written):
            time_ns, thread, length = _CHANGE.unpack_from(written, at)
            begin = at + _CHANGE.size
            at = begin + length + -length % 8
            if at > len(written) or time_ns >= 1 << 62:
                break
            if thread == OVERLAP:
                self.overlap = True
                continue
            yield Change(time_ns, thread, written[begin : begin + length].decode(errors="replace"))
        self._at += len(written)

"""The memory and the files of a program that stands still."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from typing import Final

from ior_nb.engine.stopped.words import span_ns

__all__ = [
    "HERE",
    "directory_at",
    "file_behind",
    "memory",
    "message_total",
    "nanoseconds",
    "signed",
    "string",
    "total",
    "word_at",
]

_PAGE: Final = 4096
_LONGEST: Final = 4096  # PATH_MAX
HERE: Final = 0xFFFFFF9C  # AT_FDCWD
_MOST_BUFFERS: Final = 1024  # UIO_MAXIOV

_libc = ctypes.CDLL(None, use_errno=True)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def signed(word: int) -> int:
    """Return a word as the number it is with a sign."""
    return word - (1 << 64) if word >> 63 else word


def memory(tid: int, address: int, count: int) -> bytes | None:
    """Return bytes of its memory, None where there is none."""
    if not address or count <= 0:
        return None
    buffer = ctypes.create_string_buffer(count)
    mine, theirs = _Vector(ctypes.addressof(buffer), count), _Vector(address, count)
    got = _libc.process_vm_readv(tid, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)
    return buffer.raw[:got] if got > 0 else None


def word_at(tid: int, address: int, absent: int) -> int:
    """Return eight bytes of its memory as a number."""
    raw = memory(tid, address, 8)
    return absent if raw is None or len(raw) < 8 else int.from_bytes(raw, "little", signed=True)


def string(tid: int, address: int) -> tuple[bytes | None, bool]:
    """Return a text that ends with a null byte, None where it cannot be read; and whether the pointer was null."""
    if not address:
        return b"", True
    found = b""
    while len(found) < _LONGEST:
        part = memory(tid, address + len(found), min(_PAGE - (address + len(found)) % _PAGE, 256))
        if part is None:
            return None, False
        text, end, _ = part.partition(b"\0")
        found += text
        if end:
            return found[: _LONGEST - 1], False
    return found[: _LONGEST - 1], False


def nanoseconds(tid: int, address: int, unit: int, null: int, invalid: int) -> int:
    """Return a struct timespec or timeval, ns."""
    if not address:
        return null
    raw = memory(tid, address, 16)
    if raw is None or len(raw) < 16:
        return invalid
    seconds, rest = struct.unpack("<qq", raw)
    return span_ns(seconds, rest, unit, invalid)


def total(tid: int, address: int, count: int) -> int:
    """Return the sum of the lengths in an array of struct iovec."""
    raw = memory(tid, address, 16 * min(count & 0xFFFFFFFF, _MOST_BUFFERS)) or b""
    return sum(length for _, length in struct.iter_unpack("<QQ", raw[: len(raw) // 16 * 16]))


def message_total(tid: int, address: int) -> int:
    """Return the same of a struct msghdr."""
    raw = memory(tid, address, 32)
    if raw is None or len(raw) < 32:
        return 0
    vector, count = struct.unpack_from("<QQ", raw, 16)
    return total(tid, vector, count)


def file_behind(tid: int, word: int, *, where: bool = True) -> tuple[bytes | None, int]:
    """Return the name of a descriptor's file with what it is behind a null byte, and the position in it; None, -1."""
    number = word & 0xFFFFFFFF
    if number >> 31:
        return None, -1
    try:
        name = os.readlink(b"/proc/%d/fd/%d" % (tid, number))  # noqa: PTH115 - bytes
        found = os.stat(f"/proc/{tid}/fd/{number}")  # noqa: PTH116 - at every call
    except OSError:
        return None, -1
    position = -1
    if where:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{tid}/fdinfo/{number}", "rb") as info:  # noqa: PTH123
            position = int(info.readline().split()[1])
    text = name.replace(b"\\", b"\\\\")
    return b"%s\0%o %d %d" % (text, found.st_mode, found.st_dev, found.st_ino), position


def directory_at(tid: int, word: int) -> bytes | None:
    """Return the directory behind a descriptor, or the working directory; empty where there is none."""
    if word & 0xFFFFFFFF == HERE:
        with contextlib.suppress(OSError):
            return os.readlink(b"/proc/%d/cwd" % tid).replace(b"\\", b"\\\\")  # noqa: PTH115 - bytes
        return None
    return file_behind(tid, word, where=False)[0] or b""

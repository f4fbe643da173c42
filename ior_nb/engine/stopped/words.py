"""What single words of strace mean. Each is a pure function that remembers: most words come again and again."""

from __future__ import annotations

import codecs
import errno
import functools
import re
import socket
from typing import Final

from ior_nb.engine.collector import wire

__all__ = [
    "error_number",
    "file_of",
    "nanoseconds",
    "number",
    "socket_word",
    "span_ns",
    "text_of",
    "total_of",
    "unescaped",
]

_REMEMBERED: Final = 1 << 16
_NUMBER: Final = re.compile(rb"\s*\|?(0x[0-9a-f]+|-?\d+)")
_FILE: Final = re.compile(rb"\s*(?:-?\d+|AT_FDCWD)<([^>]*)>(\(deleted\))?")
_STRING: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_LENGTHS: Final = re.compile(rb"iov_len=(\d+)")
_TIME: Final = re.compile(rb"tv_sec=(-?\d+), tv_[nu]sec=(-?\d+)")
# include/linux/errno.h: what strace calls the results that only the kernel sees.
_RESTARTS: Final = {"ERESTARTSYS": 512, "ERESTARTNOINTR": 513, "ERESTARTNOHAND": 514, "ERESTART_RESTARTBLOCK": 516}
_ERRORS: Final = {name.encode(): number for number, name in errno.errorcode.items()} | {
    b"ENOTSUPP": 524,
    b"EWOULDBLOCK": errno.EWOULDBLOCK,
    **{name.encode(): number for name, number in _RESTARTS.items()},
}
_CHOSEN: Final = {
    (int(family), int(kind)): protocol
    for family in (socket.AF_INET, socket.AF_INET6)
    for kind, protocol in ((socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP))
}
_LONGEST: Final = 4095  # of a path: the kernel looks at no more
_WORD: Final = (1 << 64) - 1


@functools.lru_cache(_REMEMBERED)
def number(word: bytes) -> int:
    """Return the number a word begins with, as the register had it; 0 where there is none (NULL)."""
    found = _NUMBER.match(word)
    if found is None:
        return 0
    word = found[1]
    return int(word, 16 if word[:2] == b"0x" else 8 if word[:1] == b"0" else 10) & _WORD  # of 077, a mode, too


@functools.lru_cache(_REMEMBERED)
def file_of(word: bytes) -> bytes | None:
    """Return the file between the angle brackets of a descriptor, None where there is none."""
    found = _FILE.match(word)
    return None if found is None else found[1] + (b" (deleted)" if found[2] else b"")


@functools.lru_cache(_REMEMBERED)
def text_of(word: bytes) -> bytes | None:
    """Return the text between quotes; None where there is none, or it was not written out."""
    found = _STRING.search(word)
    if found is None or (not found[1] and word.endswith(b"...")):
        return None
    return unescaped(found[1])[:_LONGEST]


@functools.lru_cache(_REMEMBERED)
def unescaped(raw: bytes) -> bytes:
    r"""Return the bytes behind `\x2f` and the other escapes of C."""
    return codecs.escape_decode(raw)[0] if b"\\" in raw else raw


@functools.lru_cache(_REMEMBERED)
def total_of(word: bytes) -> int:
    """Return the sum of the lengths in an array of struct iovec."""
    return sum(map(int, _LENGTHS.findall(word)))


@functools.lru_cache(_REMEMBERED)
def nanoseconds(word: bytes, null: int, invalid: int) -> int:
    """Return the time of a struct timespec or timeval, ns."""
    found = _TIME.search(word)
    if found is None:
        return null if b"NULL" in word else invalid
    return span_ns(int(found[1]), int(found[2]), 1000 if b"tv_usec" in found[0] else 1, invalid)


def span_ns(seconds: int, rest: int, unit: int, invalid: int) -> int:
    """Return the time of a struct timespec (`unit` 1) or timeval (1000), ns, as `nanoseconds` of bpf/enter.c does."""
    if seconds < 0 or not 0 <= rest < 1_000_000_000 // unit:
        return invalid
    return (1 << 63) - 1 if seconds >= 9223372036 else seconds * 1_000_000_000 + rest * unit


@functools.lru_cache(_REMEMBERED)
def error_number(name: bytes) -> int:
    """Return the number of an error's name; 0 for one nobody knows."""
    return int(name) if name.isdigit() else _ERRORS.get(name, 0)


def socket_word(family: int, kind: int, protocol: int) -> int:
    """Return what a socket is, in a word of the wire; the kernel chooses a protocol where none is asked for."""
    protocol = protocol or _CHOSEN.get((family, kind & 0xF), 0)
    return (
        wire.SOCKET_KNOWN | (family & 0xFF) << wire.SOCKET_FAMILY | (kind & 0xF) << wire.SOCKET_TYPE | protocol & 0xFFFF
    )

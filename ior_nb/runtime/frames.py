"""What a frame of a flame graph can be, how a value becomes frames, and what its width can mean: for figures and files.

A new field is one row of `FIELDS`: its name, the column it reads, and the function from one value of that column to its
frames. It is called once per distinct value, never per event. A new metric is one row of `METRICS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["ALIASES", "FIELDS", "IDS", "METRICS", "Field", "Metric", "by_host", "open_flags"]

ALIASES: Final = {"tracepoint": "syscall", "durationToPrev": "gap"}
"""What ior calls a field or a metric -> our name."""

_COMPONENT: Final[re.Pattern[str]] = re.compile(r"/[^/]*|[^/]+")
_ACCESS: Final = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
# asm-generic/fcntl.h, whatever machine a row is of (`engine.decode` sees to that). Those of two bits stand before the
# bit they share.
_FLAGS: Final = (
    (0o20200000, "O_TMPFILE"),
    (0o4010000, "O_SYNC"),
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o400, "O_NOCTTY"),
    (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o10000, "O_DSYNC"),
    (0o20000, "O_ASYNC"),
    (0o40000, "O_DIRECT"),
    (0o100000, "O_LARGEFILE"),
    (0o200000, "O_DIRECTORY"),
    (0o400000, "O_NOFOLLOW"),
    (0o1000000, "O_NOATIME"),
    (0o2000000, "O_CLOEXEC"),
    (0o10000000, "O_PATH"),
)


@dataclass(frozen=True, slots=True)
class Field:
    """A dimension that gives frames."""

    column: str
    """The column of the event schema it reads."""
    frames: Callable[[Any], list[str]]
    """From one value (a string, or an integer) to its frames, root first; none where it does not apply."""
    doc: str


def open_flags(value: int) -> str:
    """Return the flags of an open as text, `O_RDONLY|O_CLOEXEC`; unknown bits in hexadecimal, nothing for -1."""
    if value == -1:
        return ""
    rest = value & (2**64 - 1)
    names = [_ACCESS[rest & 3]]
    rest &= ~3
    for bits, name in _FLAGS:
        if rest & bits == bits:
            names.append(name)
            rest &= ~bits
    return "|".join([*names, hex(rest)] if rest else names)


def _whole(text: str) -> list[str]:
    return [text] if text else []


def _comm(text: str) -> list[str]:
    return _whole(text.strip())


def _path(text: str) -> list[str]:
    return _COMPONENT.findall(text)


def _decimal(value: int) -> list[str]:
    return [str(value)]


def _cell(value: int) -> list[str]:
    return [] if value < 0 else [str(value)]


def _python(text: str) -> list[str]:
    return text.split(";") if text else []


def _flags(value: int) -> list[str]:
    return _whole(open_flags(value))


FIELDS: Final[dict[str, Field]] = {
    "comm": Field("comm", _comm, "name of the thread"),
    "pid": Field("pid", _decimal, "process id"),
    "tid": Field("tid", _decimal, "thread id"),
    "syscall": Field("syscall", _whole, "name of the system call"),
    "path": Field("file", _path, "components of the file's path, each with its slash; none without a file"),
    "file": Field("file", _whole, "the file's whole path; none without a file"),
    "family": Field("family", _whole, "family of the system call"),
    "cell": Field("cell", _cell, "execution count of the notebook cell; none outside"),
    "label": Field("label", _path, "labels, the outer one first, each but the first with its slash; none without one"),
    "python": Field("stack", _python, "functions of the Python stack, `function (file:line)`, outermost first"),
    "func": Field("py_func", _whole, "function of the line of Python that made the call"),
    "flags": Field("open_flags", _flags, "flags of an open; none for other calls"),
    "host": Field("host", _whole, "machine of the row; none while it is traced"),
}
IDS: Final = ("pid", "tid")
"""Fields, and dimensions of filters, that mean something on one host alone."""


def by_host(fields: Sequence[str]) -> tuple[str, ...]:
    """Return fields that tell ids of several hosts apart: the host stands above the first, unless it is one of them."""
    at = next((at for at, name in enumerate(fields) if name in IDS), None)
    return tuple(fields) if at is None or "host" in fields else (*fields[:at], "host", *fields[at:])


@dataclass(frozen=True, slots=True)
class Metric:
    """What a frame's width, or height, can mean."""

    column: str
    """The column that is added up; empty to count calls."""
    unit: str
    doc: str


METRICS: Final[dict[str, Metric]] = {
    "count": Metric("", "", "number of calls"),
    "duration": Metric("latency_ns", "ns", "time in finished calls"),
    "bytes": Metric("bytes", "bytes", "bytes moved"),
    "gap": Metric("gap_ns", "ns", "time between the previous call of the thread and this one"),
    "fetched": Metric("fetched_bytes", "bytes", "bytes devices were made to read"),
    "on_cpu": Metric("on_cpu_ns", "ns", "time in calls on a CPU"),
    "wait_cpu": Metric("wait_cpu_ns", "ns", "time in calls that waited for a CPU"),
    "wait_device": Metric("wait_device_ns", "ns", "time in calls that waited for a device"),
    "wait_lock": Metric("wait_lock_ns", "ns", "time in calls that waited for a lock in the kernel"),
    "wait_other": Metric("wait_other_ns", "ns", "time in calls that waited for somebody else"),
}

"""What a frame can be, what its width can mean, and how a value becomes frames.

A new field is one row of `FIELDS`: its name, the column it reads, and the function from one value of that column to its
frames. It is called once per distinct value, never per event. A new metric is one row of `METRICS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ior_nb.errors import ConfigError

__all__ = ["FIELDS", "METRICS", "OTHER", "PRESETS", "Field", "Metric", "checked_fields", "checked_metric", "open_flags"]

OTHER: Final = "[other;]"
"""Name of the leaf that stands for folded frames. No traced name can be called so, for `;` divides frames."""

_COMPONENT: Final = re.compile(r"/[^/]*|[^/]+")
_ACCESS: Final = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
# asm-generic/fcntl.h, as x86 has it. Those of two bits stand before the bit they share.
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


@dataclass(frozen=True, slots=True)
class Metric:
    """What a frame's width, or height, can mean."""

    column: str
    """The column that is added up; empty to count calls."""
    unit: str
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


def _parts(text: str) -> list[str]:
    """Divide at `;`: no traced name can forge a frame of its own choice beside another."""
    return [part for part in text.split(";") if part] if ";" in text else [text] if text else []


def _comm(text: str) -> list[str]:
    return _parts(text.strip())


def _path(text: str) -> list[str]:
    return [component for part in text.split(";") for component in _COMPONENT.findall(part)]


def _decimal(value: int) -> list[str]:
    return [str(value)]


def _cell(value: int) -> list[str]:
    return [] if value < 0 else [str(value)]


def _flags(value: int) -> list[str]:
    return _parts(open_flags(value))


FIELDS: Final[dict[str, Field]] = {
    "comm": Field("comm", _comm, "name of the thread"),
    "pid": Field("pid", _decimal, "process id"),
    "tid": Field("tid", _decimal, "thread id"),
    "syscall": Field("syscall", _parts, "name of the system call"),
    "path": Field("file", _path, "components of the file's path, each with its slash; none without a file"),
    "file": Field("file", _parts, "the file's whole path; none without a file"),
    "family": Field("family", _parts, "family of the system call"),
    "cell": Field("cell", _cell, "execution count of the notebook cell; none outside"),
    "flags": Field("open_flags", _flags, "flags of an open; none for other calls"),
}

METRICS: Final[dict[str, Metric]] = {
    "count": Metric("", "", "number of calls"),
    "duration": Metric("latency_ns", "ns", "time in finished calls"),
    "gap": Metric("gap_ns", "ns", "time between the previous call of the thread and this one"),
    "bytes": Metric("bytes", "bytes", "bytes moved"),
}

PRESETS: Final[tuple[tuple[str, ...], ...]] = (
    ("comm", "syscall", "path"),
    ("path", "syscall", "comm"),
    ("syscall", "comm", "path"),
    ("pid", "syscall", "path"),
    ("comm", "path", "syscall"),
)
"""The orders a view offers."""

_ALIASES: Final = {"tracepoint": "syscall"}


def checked_fields(fields: Sequence[str]) -> tuple[str, ...]:
    """Return the names of fields, or of one comma-separated text, trimmed and without aliases.

    Raises:
        ConfigError: there is none, one is unknown, or one is there twice.
    """
    words = [word.strip() for word in (fields.split(",") if isinstance(fields, str) else fields)]
    names = tuple(_ALIASES.get(word, word) for word in words)
    if not names:
        raise ConfigError(f"a flame graph of no fields shows nothing; choose from {', '.join(FIELDS)}")
    for name in names:
        if name not in FIELDS:
            raise ConfigError(f"unknown flame graph field {name!r}; choose from {', '.join(FIELDS)}")
        if names.count(name) > 1:
            raise ConfigError(f"flame graph field {name!r} is given twice in {', '.join(words)}; once is enough")
    return names


def checked_metric(name: str, *, optional: bool = False) -> str:
    """Return the name of a metric, trimmed; empty is fine where it is optional.

    Raises:
        ConfigError: there is no such metric.
    """
    name = name.strip()
    if name not in METRICS and (name or not optional):
        hint = ", or nothing" if optional else ""
        raise ConfigError(f"unknown flame graph metric {name!r}; choose from {', '.join(METRICS)}{hint}")
    return name

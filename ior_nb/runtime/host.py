"""What the host counts of this process whoever traces or does not: its own input and output, its time, pressure.

No rights are needed. The numbers are of the whole process, with the children it has waited for; those of pressure are
of the whole machine. What a host does not count is missing, and not zero.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ior_nb.runtime.clock import boot_clock

__all__ = ["IO", "Cached", "HostCounts", "Opened", "Sample", "cached_of", "sample"]

IO: Final = ("rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes")
"""The words of /proc/self/io, which `HostCounts.io` has too."""
_USAGE: Final = ("ru_utime", "ru_stime", "ru_majflt", "ru_minflt", "ru_nvcsw", "ru_nivcsw")
_PRESSURE: Final = Path("/proc/pressure")
_CACHESTAT: Final = 451  # of every architecture
_OVERLAY: Final = 0x794C7630  # OVERLAYFS_SUPER_MAGIC
_SIZE: Final = 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """The counts at one moment."""

    time_ns: int
    io: Mapping[str, int]
    """/proc/self/io; empty where it cannot be read."""
    own_read: int
    """Bytes that reading it took, which the next look at it has counted, in one call."""
    usage: Mapping[str, float]
    """getrusage of the process, and of the children it has waited for as `children_...`."""
    pressure: Mapping[str, int]
    """Microseconds somebody of the machine waited for `cpu`, `io`, `memory`, without those that are not told."""


@dataclass(frozen=True, slots=True)
class Cached:
    """What of a file is in the page cache now."""

    pages: int
    dirty: int
    """Those of them that are not on the disk yet: dirty, or being written."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that Python opened."""

    path: str
    """Absolute; raw."""
    times: int
    written: bool
    """Whether it was ever opened to be written."""
    size: int
    """Bytes it has now; -1 where it is gone or cannot be asked for."""
    cached: Cached | None
    """None where the kernel does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCounts:
    """What was counted between two moments, in place of rows."""

    seconds: float
    io: Mapping[str, int] = field(default_factory=dict)
    """By the words of `IO`; empty where the host does not tell."""
    usage: Mapping[str, float] = field(default_factory=dict)
    """By the words of getrusage."""
    pressure: Mapping[str, int] = field(default_factory=dict)
    """Microseconds, of the whole machine."""
    opened: tuple[Opened, ...] = ()
    """Files Python opened, most often first; not those of libraries that open by themselves."""
    more: int = 0
    """Files opened that are not among these."""

    @classmethod
    def between(cls, first: Sample, last: Sample, opened: tuple[Opened, ...] = (), more: int = 0) -> HostCounts:
        """Return the difference, without what the first look took itself."""
        io = _difference(first.io, last.io)
        if io:
            io["rchar"] -= first.own_read
            io["syscr"] -= 1
        return cls(
            seconds=(last.time_ns - first.time_ns) / 1e9,
            io={name: int(value) for name, value in io.items()},
            usage=_difference(first.usage, last.usage),
            pressure={name: int(value) for name, value in _difference(first.pressure, last.pressure).items()},
            opened=opened,
            more=more,
        )


def _difference(first: Mapping[str, float], last: Mapping[str, float]) -> dict[str, float]:
    return {name: last[name] - first[name] for name in first if name in last}


def sample(*, ends: bool = False) -> Sample:
    """Look at the counts; what the look itself counts comes after a first one, and before one that `ends`."""
    io, read = _io() if ends else ({}, 0)
    usage: dict[str, float] = {}
    for prefix, who in (("", resource.RUSAGE_SELF), ("children_", resource.RUSAGE_CHILDREN)):
        found = resource.getrusage(who)
        usage |= {prefix + name: getattr(found, name) for name in _USAGE}
    pressure = {}
    for name in ("cpu", "io", "memory"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pressure[name] = int((_PRESSURE / name).read_text().split("total=")[1].split()[0])
    if not ends:
        io, read = _io()
    return Sample(boot_clock(), io, read, usage, pressure)


def _io() -> tuple[dict[str, int], int]:
    """Return the words of /proc/self/io, read in one call, and how many bytes that were."""
    try:
        file = os.open("/proc/self/io", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(file, _SIZE)
        finally:
            os.close(file)
        words = dict(line.split(": ") for line in text.decode().splitlines())
        return {name: int(words[name]) for name in IO}, len(text)
    except (OSError, ValueError, KeyError):
        return {}, 0


def cached_of(file: int) -> Cached | None:
    """Return what of an open file is in the page cache (Linux 6.5); None where the kernel does not tell.

    Of a file of an overlay it would tell nothing: the pages are those of a layer's.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    about = (ctypes.c_long * 32)()  # of its file system: first its kind
    if libc.fstatfs(ctypes.c_int(file), about) == 0 and about[0] == _OVERLAY:
        return None
    whole, found = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()  # a length of 0 is to the end
    if libc.syscall(ctypes.c_long(_CACHESTAT), ctypes.c_int(file), whole, found, ctypes.c_uint(0)):
        return None
    return Cached(pages=int(found[0]), dirty=int(found[1] + found[2]))

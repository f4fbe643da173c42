"""The clock of the rows: the boot clock as the kernel program reads it."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["FOR_EVER", "Moment", "boot_clock", "boot_id", "born", "moment"]

FOR_EVER: Final = 1 << 63


def _time_namespace_offset() -> int:
    """Nanoseconds by which this process's boot clock is ahead of the host's, which the kernel program reads."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/timens_offsets").read_text().splitlines():
            clock, seconds, nanoseconds = line.split()
            if clock in ("boottime", "7"):
                return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return 0


_OFFSET: Final = _time_namespace_offset()


class Moment(NamedTuple):
    """One moment on two clocks, ns."""

    wall: int
    """Since the epoch."""
    boot: int
    """On the boot clock."""


def moment(boot: int | None = None) -> Moment:
    """Return a moment of the boot clock, now by default, on both clocks, as they stand to each other now."""
    wall, now = time.time_ns(), boot_clock()
    return Moment(wall, now) if boot is None else Moment(wall - now + boot, boot)


def boot_id() -> str:
    """Return what tells this machine's boot clock from all others; empty where the kernel does not say."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def born(process: int) -> int:
    """Return when a process began, on the boot clock, ns, a tick too early at most; 0 where the kernel does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        ticks = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[19]
        return int(ticks) * (10**9 // os.sysconf("SC_CLK_TCK")) - _OFFSET
    return 0


def boot_clock() -> int:
    """Return the boot clock as the kernel program reads it, ns. No system call is made."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - _OFFSET

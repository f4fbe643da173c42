"""The clock of the rows: the boot clock as the kernel program reads it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Final

__all__ = ["FOR_EVER", "boot_clock"]

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


def boot_clock() -> int:
    """Return the boot clock as the kernel program reads it, ns. No system call is made."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - _OFFSET

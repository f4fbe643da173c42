"""How many processors and threads there can be on this machine."""

from __future__ import annotations

import mmap
from pathlib import Path

__all__ = ["possible_cpus", "possible_threads"]


def possible_threads() -> int:
    """Return how many numbers threads can have on this machine, rounded up to whole pages of a byte each."""
    return -(-int(Path("/proc/sys/kernel/pid_max").read_text()) // mmap.PAGESIZE) * mmap.PAGESIZE


def possible_cpus() -> int:
    """Return one more than the highest CPU number this machine can have."""
    text = Path("/sys/devices/system/cpu/possible").read_text()
    return int(text.strip().replace(",", "-").split("-")[-1]) + 1

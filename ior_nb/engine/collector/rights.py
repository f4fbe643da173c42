"""Whether a process may load BPF programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = [
    "CAP_BPF",
    "CAP_PERFMON",
    "CAP_SYS_ADMIN",
    "CAP_SYS_RESOURCE",
    "INITIAL_USER_NAMESPACE",
    "absent",
    "enough",
    "has",
    "missing_rights",
]

INITIAL_USER_NAMESPACE: Final = "user:[4026531837]"  # PROC_USER_INIT_INO, fixed in the kernel's sources

# include/uapi/linux/capability.h
CAP_SYS_ADMIN: Final = 21
CAP_SYS_RESOURCE: Final = 24
CAP_PERFMON: Final = 38
CAP_BPF: Final = 39


def has(capabilities: int, number: int) -> bool:
    """Tell whether a set of capabilities, as /proc shows it, has one of them."""
    return bool(capabilities >> number & 1)


def enough(capabilities: int) -> bool:
    """Tell whether a set of capabilities lets a tracing program be loaded."""
    return has(capabilities, CAP_SYS_ADMIN) or (has(capabilities, CAP_BPF) and has(capabilities, CAP_PERFMON))


def absent(capabilities: int) -> str:
    """Return what a set that is not enough lacks."""
    names = (("CAP_BPF", CAP_BPF), ("CAP_PERFMON", CAP_PERFMON))
    return " and ".join(name for name, number in names if not has(capabilities, number))


def missing_rights() -> str | None:
    """Return what is missing for loading BPF programs, None when nothing is."""
    status = Path("/proc/self/status").read_text()
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))
    if not enough(effective):
        return f"uid {os.getuid()} lacks {absent(effective)}"
    if Path("/proc/self/ns/user").readlink() != Path(INITIAL_USER_NAMESPACE):
        return "the capabilities of a user namespace (a rootless container) do not count for the kernel"
    return None

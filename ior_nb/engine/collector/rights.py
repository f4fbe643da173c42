"""Whether this process may load BPF programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["missing_rights"]

# include/uapi/linux/capability.h
CAP_SYS_ADMIN: Final = 21
CAP_PERFMON: Final = 38
CAP_BPF: Final = 39


def missing_rights() -> str | None:
    """Return what is missing for loading BPF programs, None when nothing is."""
    status = Path("/proc/self/status").read_text()
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))
    has = {c for c in (CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF) if effective >> c & 1}
    if CAP_SYS_ADMIN in has or {CAP_PERFMON, CAP_BPF} <= has:
        return None
    lacking = [name for name, bit in (("CAP_BPF", CAP_BPF), ("CAP_PERFMON", CAP_PERFMON)) if bit not in has]
    return f"uid {os.getuid()} lacks {' and '.join(lacking)}"

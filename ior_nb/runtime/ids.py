"""Whose numbers processes have: hosts may be called the same, and containers give the same numbers again."""

from __future__ import annotations

import contextlib
import os
from hashlib import blake2b

__all__ = ["mark", "pid_namespace"]


def pid_namespace() -> str:
    """Return what tells the numbers of processes, as this one sees them, from others of this boot; empty if unknown."""
    with contextlib.suppress(OSError):
        return str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116 - one call
    return ""


def mark(text: str) -> str:
    """Return some letters that tell what a text says from others of the same name."""
    return blake2b(text.encode(errors="backslashreplace"), digest_size=4).hexdigest()

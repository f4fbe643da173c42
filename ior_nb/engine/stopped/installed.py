"""The strace of this machine: asked what it is. On the standard library alone: the doctor asks too."""

from __future__ import annotations

import re
import subprocess
from typing import Final

__all__ = ["OLDEST", "version_of"]

OLDEST: Final = (5, 10)
"""Of strace; older ones write other words."""


def version_of(program: str) -> tuple[int, int] | None:
    """Return what a strace says it is; None where it does not say.

    Raises:
        OSError: it cannot be started.
        SubprocessError: it does not end.
    """
    said = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=20, check=False).stdout
    found = re.search(r"version (\d+)\.(\d+)", said)
    return None if found is None else (int(found[1]), int(found[2]))

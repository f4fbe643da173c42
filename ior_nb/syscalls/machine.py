"""The architecture of this machine: the one place that chooses a table.

Recordings are loaded and played on any machine, those of another architecture too. So every call that is known
anywhere has a number here, and on a machine that cannot trace the table is that of x86-64.
"""

import platform

from . import aarch64, x86_64

_MACHINE = platform.machine().lower()

if _MACHINE in ("aarch64", "arm64"):
    from .aarch64 import (
        ARGUMENT_REGISTERS,
        COMPAT_BIT,
        COMPAT_CHANGES_NAMES,
        COMPAT_WORD,
        NUMBERS,
        OPEN_FLAGS,
        REGISTERS_BYTES,
        REGISTERS_START,
    )
else:
    from .x86_64 import (
        ARGUMENT_REGISTERS,
        COMPAT_BIT,
        COMPAT_CHANGES_NAMES,
        COMPAT_WORD,
        NUMBERS,
        OPEN_FLAGS,
        REGISTERS_BYTES,
        REGISTERS_START,
    )

__all__ = [
    "ARGUMENT_REGISTERS",
    "COMPAT_BIT",
    "COMPAT_CHANGES_NAMES",
    "COMPAT_WORD",
    "FOREIGN",
    "NUMBERS",
    "OPEN_FLAGS",
    "REGISTERS_BYTES",
    "REGISTERS_START",
    "SUPPORTED",
]

SUPPORTED: bool = _MACHINE in ("x86_64", "amd64", "aarch64", "arm64")
"""Whether the table is that of this machine; else nothing can be traced."""

_UNUSED = 337  # and those up to 423: no table has them

FOREIGN: dict[str, int] = {
    name: number
    for number, name in enumerate(sorted((x86_64.NUMBERS.keys() | aarch64.NUMBERS.keys()) - NUMBERS.keys()), _UNUSED)
}
"""Names only other architectures have, each with a number no call has here. They hold in this process alone: whatever
is stored or shown says names."""

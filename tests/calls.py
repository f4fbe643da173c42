"""What calls are called on this machine: of two that do the same, a younger architecture has the newer one only."""

from __future__ import annotations

import os
import re
from typing import Final

from ior_nb.syscalls import resolve

NEWER: Final = {
    "access": "faccessat",
    "fork": "clone",
    "mkdir": "mkdirat",
    "open": "openat",
    "poll": "ppoll",
    "readlink": "readlinkat",
    "rename": "renameat",
    "unlink": "unlinkat",
}


def _stat() -> str:
    """Return what `os.stat` calls: the C library has one call for all of its kind since 2.33."""
    version = re.findall(r"\d+", os.confstr("CS_GNU_LIBC_VERSION") or "2.33")
    old = [int(number) for number in version] < [2, 33]
    return "newstat" if old and resolve("newstat").native else "newfstatat"


STAT: Final = _stat()


def here(name: str) -> str:
    """Return the call programs make on this machine, the C library's among them, where others make `name`."""
    return name if resolve(name).native else NEWER[name]

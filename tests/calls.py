"""What calls are called on this machine: of two that do the same, a younger architecture has the newer one only."""

from __future__ import annotations

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


def here(name: str) -> str:
    """Return the call programs make on this machine, the C library's among them, where others make `name`."""
    return name if resolve(name).native else NEWER[name]

"""Where things are on a host: what is one host, and where its workers' notes and its own recordings lie."""

from __future__ import annotations

import os
import platform
import tempfile
from pathlib import Path
from typing import Final

from ior_nb.runtime import own
from ior_nb.runtime.clock import boot_id

__all__ = ["machine", "name", "place", "recorded", "spools"]

_SHARED: Final = Path("/dev/shm")


@own.ours
def place() -> str:
    """Return what is the same for the processes of one host, as far as a collector is concerned."""
    return f"{platform.node()} {machine()}"


@own.ours
def machine() -> str:
    """Return what is the same for processes that have different numbers."""
    return f"{boot_id()} {Path('/proc/self/ns/pid').readlink()}"


def name() -> str:
    """Return the name of this host as a part of the name of a file."""
    return (platform.node() or "host").replace("/", "_")


def spools(run: str) -> Path:
    """Return the folder where the workers of this host note their tasks."""
    base = _SHARED if os.access(_SHARED, os.W_OK) else Path(tempfile.gettempdir())
    return base / f"ior-nb-{run}-{name()}"


def recorded(run: str) -> Path:
    """Return the folder for recordings of a host that does not have that of the client."""
    return Path(tempfile.gettempdir()) / f"ior-nb-{run}-{name()}-recorded"

"""Where things are on a host: what is one host, and where its workers' notes and its own recordings lie."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import stat
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from ior_nb.runtime import own
from ior_nb.runtime.clock import boot_id
from ior_nb.runtime.ids import mark, pid_namespace
from ior_nb.runtime.memory import shared_memory

__all__ = ["Key", "called", "clear_forgotten", "file_name", "here", "machine", "place", "recorded", "spools"]

Key = tuple[str, int]
"""A collector: its place, and the process it was begun in. Hosts may have one name, and containers the same numbers."""

_DAY_S: Final = 86_400


@own.ours
def place() -> str:
    """Return what is the same for the processes of one host, as far as a collector is concerned."""
    return f"{platform.node()} {machine()}"


@own.ours
def machine() -> str:
    """Return what is the same for processes that have different numbers."""
    return f"{boot_id()} {pid_namespace()}"


def here() -> Key:
    """Return the collector that would be begun in this process."""
    return place(), os.getpid()


def _host_of(place: str) -> str:
    """Return the name of the host that a place is on."""
    return place.rsplit(" ", 2)[0]


def called(one: Key, first: Collection[Key], later: Collection[Key] = ()) -> str:
    """Return what a collector is called: its host, and what tells it from others there.

    Args:
        one: it.
        first: those that were there when the trace began. What they are called others do not change.
        later: those that came then.
    """
    host, pid = _host_of(one[0]), one[1]
    alike = {other for other in (*first, *(() if one in first else later)) if _host_of(other[0]) == host} - {one}
    if not alike:
        return host
    return f"{host}-{pid}" + (f"-{mark(one[0])}" if any(number == pid for _, number in alike) else "")


def file_name(known: Collection[str]) -> str:
    """Return what the recording of this process is called.

    Args:
        known: the places that are traced. Where another is called the same, or this is not among them, as nobody knows
            who else has come since, its own name says more.
    """
    alone = [one for one in known if _host_of(one) == platform.node()] == [place()]
    return f"{_name()}-{os.getpid()}{'' if alone else f'-{mark(place())}'}.parquet"


def _name() -> str:
    """Return the name of this host as a part of the name of a file."""
    return (platform.node() or "host").replace("/", "_")


def spools(run: str) -> Path:
    """Return the folder where the workers of this place note their tasks."""
    return shared_memory() / f"ior-nb-{run}-{_name()}-{mark(place())}"


@own.ours
def clear_forgotten() -> None:
    """Remove notes of workers of this place that are gone, a day later: a trace that was killed leaves them."""
    for folder in spools("").parent.glob(spools("[0-9a-f]" * 32).name):
        with contextlib.suppress(OSError, ValueError):
            about, pids = folder.lstat(), [int(one.name.partition("-")[0]) for one in folder.iterdir()]
            old = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and time.time() - about.st_mtime > _DAY_S
            if old and not any(Path(f"/proc/{pid}").exists() for pid in pids):
                shutil.rmtree(folder)


def recorded(run: str) -> Path:
    """Return the folder for recordings of a place that does not have that of the client."""
    return Path(tempfile.gettempdir()) / f"ior-nb-{run}-{_name()}-{mark(place())}-recorded"

"""How much memory there is for this process: the machine's, a container's, or what its limits leave."""

from __future__ import annotations

import functools
import os
import re
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

__all__ = ["memory_limit", "shared_memory"]

_LIMITS: Final = ("memory.max", "memory.high", "memory.limit_in_bytes")
"""Files of a control group, of version 2 and of version 1."""


def shared_memory() -> Path:
    """Return the folder whose files processes share without a disk, or that for temporary files where there is none."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def memory_limit() -> int:
    """Return the bytes this process may hope for: the least of RAM, its control groups and its resource limits."""
    return min(_machine(), *_of_resources())


@functools.cache  # files are read once: a trace that is made inside another must not show in it
def _machine() -> int:
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_of_groups(Path("/"))])


def _of_resources() -> Iterator[int]:
    for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(which)
        yield soft if soft != resource.RLIM_INFINITY else 1 << 62


def _of_groups(root: Path) -> Iterator[int]:
    """Yield the limits of the control groups this process is in, each of them and all around it.

    Args:
        root: where the file system begins.
    """
    groups = [line.split(":", 2) for line in _lines(root / "proc/self/cgroup") if line.count(":") >= 2]
    for line in _lines(root / "proc/self/mountinfo"):
        head, _, tail = line.partition(" - ")
        at, about = head.split(), tail.split()
        if len(at) < 5 or len(about) < 3 or about[0] not in ("cgroup", "cgroup2"):
            continue
        first, second = about[0] == "cgroup", about[0] == "cgroup2"
        if first and "memory" not in about[2].split(","):
            continue
        for number, controllers, path in groups:
            if (second and number == "0" and not controllers) or (first and "memory" in controllers.split(",")):
                yield from _upwards(root / _unescaped(at[4]).lstrip("/"), _inside(path, _unescaped(at[3])))


def _upwards(mount: Path, inside: PurePosixPath) -> Iterator[int]:
    """Yield the limits of a group and of those around it."""
    for group in (inside, *inside.parents):
        for name in _LIMITS:
            for text in _lines(mount / group / name)[:1]:
                if text.isascii() and text.isdigit():  # else it is "max"
                    yield int(text)


def _inside(path: str, top: str) -> PurePosixPath:
    """Return a group's path below what is mounted; outside of that, the mount itself is all that can be seen."""
    group = PurePosixPath(path)
    if ".." in group.parts or not group.is_relative_to(top):
        return PurePosixPath()
    return group.relative_to(top)


def _unescaped(text: str) -> str:
    """Undo the octal numbers of mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []

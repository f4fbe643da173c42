"""`Counting`: what the host counts of this process in a stretch of time, and the files that Python opens meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ior_nb.real import Lock
from ior_nb.runtime import own
from ior_nb.runtime.host import Cached, HostCounts, Opened, Sample, cached_of, sample
from ior_nb.session.audit import listen

__all__ = ["Counting"]

_MOST: Final = 1_000
"""Files told of."""
_KEPT: Final = 100_000
_WRITES: Final = os.O_WRONLY | os.O_RDWR


class Counting:
    """From `begin` to `end`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._files: dict[str, list[int]] = {}  # path -> times opened, whether to be written
        self._first: Sample | None = None
        self._stop: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Count from now on."""
        self._stop = listen("open", self._opened)
        self._first = sample()

    def end(self) -> HostCounts:
        """Return what was counted; the files are asked how much of them is in memory now."""
        last = sample(ends=True)
        self._stop()
        with self._lock:
            ranked = sorted(self._files.items(), key=lambda item: -item[1][0])
        opened = tuple(_asked(path, times, bool(written)) for path, (times, written) in ranked[:_MOST])
        return HostCounts.between(self._first or last, last, opened, max(len(ranked) - _MOST, 0))

    def _opened(self, path: object, _mode: object, flags: object) -> None:
        """The user's code opens a file; by descriptor it is none."""
        if own.state() != own.USERS or not isinstance(path, (str, bytes, os.PathLike)):
            return
        name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - links stay what they are
        with self._lock:
            if name in self._files or len(self._files) < _KEPT:
                found = self._files.setdefault(name, [0, 0])
                found[0] += 1
                found[1] |= isinstance(flags, int) and bool(flags & _WRITES)


def _asked(path: str, times: int, written: bool) -> Opened:
    size, cached = -1, None
    try:
        about = Path(path).stat()
        if stat.S_ISREG(about.st_mode):
            size, cached = about.st_size, _cached(path)
    except (OSError, ValueError):
        pass
    return Opened(path, times, written, size, cached)


def _cached(path: str) -> Cached | None:
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return cached_of(file)
    finally:
        os.close(file)

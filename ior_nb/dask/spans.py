"""Which thread did which task when: written by each worker into memory it shares with a file, read where rows are.

Nothing is called for it: to note a task is a few stores to memory, which are in the file whatever becomes of the
worker. A file is a text about the worker (JSON), then one record for each task: its length, the thread, begin and end
on the boot clock, and its name. An end of 0 is none yet; a thread of 0 is none: the task has run, and nobody knows
which calls were its own. The length is written last, so what is not whole is not there. At the end of the text stands
how many tasks there was no room for.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ior_nb.runtime.clock import FOR_EVER, boot_clock
from ior_nb.runtime.spans import Spans

__all__ = ["ENDING", "Noted", "Notes", "Spool", "Worker", "read"]

ENDING: Final = ".spans"
_HEAD: Final = 4096
_RECORD: Final = struct.Struct("<IIQQ")
_END: Final = struct.Struct("<Q")
_MISSED: Final = _HEAD - _END.size
_STEP: Final = 1 << 20
"""Some fifteen thousand tasks."""
_LONGEST: Final = 1000
"""Bytes of the name of a task; Dask's have some fifty."""


class Spool:
    """The file of one worker. Calls come one at a time.

    Args:
        path: of the file, which is made.
        about: the worker, as the reader needs it.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        text, begun = json.dumps(about).encode()[:_MISSED], path.with_suffix(".begun")
        fd = os.open(begun, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _STEP)  # a store to memory that the disk has no room for ends the process
            self._map = mmap.mmap(fd, _STEP)
            self._map[:] = bytes(_STEP)  # or each new page of it would be a fault of a task
            self._map[: len(text)] = text
            begun.rename(path)  # so that what is read says whose it is
        except BaseException:
            os.close(fd)
            begun.unlink(missing_ok=True)
            raise
        self._fd = fd
        self._size, self._next, self._missed = _STEP, _HEAD, 0

    def begin(self, tid: int, task: str, *, at: int | None = None) -> int:
        """Note the begin of a task; return where, for `end`. 0 where there is no room."""
        name = task.encode("utf-8", "backslashreplace")[:_LONGEST]
        if self._map.closed:
            return 0
        here, size = self._next, -(-(_RECORD.size + len(name)) // 8) * 8
        if here + size + _RECORD.size > self._size and not self._grow():
            self._missed += 1
            _END.pack_into(self._map, _MISSED, self._missed)
            return 0
        _RECORD.pack_into(self._map, here, 0, tid, boot_clock() if at is None else at, 0)
        self._map[here + _RECORD.size : here + _RECORD.size + len(name)] = name
        struct.pack_into("<I", self._map, here, size)
        self._next = here + size
        return here

    def end(self, where: int, at: int | None = None) -> None:
        """Note the end of a task."""
        if where and not self._map.closed:
            _END.pack_into(self._map, where + 16, boot_clock() if at is None else at)

    def close(self) -> None:
        """Let go of the file; what is noted from now on is not."""
        self._map.close()
        os.close(self._fd)

    def _grow(self) -> bool:
        try:
            os.posix_fallocate(self._fd, self._size, _STEP)
            self._map.resize(self._size + _STEP)
            self._map[self._size :] = bytes(_STEP)
        except (OSError, ValueError):
            return False
        self._size += _STEP
        return True


class Notes(dict[int, Any]):
    """What a worker of Dask has as `active_threads`: the thread of each task itself fills and empties it.

    Args:
        before: what the worker had; it is kept as it was, for somebody else may have replaced it, too.
        spool: where tasks are noted.
        tid: the number of the calling thread.
    """

    def __init__(self, before: dict[int, Any], spool: Spool, tid: Callable[[], int]) -> None:
        super().__init__(before)
        self.before, self._spool, self._tid = before, spool, tid
        self._open: dict[int, int] = {}
        self.noted: set[str] = set()
        """Names of tasks that have ended and of which nobody has heard that yet."""

    def __setitem__(self, ident: int, key: Any) -> None:
        super().__setitem__(ident, key)
        self.before[ident] = key
        self._open[ident] = self._spool.begin(self._tid(), str(key))

    def __delitem__(self, ident: int) -> None:
        self._spool.end(self._open.pop(ident, 0))
        self.noted.add(str(self[ident]))
        super().__delitem__(ident)
        if ident in self.before:
            del self.before[ident]

    def begun(self) -> dict[str, int]:
        """Note the tasks that run already, as from now on; return the name of each, and where it stands."""
        threads = {thread.ident: thread.native_id or 0 for thread in threading.enumerate()}
        return {str(key): self._spool.begin(threads.get(ident, 0), str(key)) for ident, key in self.items()}

    def stop(self) -> None:
        """Note nothing more, but go on for who has taken this for the dictionary from before."""
        for where in self._open.values():
            self._spool.end(where)
        self._open.clear()
        self._spool.close()

    def forget(self, task: str) -> None:
        """Take out a task whose thread knows only the dictionary from before."""
        for ident in [i for i, key in self.items() if str(key) == task and i not in self._open]:
            super().pop(ident)


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker, as its file says."""

    address: str
    pid: int


@dataclass(frozen=True, slots=True)
class Noted:
    """What the workers of a host have noted."""

    workers: tuple[Worker, ...] = ()
    spans: Spans = field(default_factory=Spans)
    """What each thread did by time: the number of the worker, a space, and the name of the task."""
    tasks: int = 0
    """How many have a thread and a time."""
    unstamped: tuple[str, ...] = ()
    """Names of those that have run, and of which nobody knows the calls."""
    missed: int = 0
    """Tasks there was no room to note."""


def read(files: Iterable[Path], since: int = 0) -> Noted:
    """Return what the workers of a host have noted so far. Tasks that still run have no end.

    Args:
        files: of the workers.
        since: a time on the boot clock; tasks that had ended then are left out.
    """
    workers: list[Worker] = []
    found: list[tuple[int, int, int, str]] = []
    unstamped: dict[str, None] = {}
    missed = 0
    for number, path in enumerate(files):
        data = path.read_bytes()
        about = json.loads(data[:_MISSED].rstrip(b"\0") or b"{}")
        workers.append(Worker(str(about["worker"]), int(about["pid"])))
        missed += _END.unpack_from(data, _MISSED)[0]
        at = _HEAD
        while at + _RECORD.size <= len(data):
            size, tid, begin, end = _RECORD.unpack_from(data, at)
            if not size:
                break
            name = data[at + _RECORD.size : at + size].rstrip(b"\0").decode("utf-8", "backslashreplace")
            if begin < since and (end < since if end else not tid):
                pass
            elif tid:
                found.append((tid, begin, end or FOR_EVER, f"{number} {name}"))
            else:
                unstamped[name] = None
            at += size
    spans = Spans()
    found.sort()
    for (tid, begin, end, name), (after, until, *_) in itertools.pairwise([*found, (0, 0, 0, "")]):
        # A thread has one task at a time. That of a worker that was killed has no end, and the number of its thread is
        # given again.
        spans.add(tid, begin, min(end, until) if tid == after else end, name)
    return Noted(tuple(workers), spans, len(found), tuple(unstamped), missed)

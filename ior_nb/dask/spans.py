"""Which thread did which task when: written by each worker into memory it shares with a file, read where rows are.

Nothing is called for it: to note a task is a few stores to memory, which are in the file whatever becomes of the
worker. A file is a text about the worker (JSON), then one record for each task: its length, the thread, begin and end
on the boot clock, and its name. An end of 0 is none yet; a thread of 0 is none: the task has run, and nobody knows
which calls were its own. The length is written last, so what is not whole is not there.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from ior_nb.runtime.clock import FOR_EVER, boot_clock

__all__ = ["ENDING", "Notes", "Spans", "Spool", "Worker", "read"]

ENDING: Final = ".spans"
_HEAD: Final = 4096
_RECORD: Final = struct.Struct("<IIQQ")
_END: Final = struct.Struct("<Q")
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
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _STEP)  # a store to memory that the disk has no room for ends the process
            self._map = mmap.mmap(fd, _STEP)
            self._map[:] = bytes(_STEP)  # or each new page of it would be a fault of a task
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._size, self._next = _STEP, _HEAD
        text = json.dumps(about).encode()[: _HEAD - 1]
        self._map[: len(text)] = text

    def begin(self, tid: int, task: str, *, at: int | None = None) -> int:
        """Note the begin of a task; return where, for `end`. 0 where there is no room."""
        name = task.encode("utf-8", "backslashreplace")[:_LONGEST]
        here, size = self._next, -(-(_RECORD.size + len(name)) // 8) * 8
        if here + size + 8 > self._size and not self._grow():
            return 0
        _RECORD.pack_into(self._map, here, 0, tid, boot_clock() if at is None else at, 0)
        self._map[here + _RECORD.size : here + _RECORD.size + len(name)] = name
        struct.pack_into("<I", self._map, here, size)
        self._next = here + size
        return here

    def end(self, where: int, at: int | None = None) -> None:
        """Note the end of a task."""
        if where:
            _END.pack_into(self._map, where + 16, boot_clock() if at is None else at)

    def close(self) -> None:
        """Let go of the file."""
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
        self.full = 0
        """Tasks there was no room for."""

    def __setitem__(self, ident: int, key: Any) -> None:
        super().__setitem__(ident, key)
        self.before[ident] = key
        self._open[ident] = where = self._spool.begin(self._tid(), str(key))
        self.full += not where

    def __delitem__(self, ident: int) -> None:
        where = self._open.pop(ident, 0)
        if where:
            self._spool.end(where)
        self.noted.add(str(self[ident]))
        super().__delitem__(ident)
        if ident in self.before:
            del self.before[ident]

    def begun(self) -> dict[str, int]:
        """Note the tasks that run already, as from now on; return the name of each, and where it stands."""
        threads = {thread.ident: thread.native_id or 0 for thread in threading.enumerate()}
        return {str(key): self._spool.begin(threads.get(ident, 0), str(key)) for ident, key in self.items()}

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
class Spans:
    """All spans of a host."""

    workers: tuple[Worker, ...] = ()
    tasks: tuple[str, ...] = ("",)
    """Names of tasks; the first is none."""
    by_thread: Mapping[int, np.ndarray] = field(default_factory=dict)
    """For each thread begin, end and number of the task, int64, shape (n, 3), in order."""
    unstamped: tuple[str, ...] = ()
    """Tasks that have run, whose calls nobody knows."""

    def __len__(self) -> int:
        return sum(map(len, self.by_thread.values()))

    def of(self, tid: np.ndarray, time_ns: np.ndarray) -> np.ndarray:
        """Return the number of the task that each row belongs to; 0 where it is none's."""
        found = np.zeros(len(tid), np.int32)
        at = time_ns.astype(np.int64)
        order = np.argsort(tid, kind="stable")
        threads, firsts = np.unique(tid[order], return_index=True)
        for thread, mine in zip(threads.tolist(), np.split(order, firsts[1:]), strict=True):
            spans = self.by_thread.get(thread)
            if spans is None:
                continue
            last = np.searchsorted(spans[:, 0], at[mine], side="right") - 1
            inside = (last >= 0) & (at[mine] < spans[np.maximum(last, 0), 1])
            found[mine[inside]] = spans[last[inside], 2]
        return found


def read(files: Iterable[Path]) -> Spans:
    """Return what the workers of a host have noted so far. Tasks that still run have no end."""
    workers: list[Worker] = []
    numbers: dict[str, int] = {"": 0}
    threads: dict[int, list[tuple[int, int, int]]] = {}
    unstamped: dict[str, None] = {}
    for path in files:
        data = path.read_bytes()
        about = json.loads(data[:_HEAD].rstrip(b"\0") or b"{}")
        workers.append(Worker(str(about["worker"]), int(about["pid"])))
        at = _HEAD
        while at + _RECORD.size <= len(data):
            size, tid, begin, end = _RECORD.unpack_from(data, at)
            if not size:
                break
            name = data[at + _RECORD.size : at + size].rstrip(b"\0").decode("utf-8", "backslashreplace")
            if tid:
                number = numbers.setdefault(name, len(numbers))
                threads.setdefault(tid, []).append((begin, end or FOR_EVER - 1, number))
            else:
                unstamped[name] = None
            at += size
    by_thread = {tid: np.array(sorted(spans), np.int64) for tid, spans in threads.items()}
    return Spans(tuple(workers), tuple(numbers), by_thread, tuple(unstamped))

"""The one rule for rows: how long a call took, which way its bytes went, and which file they were read from.

Every sum of the program (tables, summary, statistics) is made of these, of `EventBatch.done` and of
`EventBatch.in_flight`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from ior_nb.runtime import EventBatch
from ior_nb.syscalls import SYSCALLS

__all__ = ["CLASSES", "CLASS_OF", "classes", "credited_rows", "latencies", "moved", "source_files", "waits", "ways"]

CLASSES: Final = ("other", "read", "write", "transfer")
"""Byte classes of a row, by number; a transfer reads and writes."""
CLASS_OF: Final = {c.name: c.bytes_class if c.bytes_class in CLASSES else CLASSES[0] for c in SYSCALLS}
"""Name of a system call -> its byte class."""


def classes(batch: EventBatch) -> np.ndarray:
    """Return the byte class of every row as an index into `CLASSES`."""
    return np.asarray(_kinds(batch.tables["syscall"])[batch["syscall"]])


def _kinds(names: Iterable[str]) -> np.ndarray:
    return np.array([CLASSES.index(CLASS_OF.get(name, CLASSES[0])) for name in names], np.int8)


def ways(names: Iterable[str]) -> np.ndarray:
    """Return which system calls read (first row) and which write (second): 1 or 0, int64, shape (2, n)."""
    kinds = _kinds(names)
    return np.array([(kinds == 1) | (kinds == 3), kinds >= 2], np.int64)


def moved(batch: EventBatch) -> tuple[np.ndarray, np.ndarray]:
    """Return bytes read and bytes written by every row, int64, shape (n,)."""
    reads, writes = ways(batch.tables["syscall"])
    count, calls = batch["bytes"].view(np.int64), batch["syscall"]
    return count * reads[calls], count * writes[calls]


def latencies(batch: EventBatch) -> tuple[np.ndarray, np.ndarray]:
    """Return the latency, int64, 0 where the call has none; and where it has one."""
    latency, done = batch["latency_ns"].view(np.int64), batch.done
    return (latency if done.all() else np.where(done, latency, 0)), done


_WAITING: Final = frozenset(
    c.name
    for c in SYSCALLS
    if c.kind in ("poll", "sleep", "futex", "accept")
    or c.name in ("wait4", "waitid", "connect", "pause", "io_getevents")
)
_FROM_OTHERS: Final = ("pipe", "socket")


def waits(batch: EventBatch) -> np.ndarray:
    """Return which calls wait for somebody: polls, sleeps, waits for children, reads of pipes and sockets."""
    names, kinds = batch.tables["syscall"], batch.tables["file_kind"]
    waiting = np.array([name in _WAITING for name in names], bool).take(batch["syscall"])
    others = np.array([kind in _FROM_OTHERS for kind in kinds], bool).take(batch["file_kind"])
    read = classes(batch) == CLASSES.index("read")
    return np.asarray(waiting | (others & read))


def source_files(batch: EventBatch, transfers: np.ndarray) -> np.ndarray:
    """Return the file whose bytes every row read, as a code: a transfer (bool, shape (n,)) reads from `old_file`."""
    old = batch["old_file"]
    return np.where(transfers & (old != 0), old, batch["file"])


def credited_rows(batch: EventBatch) -> np.ndarray:
    """Return the rows whose bytes were read from another file than `file`."""
    return np.flatnonzero(source_files(batch, classes(batch) == CLASSES.index("transfer")) != batch["file"])

"""What is true of single rows: whether they finished, how long they took, which way their bytes went."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.runtime import EventBatch
from ior_nb.syscalls import SYSCALLS

__all__ = ["CLASSES", "CLASS_OF", "classes", "credited_rows", "finished", "latencies", "moved"]

CLASSES: Final = ("other", "read", "write", "transfer")
"""Byte classes of a row, by number; a transfer reads and writes."""
CLASS_OF: Final = {c.name: c.bytes_class if c.bytes_class in CLASSES else CLASSES[0] for c in SYSCALLS}
"""Name of a system call -> its byte class."""


def finished(batch: EventBatch) -> np.ndarray:
    """Tell which calls have returned: bool, shape (n,)."""
    code = batch.tables["state"].code("done")
    return np.asarray(batch["state"] == (-1 if code is None else code))


def classes(batch: EventBatch) -> np.ndarray:
    """Return the byte class of every row as an index into `CLASSES`."""
    table = batch.tables["syscall"]
    of_code = np.array([CLASSES.index(CLASS_OF.get(name, CLASSES[0])) for name in table], np.int8)
    return np.asarray(of_code[batch["syscall"]])


def moved(batch: EventBatch) -> tuple[np.ndarray, np.ndarray]:
    """Return bytes read and bytes written by every row, int64, shape (n,)."""
    kind, count = classes(batch), batch["bytes"].astype(np.int64)
    return count * ((kind == 1) | (kind == 3)), count * (kind >= 2)


def latencies(batch: EventBatch) -> tuple[np.ndarray, np.ndarray]:
    """Return the latency, int64, 0 where the call has none; and where it has one."""
    done = finished(batch)
    return batch["latency_ns"].astype(np.int64) * done, done


def credited_rows(batch: EventBatch) -> np.ndarray:
    """Return the rows whose bytes were read from `old_file`, not from `file`."""
    old = batch["old_file"]
    return np.flatnonzero((classes(batch) == 3) & (old != 0) & (old != batch["file"]))

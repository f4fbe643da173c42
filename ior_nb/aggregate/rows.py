"""The one rule for rows: how long a call took, which way its bytes went, which file they were read from, who waits.

Every sum of the program (tables, summary, statistics) is made of these, of `EventBatch.done` and of
`EventBatch.in_flight`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.index import is_nothing, rows_of
from ior_nb.runtime.rows import Rows, read
from ior_nb.syscalls import SYSCALLS
from ior_nb.syscalls.looks import LOOKS, OPENS
from ior_nb.syscalls.probes import MOST_ERRNO, errnos
from ior_nb.syscalls.waits import ALWAYS, AT_KINDS, AT_OTHERS

__all__ = [
    "CLASSES",
    "CLASS_OF",
    "at_others",
    "classes",
    "credited_rows",
    "ended",
    "fault_rows",
    "gapless",
    "latencies",
    "moved",
    "probe_rows",
    "source_files",
    "uses",
    "waits_at",
    "ways",
]

CLASSES: Final = ("other", "read", "write", "transfer")
"""Byte classes of a row, by number; a transfer reads and writes."""
CLASS_OF: Final = {c.name: c.bytes_class if c.bytes_class in CLASSES else CLASSES[0] for c in SYSCALLS}
"""Name of a system call -> its byte class."""


def classes(batch: EventBatch) -> np.ndarray:
    """Return the byte class of every row as an index into `CLASSES`."""
    return _kinds(batch.tables["syscall"]).take(batch["syscall"])


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
    all_done = done[:1].all() if is_one_value(done) else done.all()
    return (latency if all_done else np.where(done, latency, 0)), done


def gapless(batch: EventBatch) -> np.ndarray:
    """Return which rows have no gap: first calls of threads, and page faults, which are no calls. Bool, shape (n,)."""
    faults = batch.of_state("untimed")
    return np.asarray(batch["first_on_tid"] if is_nothing(faults) else batch["first_on_tid"] | faults)


def fault_rows(batch: EventBatch) -> np.ndarray:
    """Return which rows are faults on mapped files, and no calls: bool, shape (n,)."""
    return batch.of_state("untimed")


def ended(rows: Rows) -> tuple[int, int]:
    """Return how many calls had ended, and how many were in flight."""
    done = flying = 0
    for batch in read(rows, "state"):
        still = int(batch.in_flight.sum())
        done, flying = done + len(batch) - still, flying + still
    return done, flying


def source_files(batch: EventBatch, transfers: np.ndarray) -> np.ndarray:
    """Return the file whose bytes every row read, as a code: a transfer (bool, shape (n,)) reads from `old_file`."""
    old = batch["old_file"]
    return np.where(transfers & (old != 0), old, batch["file"])


def credited_rows(batch: EventBatch) -> np.ndarray:
    """Return the rows whose bytes were read from another file than `file`."""
    return rows_of(source_files(batch, classes(batch) == CLASSES.index("transfer")) != batch["file"])


def probe_rows(batch: EventBatch) -> np.ndarray:
    """Return which failures are probes by call and error alone, for rows nobody judged where they were traced."""
    failed = rows_of(batch["is_error"])
    found = np.zeros(len(batch), bool)
    if len(failed):
        table = np.zeros((len(batch.tables["syscall"]), MOST_ERRNO + 2), bool)
        calls = batch["syscall"][failed]
        for code in np.unique(calls).tolist():
            table[code, list(errnos(batch.tables["syscall"][code], ("", "request")))] = True
        found[failed] = table[calls, np.minimum(-batch["ret"][failed], MOST_ERRNO + 1)]
    return found


def uses(names: Iterable[str]) -> np.ndarray:
    """Return which system calls use their file: 2 always, 1 where it is no folder, 0 never; int8, shape (n,)."""
    return np.array([0 if name in LOOKS else 1 if name in OPENS else 2 for name in names], np.int8)


def waits_at(names: Iterable[str]) -> np.ndarray:
    """Return which system calls wait: 2 always, 1 where the file has another end, 0 never; int8, shape (n,)."""
    return np.array([2 if name in ALWAYS else 1 if name in AT_OTHERS else 0 for name in names], np.int8)


def at_others(batch: EventBatch, at: np.ndarray) -> np.ndarray:
    """Return which rows are of calls that wait for somebody else: bool, shape (n,).

    Args:
        batch: the rows.
        at: `waits_at` of the call of each row.
    """
    maybe = rows_of(at == 1)
    found: np.ndarray = at == 2
    if len(maybe):
        found[maybe] = batch.tables["file_kind"].among(AT_KINDS).take(batch["file_kind"][maybe])
    return found

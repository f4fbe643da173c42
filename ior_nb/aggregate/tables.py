"""One group per system call, family, file, directory, process, thread name or error; and the totals."""

from __future__ import annotations

import errno
import os

import numpy as np

from ior_nb.aggregate.groups import Columns, Groups, mean
from ior_nb.aggregate.rows import credited_rows, latencies, lives, moved, wait_rows
from ior_nb.runtime import EventBatch

__all__ = [
    "directories",
    "directory_of",
    "errors",
    "families",
    "files",
    "probes",
    "processes",
    "syscalls",
    "threads",
    "totals",
]


def totals(batch: EventBatch) -> dict[str, int | float]:
    """Return the totals of all rows by name."""
    read, written = moved(batch)
    latency, done = latencies(batch)
    life = lives(batch)
    groups = Groups(np.zeros(len(batch), np.int64))
    percentiles = groups.percentiles(latency, done)
    count = int(done.sum())
    return {
        "calls": len(batch),
        "errors": int(batch.failed.sum()),
        "probes": int(batch["probe"].sum()),
        "in_flight": int(batch.in_flight.sum()),
        "bytes": int(batch["bytes"].sum(dtype=np.int64)),
        "bytes_read": int(read.sum()),
        "bytes_written": int(written.sum()),
        "files": int(np.count_nonzero(np.union1d(batch["file"], batch["old_file"][credited_rows(batch)]))),
        "syscalls": len(np.unique(batch["syscall"])),
        "processes": Groups(batch["pid"], life).count,
        "threads": Groups(batch["pid"], life, batch["tid"]).count,
        "time_ns": int(latency.sum()),
        "waiting_ns": int(latency[wait_rows(batch)].sum()),
        "mean_ns": float(latency.sum() / count) if count else 0.0,
        **{name: int(values[0]) if len(values) else 0 for name, values in percentiles.items()},
        "max_ns": int(latency.max(initial=0)),
    }


def syscalls(batch: EventBatch) -> Columns:
    """Return one group per system call, most time first; percentiles and mean are of finished calls."""
    groups = Groups(batch["syscall"])
    first = groups.first()
    columns: Columns = {
        "syscall": batch.text("syscall")[first],
        "family": batch.text("family")[first],
        **_measures(groups, batch),
        **groups.percentiles(*latencies(batch)),
    }
    columns["max_ns"] = columns.pop("max_ns")  # behind the percentiles
    return ranked(columns, "time_ns", "calls")


def _measures(groups: Groups, batch: EventBatch) -> Columns:
    """Return what every table of calls has."""
    latency, done = latencies(batch)
    read, written = moved(batch)
    time = groups.sum(latency)
    return {
        "calls": groups.sizes(),
        "errors": groups.sum(batch.failed),
        "probes": groups.sum(batch["probe"]),
        "bytes": groups.sum(batch["bytes"]),
        "bytes_read": groups.sum(read),
        "bytes_written": groups.sum(written),
        "time_ns": time,
        "mean_ns": mean(time, groups.sum(done)),
        "max_ns": groups.max(latency),
    }


def families(batch: EventBatch) -> Columns:
    """Return one group per family of system calls, most time first."""
    groups = Groups(batch["family"])
    columns: Columns = {
        "family": batch.text("family")[groups.first()],
        "syscalls": groups.distinct(batch["syscall"]),
        **_measures(groups, batch),
    }
    return ranked(columns, "time_ns", "calls")


def files(batch: EventBatch) -> Columns:
    """Return one group per file, most bytes first; calls without a file have the empty name.

    A transfer between two descriptors is a call on its destination; the bytes read are credited to its source.
    """
    file, old = batch["file"], batch["old_file"]
    latency, done = latencies(batch)
    read, written = moved(batch)
    credited = credited_rows(batch)
    zeros = np.zeros(len(credited), np.int64)
    own_read = read.copy()
    own_read[credited] = 0
    keys = np.concatenate([file, old[credited]])
    groups = Groups(keys)
    calls = groups.sum(np.concatenate([np.ones(len(batch), np.int64), zeros]))
    timed = groups.sum(np.concatenate([done, zeros.astype(bool)]))
    latency = np.concatenate([latency, zeros])
    columns: Columns = {
        "file": batch.tables["file"].texts(keys[groups.first()]),
        "calls": calls,
        "errors": groups.sum(np.concatenate([batch.failed, zeros.astype(bool)])),
        "probes": groups.sum(np.concatenate([batch["probe"], zeros.astype(bool)])),
        "bytes_read": groups.sum(np.concatenate([own_read, read[credited]])),
        "bytes_written": groups.sum(np.concatenate([written, zeros])),
        "time_ns": groups.sum(latency),
        "mean_ns": mean(groups.sum(latency), timed),
        "max_ns": groups.max(latency),
    }
    columns["bytes"] = columns["bytes_read"] + columns["bytes_written"]
    columns = ranked(columns, "bytes", "calls", "time_ns")
    del columns["bytes"]
    return columns


def directory_of(file: str) -> str:
    """Return the text before the last slash; `/` for top-level entries, `.` for names without one, empty for none."""
    head, slash, _ = file.rpartition("/")
    return (head or "/") if slash else "." if file else ""


def directories(batch: EventBatch) -> Columns:
    """Return one group per directory, most bytes first; calls without a file have the empty name."""
    by_file = files(batch)
    numbers: dict[str, int] = {}
    groups = Groups(np.array([numbers.setdefault(directory_of(f), len(numbers)) for f in by_file["file"]], np.int64))
    names = np.empty(len(numbers), object)
    names[:] = list(numbers)
    columns: Columns = {"directory": names, "files": groups.sizes()}
    for name in ("calls", "errors", "probes", "bytes_read", "bytes_written", "time_ns"):
        columns[name] = groups.sum(by_file[name])
    columns["max_ns"] = groups.max(by_file["max_ns"])
    columns["bytes"] = columns["bytes_read"] + columns["bytes_written"]
    columns = ranked(columns, "bytes", "calls", "time_ns")
    del columns["bytes"]
    return columns


def processes(batch: EventBatch) -> Columns:
    """Return one group per process, most calls first; an id that is used again is another process.

    A process is called what its main thread was called last, or, where that made no call, by its first name at all.
    """
    pid, comm, rows = batch["pid"], batch["comm"], np.arange(len(batch))
    groups = Groups(pid, lives(batch))
    main = groups.max(np.where((batch["tid"] == pid) & (comm != 0), rows, -1))
    named = groups.min(np.where(comm != 0, rows, len(batch)))
    source = np.where(main >= 0, main, np.where(named < len(batch), named, groups.first()))
    end = batch["time_ns"].astype(np.int64) + latencies(batch)[0]
    columns: Columns = {
        "pid": pid[groups.first()].astype(np.int64),
        "comm": batch.text("comm")[source],
        "ppid": groups.max(batch["ppid"]),
        "threads": groups.distinct(batch["tid"]),
        **_measures(groups, batch),
        "first_ns": groups.min(batch["time_ns"].astype(np.int64)),
        "last_ns": groups.max(end),
    }
    return ranked(columns, "calls", "time_ns")


def threads(batch: EventBatch) -> Columns:
    """Return one group per name of a thread, most time first."""
    groups = Groups(batch["comm"])
    columns: Columns = {
        "comm": batch.text("comm")[groups.first()],
        "threads": groups.distinct(batch["tid"]),
        **_measures(groups, batch),
    }
    return ranked(columns, "time_ns", "calls")


def errors(batch: EventBatch) -> Columns:
    """Return one group per system call and error, most frequent first, with the first file it happened to."""
    return _failures(batch.take(batch.failed))


def probes(batch: EventBatch) -> Columns:
    """Return the same of the failures that are none: the answers to questions of normal work."""
    return _failures(batch.take(batch["probe"]))


def _failures(failed: EventBatch) -> Columns:
    groups = Groups(failed["syscall"], failed["ret"])
    first = groups.first()
    codes = (-failed["ret"][first]).tolist()
    file = failed.text("file")[first]
    columns: Columns = {
        "syscall": failed.text("syscall")[first],
        "error": _objects([errno.errorcode.get(code, str(-code)) for code in codes]),
        "errno": np.array(codes, np.int64),
        "message": _objects([os.strerror(code) for code in codes]),
        "calls": groups.sizes(),
        "files": groups.distinct(failed["file"]),
        "example": np.where(file != "", file, failed.text("path_arg")[first]) if len(first) else file,
    }
    return ranked(columns, "calls")


def _objects(values: list[str]) -> np.ndarray:
    result = np.empty(len(values), object)
    result[:] = values
    return result


def ranked(columns: Columns, *by: str) -> Columns:
    """Return the groups with the largest values first; equal ones by name."""
    if not len(columns[by[0]]):
        return columns
    keys = [-columns[name] for name in reversed(by)]
    order = np.lexsort([np.unique(next(iter(columns.values())), return_inverse=True)[1], *keys])
    return {name: values[order] for name, values in columns.items()}

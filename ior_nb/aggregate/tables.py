"""One group per system call, family, file, directory, process, thread name or error; and the totals.

Each takes the calls that were counted and are no rows (`Completeness.unrecorded`), and has them in its sums. What only
rows can tell (percentiles, which file, which process) is of the rows: the column `recorded` says of how many.
"""

from __future__ import annotations

import errno
import os
from typing import Final

import numpy as np

from ior_nb.aggregate.asked import amplification, faulted, read_again
from ior_nb.aggregate.groups import Columns, Groups, mean
from ior_nb.aggregate.imports import packages
from ior_nb.aggregate.rows import credited_rows, fault_rows, latencies, lives, moved
from ior_nb.aggregate.spent import MEASURED, amount, credited, spent, summed, totals_of, wait_rows, waiting
from ior_nb.aggregate.unrecorded import as_group, into_groups, sums
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import distinct
from ior_nb.runtime.completeness import UNRECORDED, Counters
from ior_nb.runtime.filter import import_rows
from ior_nb.runtime.stacks import IMPORTS, NO_FRAME, parsed

__all__ = [
    "directories",
    "directory_of",
    "errors",
    "families",
    "files",
    "imports",
    "lines",
    "probes",
    "processes",
    "syscalls",
    "threads",
    "totals",
]


_PLACES: Final = 3
"""Lines that opened a file that are named."""
_ALL_ROWS: Final[Counters] = {}


def totals(batch: EventBatch, unrecorded: Counters = _ALL_ROWS) -> dict[str, int | float]:
    """Return the totals by name; files, processes, threads and percentiles are those of the rows."""
    read, written = moved(batch)
    latency, done = latencies(batch)
    life = lives(batch)
    groups = Groups(np.zeros(len(batch), np.int64))
    percentiles = groups.percentiles(latency, done)
    more = {name: int(values.sum()) for name, values in sums(unrecorded).items() if values.dtype != object}
    count, time = int(done.sum()) + more["timed"], int(latency.sum()) + more["time_ns"]
    return {
        "calls": len(batch) + more["calls"],
        "recorded": len(batch),
        "errors": int(batch.failed.sum()) + more["errors"],
        "probes": int(batch["probe"].sum()) + more["probes"],
        "in_flight": int(batch.in_flight.sum()),
        "bytes": int(batch["bytes"].sum(dtype=np.int64)) + more["bytes"],
        "bytes_read": int(read.sum()) + more["bytes_read"],
        "bytes_written": int(written.sum()) + more["bytes_written"],
        "files": int(np.count_nonzero(np.union1d(batch["file"], batch["old_file"][credited_rows(batch)]))),
        "syscalls": len({*batch.tables["syscall"].texts(np.unique(batch["syscall"])), *unrecorded}),
        "processes": Groups(batch["pid"], life).count,
        "threads": Groups(batch["pid"], life, batch["tid"]).count,
        "time_ns": time,
        "waiting_ns": int(waiting(batch, wait_rows(batch)).sum()),
        **totals_of(batch),
        "mean_ns": time / count if count else 0.0,
        **{name: int(values[0]) if len(values) else 0 for name, values in percentiles.items()},
        "max_ns": int(latency.max(initial=0)),
    }


def syscalls(batch: EventBatch, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per system call, most time first; percentiles and mean are of finished calls."""
    groups = Groups(batch["syscall"])
    first = groups.first()
    columns: Columns = {
        "syscall": batch.text("syscall")[first],
        "family": batch.text("family")[first],
        **_measures(groups, batch, recorded=True),
        **groups.percentiles(*latencies(batch)),
    }
    columns["max_ns"] = columns.pop("max_ns")  # behind the percentiles
    return ranked(_averaged(into_groups(columns, "syscall", unrecorded)), "time_ns", "calls")


def _measures(groups: Groups, batch: EventBatch, *, recorded: bool = False) -> Columns:
    """Return what every table of calls has; `recorded` where missing calls go to the groups of rows."""
    latency, done = latencies(batch)
    read, written = moved(batch)
    return {
        "calls": groups.sizes(),
        **({"recorded": groups.sizes()} if recorded else {}),
        "errors": groups.sum(batch.failed),
        "probes": groups.sum(batch["probe"]),
        "bytes": groups.sum(batch["bytes"]),
        "bytes_read": groups.sum(read),
        "bytes_written": groups.sum(written),
        "time_ns": groups.sum(latency),
        "timed": groups.sum(done),
        "max_ns": groups.max(latency),
        **spent(groups, batch),
    }


def _averaged(columns: Columns) -> Columns:
    """Return the columns with the mean in the place of how many calls it is of."""
    means = mean(columns["time_ns"], columns["timed"])
    return {"mean_ns" if name == "timed" else name: means if name == "timed" else v for name, v in columns.items()}


def families(batch: EventBatch, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per family of system calls, most time first."""
    groups = Groups(batch["family"])
    columns: Columns = {
        "family": batch.text("family")[groups.first()],
        "syscalls": groups.distinct(batch["syscall"]),
        **_measures(groups, batch, recorded=True),
    }
    return ranked(_averaged(into_groups(columns, "family", unrecorded)), "time_ns", "calls")


def files(batch: EventBatch, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per file, most bytes first; calls without a file have the empty name.

    A transfer between two descriptors is a call on its destination; the bytes read are credited to its source.
    """
    file, old = batch["file"], batch["old_file"]
    latency, done = latencies(batch)
    read, written = moved(batch)
    others = credited_rows(batch)
    zeros = np.zeros(len(others), np.int64)
    own_read = read.copy()
    own_read[others] = 0
    keys = np.concatenate([file, old[others]])
    groups = Groups(keys)
    calls = groups.sum(np.concatenate([np.ones(len(batch), np.int64), zeros]))
    timed = groups.sum(np.concatenate([done, zeros.astype(bool)]))
    latency = np.concatenate([latency, zeros])
    columns: Columns = {
        "file": batch.tables["file"].texts(keys[groups.first()]),
        "calls": calls,
        "errors": groups.sum(np.concatenate([batch.failed, zeros.astype(bool)])),
        "probes": groups.sum(np.concatenate([batch["probe"], zeros.astype(bool)])),
        "bytes_read": groups.sum(np.concatenate([own_read, read[others]])),
        "bytes_written": groups.sum(np.concatenate([written, zeros])),
        "time_ns": groups.sum(latency),
        "timed": timed,
        "max_ns": groups.max(latency),
        **credited(groups, batch, others),
        **_asked(groups, batch, others),
        "opened_at": _openers(batch, groups),
    }
    columns["amplification"] = amplification(
        np.where(columns["fetched_bytes"] < 0, -1, columns["fetched_bytes"] - columns.pop("fetched_by_faults")),
        columns["bytes_read"] - columns["faulted_bytes"] - columns["reread_bytes"],
    )
    columns["bytes"] = columns["bytes_read"] + columns["bytes_written"]
    columns = ranked(columns, "bytes", "calls", "time_ns")
    del columns["bytes"]
    return _averaged(as_group(columns, "file", unrecorded))


def _asked(groups: Groups, batch: EventBatch, others: np.ndarray) -> Columns:
    """Return what was read again and what faults brought in, by file; `others` as in `credited`."""
    again, faults = read_again(batch, others), fault_rows(batch)
    zeros = np.zeros(len(others), np.int64)
    own = again.copy()
    own[others] = 0
    return {
        "reread_bytes": groups.sum(np.concatenate([own, again[others]])),
        "faulted_bytes": groups.sum(np.concatenate([faulted(batch), zeros])),
        "fetched_by_faults": groups.sum(np.concatenate([np.where(faults, amount(batch, "fetched_bytes"), 0), zeros])),
    }


def _openers(batch: EventBatch, groups: Groups) -> np.ndarray:
    """Return the lines that opened each file, those of most calls first; `_PLACES` of them, then how many more."""
    found = np.full(groups.count, "", object)
    rows = np.flatnonzero(batch["opened_at"])
    pairs, counts = np.unique(groups.of_row[rows] << 32 | batch["opened_at"][rows], return_counts=True)
    pairs = pairs[np.lexsort((-counts, pairs >> 32))]
    files, begins, sizes = np.unique(pairs >> 32, return_index=True, return_counts=True)
    names = batch.tables["opened_at"]
    for file, begin, size in zip(files.tolist(), begins.tolist(), sizes.tolist(), strict=True):
        shown = names.at(pairs[begin : begin + min(size, _PLACES)] & 0xFFFFFFFF)
        found[file] = ", ".join([*shown, *([f"{size - _PLACES:,} more"] if size > _PLACES else [])])
    return found


def directory_of(file: str) -> str:
    """Return the text before the last slash; `/` for top-level entries, `.` for names without one, empty for none."""
    head, slash, _ = file.rpartition("/")
    return (head or "/") if slash else "." if file else ""


def directories(batch: EventBatch, unrecorded: Counters = _ALL_ROWS) -> Columns:
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
    columns |= {name: summed(groups, by_file[name]) for name in MEASURED}
    columns |= {name: groups.sum(by_file[name]) for name in ("reread_bytes", "faulted_bytes")}
    columns["bytes"] = columns["bytes_read"] + columns["bytes_written"]
    columns = ranked(columns, "bytes", "calls", "time_ns")
    del columns["bytes"]
    return as_group(columns, "directory", unrecorded)


def processes(batch: EventBatch, unrecorded: Counters = _ALL_ROWS) -> Columns:
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
    return _averaged(as_group(ranked(columns, "calls", "time_ns"), "comm", unrecorded))


def threads(batch: EventBatch, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per name of a thread, most time first."""
    groups = Groups(batch["comm"])
    columns: Columns = {
        "comm": batch.text("comm")[groups.first()],
        "threads": groups.distinct(batch["tid"]),
        **_measures(groups, batch),
    }
    return _averaged(as_group(ranked(columns, "time_ns", "calls"), "comm", unrecorded))


def lines(batch: EventBatch, unrecorded: Counters = _ALL_ROWS, *, library: bool = False) -> Columns:
    """Return one group per line of Python, most time first; calls without a Python stack have the empty file.

    The cost of imports is no line's, but a group of its own, `IMPORTS`: `imports` has its packages.

    Args:
        batch: the rows.
        unrecorded: the calls that are no rows: a group of their own.
        library: the line that made the call itself, whoever's it is, instead of the user's own.
    """
    if library:
        codes, stacks = distinct(batch["stack"], len(batch.tables["stack"]))[::-1]
        frames = [(parsed(text) or (NO_FRAME,))[-1] for text in batch.tables["stack"].at(stacks)]
        known = {frame: at for at, frame in enumerate(dict.fromkeys(frames))}
        groups = Groups(np.array([known[frame] for frame in frames], np.int64).take(codes))
        found = list(known)
        names: Columns = {
            "file": _objects([frame.file for frame in found]),
            "line": np.array([frame.line for frame in found], np.int64),
            "function": _objects([frame.function for frame in found]),
        }
    else:
        folded = import_rows(batch)
        keys = (batch[name].astype(np.int64) for name in ("py_file", "py_line", "py_func"))
        groups = Groups(*(np.where(folded, -1, key) for key in keys))
        first = groups.first()
        names = {
            "file": np.where(folded[first], "", batch.text("py_file")[first]),
            "line": np.where(folded[first], 0, batch["py_line"][first]).astype(np.int64),
            "function": np.where(folded[first], IMPORTS.function, batch.text("py_func")[first]),
        }
    measures = _measures(groups, batch)
    measures["waiting_ns"] = groups.sum(waiting(batch, wait_rows(batch)))
    return _averaged(as_group(ranked({**names, **measures}, "time_ns", "calls"), "function", unrecorded))


def imports(batch: EventBatch) -> Columns:
    """Return one group per package, most time first: the calls its import made, which are no line's own."""
    batch = batch.take(import_rows(batch))
    codes, names = packages(batch)
    groups = Groups(codes)
    named: Columns = {"package": _objects([names[code] for code in codes[groups.first()].tolist()])}
    return _averaged(ranked({**named, **_measures(groups, batch)}, "time_ns", "calls"))


def errors(batch: EventBatch, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per system call and error, most frequent first, with the first file it happened to.

    Of failures that are no rows only the system call is known: they are behind the others, `(not recorded)`.
    """
    return _failures(batch.take(batch.failed), unrecorded, "errors")


def probes(batch: EventBatch, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return the same of the failures that are none: the answers to questions of normal work."""
    return _failures(batch.take(batch["probe"]), unrecorded, "probes")


def _failures(failed: EventBatch, unrecorded: Counters, measure: str) -> Columns:
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
    columns = ranked(columns, "calls")
    failures = {name: row[measure] for name, row in unrecorded.items() if row.get(measure)}
    if failures:
        blank = {name: np.zeros(len(failures), values.dtype) for name, values in columns.items()}
        texts = {name: _objects([""] * len(failures)) for name, values in columns.items() if values.dtype == object}
        known = {
            "syscall": _objects(list(failures)),
            "error": _objects([UNRECORDED] * len(failures)),
            "calls": np.array(list(failures.values()), np.int64),
        }
        behind = ranked(blank | texts | known, "calls")
        columns = {name: np.concatenate([values, behind[name]]) for name, values in columns.items()}
    return columns


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

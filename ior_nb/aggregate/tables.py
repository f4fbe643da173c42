"""One group per system call, family, process, thread name or error; and the totals.

Each takes the calls that were counted and are no rows (`Completeness.unrecorded`), and has them in its sums. What only
rows can tell (percentiles, which file, which process) is of the rows: the column `recorded` says of how many.
"""

from __future__ import annotations

import errno
import os
from typing import Final

import numpy as np

from ior_nb.aggregate.columns import Columns, in_order, objects, ranked
from ior_nb.aggregate.files import CREDITED
from ior_nb.aggregate.groups import ByText, Distinct, Groups
from ior_nb.aggregate.hosts import Apart
from ior_nb.aggregate.imports import packages
from ior_nb.aggregate.lives import Processes
from ior_nb.aggregate.ranks import PERCENTILES, Ranks
from ior_nb.aggregate.rows import credited_rows, latencies
from ior_nb.aggregate.spent import MEASURED, WAITED, wait_rows, waiting
from ior_nb.aggregate.sums import SUMMED, Measures, Sums, averaged, measured, together
from ior_nb.aggregate.unrecorded import as_group, grown, into_groups, sums
from ior_nb.runtime import EventBatch
from ior_nb.runtime.completeness import UNRECORDED, Counters
from ior_nb.runtime.filter import import_rows
from ior_nb.runtime.rows import Rows, pieces, read
from ior_nb.runtime.stacks import IMPORTS, NO_FRAME, parsed

__all__ = [
    "errors",
    "families",
    "imports",
    "lines",
    "probes",
    "processes",
    "syscalls",
    "threads",
    "totals",
]


_ALL_ROWS: Final[Counters] = {}


def totals(rows: Rows, unrecorded: Counters = _ALL_ROWS) -> dict[str, int | float]:
    """Return the totals by name; files, processes, threads and percentiles are those of the rows."""
    processes, measures, ranks = Processes(rows), Measures(), Ranks()
    calls, files, threads = ByText("syscall"), ByText("file"), Distinct()
    made = Sums(("calls",))
    flying = waited = 0
    for batch in read(rows, *dict.fromkeys((*SUMMED, *WAITED, *CREDITED, *processes.needs, "tid"))):
        latency, done = latencies(batch)
        at = np.zeros(len(batch), np.intp)
        measures.add(batch, at, 1)
        ranks.add(at[done], latency[done], 1)
        call = calls.of(batch)
        made.grow(len(calls))
        made.count("calls", call)
        files.of(batch)
        files.coded(batch, batch["old_file"][credited_rows(batch)])
        flying += int(batch.in_flight.sum())
        waited += int(waiting(batch, wait_rows(batch)).sum())
        threads.add(processes.of(batch), batch["tid"])
    one = {name: int(values[0]) for name, values in measures.columns(np.zeros(1, np.intp)).items()}
    percentiles = ranks.find(rows, (), lambda batch: np.zeros(len(batch), np.intp))
    more = {name: int(values.sum()) for name, values in sums(unrecorded).items() if values.dtype != object}
    count, time = one["timed"] + more["timed"], one["time_ns"] + more["time_ns"]
    return {
        "calls": one["calls"] + more["calls"],
        "recorded": one["calls"],
        "errors": one["errors"] + more["errors"],
        "probes": one["probes"] + more["probes"],
        "in_flight": flying,
        **{name: one[name] + more[name] for name in ("bytes", "bytes_read", "bytes_written")},
        "files": len(files) - 1,
        "syscalls": len({*calls.names(np.flatnonzero(made.columns["calls"])), *unrecorded}),
        "processes": len(processes),
        "threads": int(threads.counts(len(processes)).sum()),
        "time_ns": time,
        "waiting_ns": waited,
        **{name: one[name] for name in MEASURED},
        "mean_ns": time / count if count else 0.0,
        **{name: int(percentiles[name][0]) if len(percentiles[name]) else 0 for name in PERCENTILES},
        "max_ns": one["max_ns"],
    }


def syscalls(rows: Rows, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per system call, most time first; percentiles and mean are of finished calls."""
    groups, families, measures, ranks = ByText("syscall"), ByText("family"), Measures(), Ranks()
    family = Sums(("code",))
    for batch in read(rows, "family", *SUMMED):
        at = groups.of(batch)
        measures.add(batch, at, len(groups))
        latency, done = latencies(batch)
        whole = done.all()
        ranks.add(at if whole else at[done], latency if whole else latency[done], len(groups))
        family.grow(len(groups))
        new = np.flatnonzero(family.columns["code"].take(at) == 0)
        family.columns["code"][at[new[::-1]]] = families.coded(batch, batch["family"][new[::-1]])
    found = np.flatnonzero(measures.sums.columns["calls"])
    percentiles = ranks.find(rows, ("syscall",), groups.of)
    columns: Columns = {
        "syscall": groups.names(found),
        "family": families.names(family.columns["code"].take(found)),
        **measured(measures, found, recorded=True),
        **{name: values.take(found) for name, values in percentiles.items()},
    }
    columns["max_ns"] = columns.pop("max_ns")  # behind the percentiles
    return ranked(averaged(into_groups(columns, "syscall", unrecorded)), "time_ns", "calls")


def families(rows: Rows, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per family of system calls, most time first."""
    groups, calls, measures, distinct = ByText("family"), ByText("syscall"), Measures(), Distinct()
    for batch in read(rows, "family", *SUMMED):
        at = groups.of(batch)
        measures.add(batch, at, len(groups))
        distinct.add(at, calls.of(batch))
    found = np.flatnonzero(measures.sums.columns["calls"])
    columns: Columns = {
        "family": groups.names(found),
        "syscalls": distinct.counts(len(groups)).take(found),
        **measured(measures, found, recorded=True),
    }
    return ranked(averaged(into_groups(columns, "family", unrecorded)), "time_ns", "calls")


def processes(rows: Rows, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per process, most calls first; an id that is used again, or by another host, is another process.

    Of several hosts there is a column `host`. Where nothing tells whether recordings that overlap in time mean one
    process by an id, it is one, and a column `perhaps_several` says so. A process is called what its main thread was
    called last, or, where that made no call, by its first name at all.
    """
    groups, names, measures, threads = Processes(rows), ByText("comm"), Measures(), Distinct()
    about = Sums(("main", "named", "ppid", "first_ns", "last_ns"))
    for batch in read(rows, *dict.fromkeys((*SUMMED, *groups.needs, "tid", "comm", "ppid", "time_ns"))):
        at, comm = groups.of(batch), names.of(batch)
        measures.add(batch, at, len(groups))
        threads.add(at, batch["tid"])
        about.grow(len(groups))
        columns, times = about.columns, batch["time_ns"].view(np.int64)
        main = np.flatnonzero((batch["tid"] == batch["pid"]) & (comm != 0))
        columns["main"][at[main]] = comm[main]  # the last one stays
        if not columns["named"][: len(groups)].all():
            fresh = np.flatnonzero((columns["named"].take(at) == 0) & (comm != 0))[::-1]
            columns["named"][at[fresh]] = comm[fresh]  # the first one stays
        about.most("ppid", at, batch["ppid"])
        about.most("first_ns", at, _LATEST - times)
        about.most("last_ns", at, times + latencies(batch)[0])
    found = groups.order()
    columns = in_order({name: values[: len(groups)] for name, values in about.columns.items()}, found)
    table: Columns = {
        **({"host": groups.hosts().take(found)} if groups.several else {}),
        "pid": groups.pids().take(found),
        "comm": names.names(np.where(columns["main"] != 0, columns["main"], columns["named"])),
        "ppid": columns["ppid"],
        "threads": threads.counts(len(groups)).take(found),
        **measured(measures, found),
        "first_ns": _LATEST - columns["first_ns"],
        "last_ns": columns["last_ns"],
        **({"perhaps_several": unsure.take(found)} if (unsure := groups.unsure()).any() else {}),
    }
    return averaged(as_group(ranked(table, "calls", "time_ns"), "comm", unrecorded))


_LATEST: Final = (1 << 63) - 1


def threads(rows: Rows, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per name of a thread, most time first."""
    groups, measures, distinct, hosts = ByText("comm"), Measures(), Distinct(), Apart()
    for batch in read(rows, "comm", "tid", "host", *SUMMED):
        at = groups.of(batch)
        measures.add(batch, at, len(groups))
        distinct.add(at, hosts.of(batch, "tid"))
    found = np.flatnonzero(measures.sums.columns["calls"])
    columns: Columns = {
        "comm": groups.names(found),
        "threads": distinct.counts(len(groups)).take(found),
        **measured(measures, found),
    }
    return averaged(as_group(ranked(columns, "time_ns", "calls"), "comm", unrecorded))


def lines(rows: Rows, unrecorded: Counters = _ALL_ROWS, *, library: bool = False) -> Columns:
    """Return one group per line of Python, most time first; calls without a Python stack have the empty file.

    The cost of imports is no line's, but a group of its own, `IMPORTS`: `imports` has its packages.

    Args:
        rows: the rows.
        unrecorded: the calls that are no rows: a group of their own.
        library: the line that made the call itself, whoever's it is, instead of the user's own.
    """
    keys = ("stack",) if library else ("py_file", "py_line", "py_func")
    groups, measures, waits = Groups(*keys), Measures(), Sums(("waiting_ns",))
    for batch in read(rows, *dict.fromkeys((*keys, "stack", *SUMMED, *WAITED))):
        at = groups.of(batch if library else _folded(batch))
        measures.add(batch, at, len(groups))
        waits.grow(len(groups))
        waits.add("waiting_ns", at, waiting(batch, wait_rows(batch)))
    names, found = groups.keys(), groups.order()
    columns = {**measured(measures, found), "waiting_ns": waits.columns["waiting_ns"].take(found)}
    if library:
        names, columns = _by_last_frame(names["stack"].take(found).tolist(), columns)
    else:
        names = {"file": names["py_file"], "line": names["py_line"], "function": names["py_func"]}
        names = in_order(names, found)
    return averaged(as_group(ranked({**names, **columns}, "time_ns", "calls"), "function", unrecorded))


def _folded(batch: EventBatch) -> EventBatch:
    """Return the rows with the cost of imports as one line, `IMPORTS`."""
    folded = import_rows(batch)
    if not folded.any():
        return batch
    names = {"py_file": 0, "py_line": 0, "py_func": batch.tables["py_func"].intern(IMPORTS.function)}
    return batch.with_columns(**{name: np.where(folded, value, batch[name]) for name, value in names.items()})


def imports(rows: Rows) -> Columns:
    """Return one group per package, most time first: the calls its import made, which are no line's own."""
    numbers: dict[str, int] = {}
    measures = Measures()
    for batch in read(rows, *dict.fromkeys(("file", "stack", *SUMMED))):
        which = import_rows(batch)
        if which.any():
            made = batch.take(which)
            codes, names = packages(made)
            used, at = np.unique(codes, return_inverse=True)
            known = np.array([numbers.setdefault(names[code], len(numbers)) for code in used.tolist()], np.intp)
            measures.add(made, known.take(at), len(numbers))
    named: Columns = {"package": objects(list(numbers))}
    return averaged(ranked({**named, **measures.columns(np.arange(len(numbers)))}, "time_ns", "calls"))


def _by_last_frame(stacks: list[str], columns: Columns) -> tuple[Columns, Columns]:
    """Return the innermost frames of stacks, and the measures of each put together."""
    frames = [(parsed(text) or (NO_FRAME,))[-1] for text in stacks]
    known = {frame: at for at, frame in enumerate(dict.fromkeys(frames))}
    at = np.array([known[frame] for frame in frames], np.intp)
    names: Columns = {
        "file": objects([frame.file for frame in known]),
        "line": np.array([frame.line for frame in known], np.int64),
        "function": objects([frame.function for frame in known]),
    }
    return names, together(columns, at, len(known))


def errors(rows: Rows, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return one group per system call and error, most frequent first, with the first file it happened to.

    Of failures that are no rows only the system call is known: they are behind the others, `(not recorded)`.
    """
    return _failures(rows, unrecorded, "errors")


def probes(rows: Rows, unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return the same of the failures that are none: the answers to questions of normal work."""
    return _failures(rows, unrecorded, "probes")


def _failures(rows: Rows, unrecorded: Counters, measure: str) -> Columns:
    groups, names, calls, distinct = Groups("syscall", "ret"), ByText("file"), Sums(("calls",)), Distinct()
    examples: list[str] = []
    nameless: dict[int, tuple[int, int]] = {}  # group: piece, and row in it
    for number, piece in enumerate(pieces(rows)):
        batch = piece.read("syscall", "ret", "file", "is_error", "probe")
        which = np.flatnonzero(batch.failed if measure == "errors" else batch["probe"])
        if not len(which):
            continue
        batch, before = batch.take(which), len(groups)
        at = groups.of(batch)
        calls.grow(len(groups))
        calls.count("calls", at)
        distinct.add(at, names.of(batch))
        for group in range(before, len(groups)):
            first = int(np.argmax(at == group))
            examples.append(batch.tables["file"][int(batch["file"][first])])
            if not examples[-1]:
                nameless[group] = number, int(which[first])
    for number, piece in enumerate(rows.pieces() if nameless else ()):
        wanted = [(group, row) for group, (where, row) in nameless.items() if where == number]
        if wanted:
            batch = piece.read("path_arg")
            for group, row in wanted:
                examples[group] = batch.tables["path_arg"][int(batch["path_arg"][row])]
    keys, found = groups.keys(), groups.order()
    codes = (-keys["ret"][found]).tolist()
    columns: Columns = {
        "syscall": keys["syscall"][found],
        "error": objects([errno.errorcode.get(code, str(-code)) for code in codes]),
        "errno": np.array(codes, np.int64),
        "message": objects([os.strerror(code) for code in codes]),
        "calls": calls.columns["calls"].take(found),
        "files": distinct.counts(len(groups)).take(found),
        "example": objects(examples)[found],
    }
    columns = ranked(columns, "calls")
    failures = sorted((-row[measure], name) for name, row in unrecorded.items() if row.get(measure))
    columns = grown(columns, len(found) + len(failures))
    for row, (count, name) in enumerate(failures, len(found)):
        columns["syscall"][row], columns["error"][row], columns["calls"][row] = name, UNRECORDED, -count
    return columns

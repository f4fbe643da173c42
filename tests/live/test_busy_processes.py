"""Processes that share a CPU and are taken off it in the middle of calls: no call is missed, no name is another's."""

from __future__ import annotations

import os
import subprocess
import warnings
from collections import Counter
from pathlib import Path

import pytest

from ior_nb import errors
from ior_nb.engine.bcc import BccEngine
from ior_nb.runtime import EventBatch
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace

SOURCE = Path(__file__).parent / "busy.c"
ROUNDS = 1499
CALLS = {"openat": 1, "write": 1, "pread64": 3, "renameat2": 1, "close": 1, "unlinkat": 1}  # in a round

Row = tuple[int, str, str, str, int]  # process, call, file, old file, result (of a call that opens: 0)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled; static, so that it opens and reads nothing before it works."""
    program = tmp_path_factory.mktemp("busy") / "busy"
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", program, SOURCE], check=True)
    return program


def made_by(pid: int, folder: Path) -> Counter[Row]:
    """Return the rows a process has to have."""
    made: Counter[Row] = Counter()
    tail = chr(ord("a") + pid % 26) * 150
    for i in range(ROUNDS):
        name, after = f"{folder}/{pid}-{i}-{tail}", f"{folder}/{pid}-{i}-after-{tail}"
        made[pid, "openat", name, "", 0] = 1
        made[pid, "write", name, "", 128] = 1
        made[pid, "pread64", name, "", 1 + pid % 97] = 3
        made[pid, "renameat2", after, name, 0] = 1
        made[pid, "close", after, "", 0] = 1
        made[pid, "unlinkat", after, "", 0] = 1
    return made


def rows_below(folder: Path, batch: EventBatch) -> Counter[Row]:
    """Return the rows about files in a folder."""
    results = batch["ret"] * (batch.text("syscall") != "openat")
    columns = (batch.text("syscall"), batch.text("file"), batch.text("old_file"), results.tolist())
    rows = zip(batch["pid"].tolist(), *columns, strict=True)
    return Counter(row for row in rows if row[2].startswith(f"{folder}/"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("processes", "cpus"), [(2, 1), (2, 2), (4, 2), (8, 2)])
def test_each_row_is_of_the_process_that_made_the_call(
    processes: int, cpus: int, session: TracerSession, busy: Path, tmp_path: Path
) -> None:
    """Every call of 2, 4 and 8 busy processes is a row with its own file and result, and no probe run was skipped."""
    allowed = ",".join(map(str, sorted(os.sched_getaffinity(0))[:cpus]))
    command = [str(busy), str(tmp_path), str(processes), str(ROUNDS), allowed]
    with ior_trace(command=command, session=session, syscalls=",".join(CALLS)) as t:
        pass
    rows = rows_below(tmp_path, t.batch)
    pids = {row[0] for row in rows}
    made = sum((made_by(pid, tmp_path) for pid in pids), Counter())
    missing, extra = made - rows, rows - made

    assert (t.returncode, len(pids)) == (0, processes)
    assert (missing.total(), extra.total(), [*missing, *extra][:7]) == (0, 0, [])
    assert t.accounting.skipped_runs == 0
    assert t.accounting.complete
    assert t.accounting.seen == t.accounting.emitted == len(t.batch)
    for call in CALLS.keys() - {"close"}:  # the program closes its pipe, too
        assert t.counters[call]["calls"] == processes * ROUNDS * CALLS[call]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("processes", [2, 8])
def test_what_is_skipped_is_counted_and_never_mixes_names(processes: int, busy: Path, tmp_path: Path) -> None:
    """At raw tracepoints, which some kernels preempt, calls may be missing, and are told; no row is another's."""
    command = [str(busy), str(tmp_path), str(processes), str(ROUNDS), "0"]
    with TracerSession() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.LostEventsWarning)
        session._engine = BccEngine(way="raw-preemptible")
        with ior_trace(command=command, session=session, syscalls=",".join(CALLS)) as t:
            pass
    rows = rows_below(tmp_path, t.batch.take(t.batch.text("state") == "done"))
    pids = {row[0] for row in rows}
    made = sum((made_by(pid, tmp_path) for pid in pids), Counter())

    # A call whose beginning was skipped has no row, one whose end was skipped is no finished one.
    assert (rows - made).total() == 0
    assert (made - rows).total() <= t.accounting.skipped_runs
    assert t.accounting.complete == (t.accounting.skipped_runs == 0)

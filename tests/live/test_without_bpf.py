"""strace and ptrace on the known workload: the rows of the kernel program, but for what is told."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ior_nb.engine.replay import ReplayEngine
from ior_nb.engine.stopping import PtraceEngine, StoppingEngine, StraceEngine
from ior_nb.runtime import EventBatch
from ior_nb.runtime.schema import NAMES
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from tests.live.conftest import between_markers
from tests.live.test_known_workload import SCENARIOS, by_thread, differences, wrong_columns

if TYPE_CHECKING:
    from tests.live.conftest import Ran, Workload


@pytest.fixture(scope="module", params=[StraceEngine, PtraceEngine], ids=["strace", "ptrace"])
def engine(request: pytest.FixtureRequest) -> Iterator[StoppingEngine]:
    """One helper for the tests of this module, of each engine."""
    made = request.param()
    yield made
    made.close()


KNOWN = {
    # A folder above the working directory was renamed: strace names the working directory in calls that take one only.
    ("strace", "paths"): {"access": 1},
    # strace writes no name at the descriptor of a range.
    ("strace", "anonymous"): {"close_range": 1},
    # Which file is mapped at an address only the kernel program sees.
    **{(name, "names"): {"madvise": 1} for name in ("strace", "ptrace")},
    **{(name, "memory"): {"msync": 1, "munmap": 1} for name in ("strace", "ptrace")},
    # A call that is newer than strace 5.10: it writes the words as they are.
    ("strace", "waits"): {"epoll_pwait2": 1},
}
"""Rows whose file the engine does not know, by system call: `docs/without-bpf.md` tells them."""

UNTOLD = {
    "strace": {
        *("offset", "old_offset", "path_arg of memfd_create", "timeout_ns of epoll_pwait2"),
        "file_kind of open",  # of a file whose name is another's already when it is looked at
    },
    "ptrace": set[str](),
}
"""Columns that differ from the kernel program's."""


def but_for_the_file(ran: Ran, side: str) -> Counter[str]:
    """Return the calls of one side that the other lacks, by name."""
    found: Counter[str] = Counter()
    for (call, *_), count in differences(ran)[side].items():
        found[call] += count
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_rows_are_exactly_the_calls_made(
    scenario: str, engine: StoppingEngine, run_of: Callable[[str], Ran]
) -> None:
    """Between the markers the multiset of (call, file, bytes, errno) is that of the workload's own log."""
    ran = run_of(scenario)
    known = Counter(KNOWN.get((engine.name, scenario), {}))
    missing = but_for_the_file(ran, "missing")

    assert missing == but_for_the_file(ran, "extra")
    assert missing <= known
    assert ran.trace.accounting.complete
    assert ran.trace.accounting.unaccounted == 0


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_thread_has_its_calls_in_order(
    scenario: str, engine: StoppingEngine, run_of: Callable[[str], Ran]
) -> None:
    """Thread by thread, the rows have the order of the calls, and the other columns what the workload says."""
    ran = run_of(scenario)
    rows, expected = by_thread(list(ran.rows)), by_thread(ran.expected)
    wrong = {
        column if column.endswith("offset") else f"{column} of {ours.syscall}"
        for tid in expected
        for theirs, ours in zip(expected[tid], rows.get(tid, []), strict=False)
        for column in wrong_columns(theirs, ours)
    }

    assert {tid: [r.syscall for r in rows.get(tid, [])] for tid in expected} == {
        tid: [e.syscall for e in expected[tid]] for tid in expected
    }
    assert wrong <= UNTOLD[engine.name]


def threads_of(batch: EventBatch) -> list[list[tuple[str, str, int, int]]]:
    """Return (call, file, bytes, error) of each thread in order; threads in the order of their first calls."""
    found: dict[int, list[tuple[str, str, int, int]]] = {}
    for row in sorted(between_markers(batch), key=lambda row: row.time_ns):
        name = re.sub(r"\[\d+\]", "[]", row.file)  # pipes and sockets have another number each time
        found.setdefault(row.tid, []).append((row.syscall, name, row.bytes, row.ret if row.is_error else 0))
    return sorted(found.values())


@pytest.mark.parametrize("scenario", ["descriptors", "transfers", "sockets", "processes", "threads"])
def test_every_engine_sees_the_same(
    scenario: str, served: str, workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One workload by bcc, the service, strace, ptrace, and played back: thread by thread the same calls."""
    monkeypatch.setenv("IOR_NB_SOCKET", served)
    seen = {}
    for engine in ("bcc", "serve", "strace", "ptrace"):
        folder = tmp_path / "area"
        folder.mkdir()
        command = workload.command(folder, scenario)
        with (
            TracerSession(engine=engine) as session,
            ior_trace(command=command, session=session, families="all", record=tmp_path / "run.parquet") as t,
        ):
            pass
        seen[engine] = threads_of(t.batch)
        shutil.rmtree(folder)
    with TracerSession(engine=ReplayEngine(tmp_path / "run.parquet")) as player, ior_trace(session=player) as t:
        pass
    seen["replay"] = threads_of(t.batch)

    assert [engine for engine, rows in seen.items() if rows != seen["bcc"]] == []
    assert sum(map(len, seen["bcc"])) > 50


def filled(session: TracerSession, command: list[str]) -> tuple[set[str], str]:
    """Return the columns that say more than one thing of a command's rows, and what is told of those that say none."""
    with ior_trace(command=command, session=session, families="all", stacks="full", waits=True) as t:
        pass
    return {name for name in NAMES if len(set(t.batch[name].tolist())) > 1}, ", ".join(t.unfilled)


def test_columns_without_a_value_are_named(
    engine: StoppingEngine, workload: Workload, tmp_path: Path, session: TracerSession
) -> None:
    """What bcc fills in and this engine does not is called not filled, by the column's name."""
    command = workload.command(tmp_path, "sockets")
    with TracerSession(engine="bcc") as bcc:
        there, _ = filled(bcc, command)
    here, told = filled(session, command)

    assert "peer" in there
    assert [name for name in sorted(there - here) if not re.search(rf"\b{name}\b", told)] == []

"""No call gets lost in silence: the identity of the totals, the exact counters, the limits of the program."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ior_nb import errors
from ior_nb.engine import bcc
from ior_nb.engine.bcc import BccEngine
from ior_nb.result.trace import Trace
from ior_nb.runtime import Accounting
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from ior_nb.syscalls.machine import NUMBERS
from ior_nb.syscalls.probes import SEARCHING

if TYPE_CHECKING:
    from tests.live.conftest import Ran, Workload

SCENARIOS = ["descriptors", "paths", "names", "transfers", "sockets", "anonymous", "processes", "threads"]
SCENARIOS += ["thread-exec", "memory", "waits", "jail"]
ROUNDS = 200_003


def sums_of_rows(trace: Trace) -> dict[str, dict[str, int]]:
    """Return what the counters have to be, by the rows: calls in flight are not counted."""
    batch = trace.batch.take(trace.batch.text("state") != "in flight")
    names = batch.text("syscall")
    searched = np.isin(names, SEARCHING) & np.isin(batch["ret"], [-errno.ENOENT, -errno.ENOTDIR])
    return {
        name: {
            "calls": int(mine.sum()),
            # Searches are told from rows alone.
            "errors": int((batch.failed | batch["probe"] & searched)[mine].sum()),
            "probes": int((batch["probe"] & ~searched)[mine].sum()),
            "bytes": int(batch["bytes"][mine].sum()),
            "latency_ns": int(batch["latency_ns"][mine].sum()),
        }
        for name in sorted(set(names))
        for mine in [names == name]
    }


@contextmanager
def own_session(**limits: Any) -> Iterator[TracerSession]:
    """A session whose collector has other limits."""
    with TracerSession() as session:
        session._engine = BccEngine(**limits)
        yield session


def run_load(session: TracerSession, workload: Workload, folder: Path, **options: Any) -> Trace:
    """Trace `ROUNDS` reads and as many writes of 13 bytes."""
    command = workload.command(folder, "load", str(ROUNDS))
    with ior_trace(command=command, session=session, syscalls="read,write", **options) as t:
        pass
    return t


def wait_until_reading(child: subprocess.Popen[bytes], fd: int) -> None:
    """Wait until a process is blocked in a read of a descriptor."""
    while not Path(f"/proc/{child.pid}/syscall").read_text().startswith(f"{NUMBERS['read']} {fd:#x} "):
        assert child.poll() is None
        time.sleep(0.001)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_counters_are_the_sums_of_the_rows(scenario: str, run_of: Callable[[str], Ran]) -> None:
    """With nothing lost the kernel's counters equal the sums over the rows: calls, errors, bytes, time."""
    trace = run_of(scenario).trace

    assert trace.accounting.complete
    assert trace.counters == sums_of_rows(trace)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_call_seen_is_a_row(scenario: str, run_of: Callable[[str], Ran]) -> None:
    """Without sampling, filter and loss the calls seen are the rows, and nothing is left over."""
    accounting = run_of(scenario).trace.accounting

    assert accounting == Accounting(
        seen=accounting.emitted,
        emitted=accounting.emitted,
        lost={"ring": 0, "buffer": 0},
        without_stack=accounting.without_stack,
    )


def test_rate_zero_counts_only(run_scenario: Callable[..., Ran], tmp_path_factory: pytest.TempPathFactory) -> None:
    """A syscall at rate 0 has no rows, and the counters it has where all are rows."""
    all_rows = run_scenario("processes", tmp_path_factory.mktemp("all")).trace.counters["pread64"]
    ran = run_scenario("processes", sampling={"pread64": 0, "exit_group": 0})
    counted = ran.trace.counters["pread64"]
    calls = ran.trace.batch.text("syscall")
    accounting = ran.trace.accounting

    assert not np.isin(calls, ["pread64", "exit_group"]).any()
    assert {name: counted[name] for name in ("calls", "errors", "bytes")} == {
        name: all_rows[name] for name in ("calls", "errors", "bytes")
    }
    assert counted["calls"] >= 65
    assert ran.trace.counters["exit_group"]["calls"] == 8
    assert accounting.sampled_out == counted["calls"] + 8
    assert accounting.unaccounted == 0
    assert accounting.complete


@pytest.mark.parametrize("rate", [2, 10, 97])
def test_one_in_n_becomes_a_row(rate: int, session: TracerSession, workload: Workload, tmp_path: Path) -> None:
    """At rate N the counters stay exact, and rows and calls counted only add up to all calls."""
    t = run_load(session, workload, tmp_path, sampling={"read": rate})
    calls = t.batch.text("syscall")
    reads = int((calls == "read").sum())

    assert t.counters["write"] == {**t.counters["write"], "calls": ROUNDS, "bytes": 13 * ROUNDS, "errors": 0}
    assert t.counters["read"]["calls"] >= ROUNDS
    assert int((calls == "write").sum()) == ROUNDS
    assert reads + t.accounting.sampled_out == t.counters["read"]["calls"]
    assert 0.5 < reads * rate / ROUNDS < 2
    assert t.accounting.unaccounted == 0


def test_an_overflowing_ring_is_counted(workload: Workload, tmp_path: Path) -> None:
    """Calls that find the ring full are counted as lost, the counters stay exact, and the result says INCOMPLETE."""
    with own_session(ring_bytes=1 << 14) as session, pytest.warns(errors.LostEventsWarning, match=r"lost \(ring\)"):
        t = run_load(session, workload, tmp_path)
    accounting = t.accounting

    assert accounting.lost["ring"] > 0
    assert accounting.emitted == len(t.batch) > 0
    assert accounting.seen == sum(c["calls"] for c in t.counters.values())
    assert accounting.unaccounted == 0
    assert t.counters["write"]["calls"] == ROUNDS
    assert t.counters["write"]["bytes"] == 13 * ROUNDS
    assert accounting.line().startswith("INCOMPLETE: ")


def test_a_reader_that_is_too_slow_is_counted(workload: Workload, tmp_path: Path) -> None:
    """What the collector cannot hand over while this process holds its GIL is counted as lost beyond its buffer."""

    def hold_the_gil() -> None:
        while b") Z " not in os.pread(status, 512, 0):  # which lets go of it, for a moment
            until = time.monotonic() + 0.3
            while time.monotonic() < until:
                pass

    interval = sys.getswitchinterval()
    with (  # noqa: PT031 -- the warning comes when the trace ends
        own_session(buffer_bytes=8 << 20) as session,
        pytest.warns(errors.LostEventsWarning, match=r"lost \(buffer\)"),
        ior_trace(session=session, syscalls="read,write") as t,
    ):
        child = subprocess.Popen(workload.command(tmp_path, "load", str(ROUNDS)))
        status = os.open(f"/proc/{child.pid}/stat", os.O_RDONLY)
        sys.setswitchinterval(60)
        try:
            hold_the_gil()
        finally:
            sys.setswitchinterval(interval)
        os.close(status)
        child.wait()
    mine = t.batch["pid"] == child.pid

    assert t.accounting.lost["buffer"] > 0
    assert t.accounting.lost["ring"] == 0
    assert t.accounting.unaccounted == 0
    assert t.counters["write"]["calls"] >= ROUNDS
    assert 0 < int(mine.sum()) < 2 * ROUNDS


def test_names_that_do_not_fit_are_counted_and_never_wrong(
    monkeypatch: pytest.MonkeyPatch, workload: Workload, tmp_path: Path
) -> None:
    """When the names ring is full rows come all the same: their name is right or missing, and the loss is counted."""
    monkeypatch.setattr(bcc, "NAME_RING_BYTES", 1 << 12)
    folder = tmp_path / "area"
    folder.mkdir()
    command = workload.command(folder, "names")
    with (
        own_session() as session,
        pytest.warns(errors.LostEventsWarning, match="names lost"),
        ior_trace(command=command, session=session, families="all") as t,
    ):
        pass
    expected = workload.expected(folder)
    before_and_after = {str(folder / "path-in-a-file"), str(folder.parent / f"{folder.name}.log")}
    right = {e.file for e in expected} | before_and_after
    wrong = {row.file for row in t.batch if str(folder) in row.file} - right

    assert t.accounting.names_lost > 0
    assert t.accounting.emitted == t.accounting.seen == len(t.batch) > len(expected)
    assert wrong == set()


def test_a_call_blocked_longer_than_the_trace_is_a_row_in_flight(
    session: TracerSession, workload: Workload, tmp_path: Path
) -> None:
    """A read that has not returned when the trace ends is a row without result, named, and counted in flight."""
    go, never = os.pipe(), os.pipe()
    name = str(Path(f"/proc/self/fd/{never[0]}").readlink())
    command = workload.command(tmp_path, "block", str(never[0]))
    child = subprocess.Popen(command, stdin=go[0], pass_fds=(never[0],))
    wait_until_reading(child, 0)
    with ior_trace(pid=child.pid, session=session) as t:
        os.write(go[1], b"x")
        wait_until_reading(child, never[0])
    child.kill()
    child.wait()
    for fd in (*go, *never):
        os.close(fd)
    (row,) = t.batch

    assert (row.syscall, row.fd, row.file, row.file_kind) == ("read", never[0], name, "pipe")
    assert (row.state, row.ret, row.bytes, row.is_error, row.requested_bytes) == ("in flight", 0, 0, False, 1)
    assert row.started_before
    assert t.accounting == Accounting(seen=1, in_flight=1, unpaired=1, lost={"ring": 0, "buffer": 0})
    assert t.counters == {}


def test_short_lives_are_all_seen(session: TracerSession, workload: Workload, tmp_path: Path) -> None:
    """499 processes and 499 threads that make one read each have 998 rows, each the first of its thread."""
    with ior_trace(command=workload.command(tmp_path, "churn"), session=session, syscalls="pread64") as t:
        pass
    reads = t.batch.take(t.batch.text("file") == str(tmp_path / "churned"))

    assert len(reads) == 998
    assert len(set(reads["tid"].tolist())) == 998
    assert len(set(reads["pid"].tolist())) == 500
    assert reads["first_on_tid"].all()
    assert t.accounting.complete
    assert t.accounting.unaccounted == 0


def test_calls_of_other_tables_are_counted_not_misnamed(
    session: TracerSession, workload: Workload, tmp_path: Path
) -> None:
    """Calls by the 32-bit entry and calls of unknown number are no rows under a wrong name, and are counted."""
    command = workload.command(tmp_path, "strange")
    compat = 11 if platform.machine() == "x86_64" else 0  # on others a program is of 32 bits as a whole
    said = "11 32-bit calls not decoded, 7 calls of unknown number" if compat else "7 calls of unknown number"
    with (
        pytest.warns(errors.LostEventsWarning, match=said),
        ior_trace(command=command, session=session, families="all") as t,
    ):
        pass

    assert t.returncode == 0
    assert (t.accounting.compat, t.accounting.unknown) == (compat, 7)
    assert "writev" not in t.batch.text("syscall")
    assert t.accounting.unaccounted == 0
    assert not t.accounting.complete

"""Calls that are answered before they begin, by a filter of seccomp or a tracer: rows, or counted, never silence."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from ior_nb import errors
from ior_nb.result.trace import Trace
from ior_nb.runtime import EventBatch
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from tests.live.test_accounting import own_session, sums_of_rows

HERE = Path(__file__).parent
FOLDER = "/ior-refused/"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program whose calls are refused."""
    made = tmp_path_factory.mktemp("refused") / "refused"
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", made, HERE / "refused.c"], check=True
    )
    return str(made)


def run(session: TracerSession, program: str, scenario: str, **options: object) -> tuple[Trace, EventBatch]:
    """Trace a scenario; return the trace and its refused rows."""
    with ior_trace(command=[program, scenario], session=session, **{"families": "all", **options}) as t:  # type: ignore[arg-type]
        pass
    assert t.returncode == 0
    return t, t.batch.take(t.batch.text("state") == "refused")


def told(rows: EventBatch, *columns: str) -> Counter[tuple[object, ...]]:
    """Return how often each combination of values occurs."""
    texts = [rows.text(c).tolist() if c in rows.tables else rows[c].tolist() for c in columns]
    return Counter(zip(*texts, strict=True))


def test_calls_a_filter_refuses_are_those_strace_shows(session: TracerSession, program: str) -> None:
    """Each refused call is a row with its errno and both its paths, as often as strace shows it."""
    shown = subprocess.run(["strace", program, "paths"], capture_output=True, text=True, check=True).stderr.splitlines()
    witness = {
        name: sum(line.startswith(f"{name}(") and errno in line for line in shown)
        for name, errno in (("mkdirat", "EPERM"), ("renameat2", "EXDEV"))
    }
    t, rows = run(session, program, "paths")

    assert witness == {"mkdirat": 7, "renameat2": 3}
    assert told(rows, "syscall", "ret", "is_error", "file", "old_file", "latency_ns") == {
        ("mkdirat", -1, True, FOLDER + "folder", "", 0): 7,
        ("renameat2", -18, True, FOLDER + "to", FOLDER + "from", 0): 3,
    }
    assert t.accounting.complete
    assert t.accounting.unaccounted == 0
    assert t.counters == sums_of_rows(t)


def test_refused_calls_name_their_descriptors_file(session: TracerSession, program: str) -> None:
    """The file behind a descriptor of a refused call is named; a result of 0 is no error, and moved nothing."""
    t, rows = run(session, program, "files")

    assert told(rows, "syscall", "ret", "is_error", "file", "bytes", "offset", "requested_bytes") == {
        ("pread64", -5, True, "/etc/hostname", 0, 3, 1): 5,
        ("writev", 0, False, "/dev/null", 0, -1, 2): 2,
    }
    assert t.accounting.complete
    assert t.counters == sums_of_rows(t)


def test_the_first_call_of_a_child_or_thread_can_be_refused(session: TracerSession, program: str) -> None:
    """The first return of a child is no call of its own, and a refused call right after it is one.

    A path in memory the child has not touched cannot be read, by nobody: it is counted as a lost name.
    """
    with pytest.warns(errors.LostEventsWarning, match="11 names lost"):
        t, rows = run(session, program, "first")

    assert told(rows, "syscall", "ret", "file") == {
        ("mkdirat", -13, ""): 11,
        ("mkdirat", -13, FOLDER + "vfork"): 5,
        ("mkdirat", -13, FOLDER + "thread"): 3,
    }
    assert (t.accounting.unaccounted, t.accounting.unpaired, t.accounting.no_start) == (0, 0, 0)
    assert t.counters == sums_of_rows(t)


def test_calls_answered_by_a_signal_have_no_result(session: TracerSession, program: str) -> None:
    """A trapped openat has no descriptor, although the kernel leaves its number in the register of the result."""
    t, rows = run(session, program, "trap")

    assert told(rows, "syscall", "ret", "fd", "file", "is_error") == {("openat", 0, -1, FOLDER + "trap", False): 7}
    assert t.accounting.complete
    assert t.counters == sums_of_rows(t)


def test_the_call_a_process_is_killed_for_is_a_row(session: TracerSession, program: str) -> None:
    """A call the filter answers with the death of its process is its last row."""
    t, rows = run(session, program, "fatal")

    assert told(rows, "syscall", "ret", "file") == {("mkdirat", 0, FOLDER + "fatal"): 1}
    assert t.accounting.unaccounted == 0


def test_a_supervisors_answers_are_the_results(session: TracerSession, program: str) -> None:
    """Calls another process answers (seccomp's notifications) have its errno, or its descriptor and the file behind."""
    t, rows = run(session, program, "supervised")

    assert told(rows, "syscall", "ret", "fd", "file") == {
        ("mkdirat", -16, -1, FOLDER + "asked"): 3,
        ("openat", 200, 200, "/dev/null"): 2,
    }
    assert t.accounting.unaccounted == 0
    assert t.counters == sums_of_rows(t)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="what PTRACE_SYSEMU does is the same, its constant is not")
def test_calls_a_tracer_answers_are_rows(session: TracerSession, program: str) -> None:
    """The calls of a process whose tracer answers them all (PTRACE_SYSEMU) are rows."""
    t, rows = run(session, program, "emulated")

    assert told(rows, "syscall", "file")["mkdirat", FOLDER + "emulated"] == 7
    assert t.accounting.unaccounted == 0


def test_threads_that_sat_in_calls_have_no_call_too_many(session: TracerSession, program: str) -> None:
    """A call begun before the trace is no refused one, and its thread's refused calls after it are rows."""
    with subprocess.Popen([program, "late"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.read(1)
        while sum(s.read_text().startswith("0 0x0 ") for s in Path(f"/proc/{child.pid}/task").glob("*/syscall")) < 2:
            pass
        with ior_trace(pid=child.pid, session=session, families="all") as t:
            child.stdin.write(b"xx")
            child.stdin.flush()
            assert child.wait() == 0
    rows = t.batch.take(t.batch.text("state") == "refused")

    assert told(rows, "syscall", "ret", "file") == {("mkdirat", -1, FOLDER + "late"): 10}
    assert (t.accounting.unpaired, t.accounting.no_start, t.accounting.unaccounted) == (2, 0, 0)
    assert t.accounting.complete


@pytest.mark.parametrize(
    ("wanted", "left"),
    [("errors", 7 + 3), ("ret=-18", 3), ("latency>=0", 0), ("file~refused/folder", 7), ("syscall=mkdirat", 7)],
)
def test_filters_judge_refused_calls(wanted: str, left: int, session: TracerSession, program: str) -> None:
    """A filter in the kernel lets the same refused rows pass as one over the rows; they match no latency."""
    t, rows = run(session, program, "paths", filter=wanted)
    all_rows = run(session, program, "paths")[0]
    after = all_rows.filter(wanted).batch

    assert len(rows) == left
    assert int((after.text("state") == "refused").sum()) == left
    assert t.accounting.unaccounted == 0
    assert t.accounting.complete


@pytest.mark.parametrize("rate", [0, 3])
def test_refused_calls_are_sampled(rate: int, session: TracerSession, program: str) -> None:
    """Sampled calls that are refused are counted: rows and calls counted only add up."""
    t, rows = run(session, program, "paths", sampling={"mkdirat": rate})
    mine = told(rows, "syscall").get(("mkdirat",), 0)

    assert mine + t.accounting.sampled_out == t.counters["mkdirat"]["calls"] == t.counters["mkdirat"]["errors"] == 7
    assert t.accounting.unaccounted == 0


def test_calls_that_are_off_stay_off_when_refused(session: TracerSession, program: str) -> None:
    """Refused calls of system calls that are not traced are no rows, and not counted."""
    t, rows = run(session, program, "paths", families=(), syscalls="renameat2")

    assert told(rows, "syscall") == {("renameat2",): 3}
    assert t.accounting.seen == 3


def test_refused_calls_are_in_the_tables(session: TracerSession, program: str) -> None:
    """DataFrame, errors, calls and summary hold them."""
    t, _ = run(session, program, "paths")
    frame = t.df()

    assert int((frame.state == "refused").sum()) == 10
    assert t.syscalls().set_index("syscall")["errors"].to_dict()["mkdirat"] == 7
    assert t.summary().errors >= 10


@pytest.mark.parametrize(("way", "refused", "missing"), [("tracepoint", 10, 0), ("raw-preemptible", 0, 10)])
def test_refused_calls_are_told_in_every_way(way: str, refused: int, missing: int, program: str) -> None:
    """At trace events they are rows too; where runs of the program may be skipped nothing tells: counted."""
    warned = pytest.warns(errors.LostEventsWarning, match="10 calls missing") if missing else contextlib.nullcontext()
    with warned, own_session(way=way) as session:
        t, rows = run(session, program, "paths")

    assert (len(rows), t.accounting.no_start, t.accounting.complete) == (refused, missing, not missing)
    assert t.accounting.unaccounted == 0

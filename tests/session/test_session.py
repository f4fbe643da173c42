from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from ior_nb import errors
from ior_nb.engine import ENGINES
from ior_nb.engine.contract import Ended
from ior_nb.result.load import load
from ior_nb.runtime import EventBatch
from ior_nb.runtime.clock import boot_clock
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from ior_nb.syscalls import BY_NAME, SYSCALLS
from tests.fakes import FakeEngine, batch


@pytest.fixture
def session(engine: FakeEngine) -> TracerSession:
    """A session on that engine."""
    made = TracerSession()
    made._engine = engine
    return made


def rows(*times: int, **columns: list[object]) -> EventBatch:
    """Rows of this process at points in time."""
    n = len(times)
    given: dict[str, list[object]] = {"time_ns": list(times), "pid": [os.getpid()] * n, "syscall": ["read"] * n}
    return batch(**given | columns)


def test_only_rows_that_began_inside_the_window_belong_to_it(session: TracerSession, engine: FakeEngine) -> None:
    """Rows before and after the block are counted as outside, and the identity holds without them."""
    with trace(session=session) as result:
        inside = boot_clock()
        engine.emit(rows(5, inside, inside + 1))

    assert result.batch["time_ns"].tolist() == [inside, inside + 1]
    assert result.accounting.outside_window == 1
    assert (result.accounting.seen, result.accounting.emitted) == (2, 2)
    assert result.accounting.unaccounted == 0


def test_what_is_shown_are_the_rows_of_the_trace(session: TracerSession, engine: FakeEngine) -> None:
    """Statistics and stream have none that began before it, or after."""
    with trace(session=session) as result:
        run = session.running
        assert run is not None
        run.watch()
        engine.emit(rows(5, boot_clock()))
        stream = session.stream().snapshot()

    assert run.statistics.snapshot().calls == len(stream) == len(result) == 1


def test_what_is_lost_makes_the_result_incomplete_and_warns(session: TracerSession, engine: FakeEngine) -> None:
    """A call the ring had no room for is in the accounting, the completeness line and a warning."""
    with pytest.warns(errors.LostEventsWarning, match=r"INCOMPLETE: 3 calls seen, 0 recorded, 3 lost \(ring\)"):  # noqa: SIM117
        with trace(session=session) as result:
            engine.totals |= {"seen": 3, "lost_ring": 3}

    assert not result.accounting.complete
    assert result.accounting.unaccounted == 0


def test_a_nested_trace_is_a_window_on_the_running_one(session: TracerSession, engine: FakeEngine) -> None:
    """The engine is started once; both traces have the inner rows, only the outer one the others."""
    with trace(session=session) as outer:
        engine.emit(rows(boot_clock()))
        with trace(session=session) as inner:
            engine.emit(rows(boot_clock(), boot_clock()))
        engine.emit(rows(boot_clock()))

    assert engine.started == 1
    assert (len(outer.batch), len(inner.batch)) == (4, 2)
    assert inner.accounting.seen == 2
    assert inner.accounting.unaccounted == 0


def test_only_calls_the_engine_has_are_traced(session: TracerSession, engine: FakeEngine) -> None:
    """Calls of another architecture are left out of a wider choice, by a nested trace too; alone they are a mistake."""
    engine.syscalls = tuple(call for call in SYSCALLS if call.name != "open")
    with pytest.raises(errors.ConfigError, match="this machine has no open: "), trace(session=session, syscalls="open"):
        pass
    refused = engine.started
    with trace(session=session, syscalls="open,read"), trace(session=session, syscalls="read,open"):
        pass

    assert refused == 0
    assert engine.options is not None
    assert engine.options.enabled == {BY_NAME["read"].number}


def test_a_conflicting_scope_is_refused_in_one_line(session: TracerSession) -> None:
    """While this process is traced, another target or more calls cannot join."""
    with trace(session=session):
        for wanted in ({"pid": os.getppid()}, {"families": "all"}, {"command": ["true"]}):
            with pytest.raises(errors.ConfigError, match="stop it first"), trace(session=session, **wanted):
                pass


def test_rows_are_numbered_over_all_traces_of_a_session(session: TracerSession, engine: FakeEngine) -> None:
    """The row numbering goes on where the last trace left off."""
    seen = []
    for _ in range(2):
        with trace(session=session) as result:
            engine.emit(rows(boot_clock(), boot_clock()))
        seen += result.batch["seq"].tolist()

    assert seen == [1, 2, 3, 4]
    assert session.stream_buffer().snapshot()["seq"].tolist() == seen


def test_rows_carry_the_cell_they_began_in(session: TracerSession, engine: FakeEngine) -> None:
    """Stamping is by start time, also for rows that arrive after the cell has ended."""
    with trace(session=session) as result:
        before = boot_clock()
        entry = session.begin_cell(7)
        during = boot_clock()
        session.end_cell(entry)
        engine.emit(rows(before, during, boot_clock()))

    assert result.batch["cell"].tolist() == [-1, 7, -1]


def test_a_start_that_fails_leaves_nothing_behind(session: TracerSession, engine: FakeEngine, tmp_path: Path) -> None:
    """When the engine cannot start there is no run, and no recording on the disk."""
    engine.fail = errors.PermissionDenied("no rights")
    with pytest.raises(errors.PermissionDenied), trace(session=session, record=tmp_path / "x.parquet"):
        pass

    assert session.running is None
    assert list(tmp_path.iterdir()) == []


def test_the_results_are_not_there_before_the_end(session: TracerSession) -> None:
    """Reading the rows of a running trace says so."""
    with trace(session=session) as result, pytest.raises(errors.ConfigError, match="still running"):
        result.df()


def test_rows_that_were_not_kept_are_not_made_up(session: TracerSession, engine: FakeEngine) -> None:
    """Without kept rows the summary is there, the rows are refused."""
    with trace(session=session, keep_rows=False) as result:
        engine.emit(rows(boot_clock(), ret=[5], bytes=[5]))

    assert result.summary().bytes_read == 5
    with pytest.raises(errors.ConfigError, match="not kept"):
        result.df()


def test_unknown_engines_are_refused() -> None:
    """An engine that does not exist is a mistake of the user."""
    with pytest.raises(errors.ConfigError, match="bcc"):
        TracerSession(engine="magic")
    with pytest.raises(errors.ConfigError, match="bcc"):
        trace(engine="magic")
    assert "bcc" in ENGINES


def test_an_engine_of_another_session_is_refused(session: TracerSession) -> None:
    """Who names an engine and gives a session of another one is told so, instead of traced by the other."""
    with pytest.raises(errors.ConfigError, match="engine demo in a session of fake"):
        trace(engine="demo", session=TracerSession(engine=FakeEngine()))

    assert trace(engine="demo", session=TracerSession(engine="demo")).trace.engine == "demo"
    assert trace(engine="auto", session=session).trace.engine == session.engine_name


def test_a_forked_child_does_not_end_its_parents_trace(session: TracerSession, engine: FakeEngine) -> None:
    """In a child the session has forgotten the run and the engine."""
    with trace(session=session):
        child = os.fork()
        if child == 0:
            os._exit(0 if session.running is None and session._engine is None else 1)
        status = os.waitpid(child, 0)[1]

    assert status == 0
    assert session._engine is engine


def test_a_recording_of_the_session_has_the_rows_of_its_time(
    session: TracerSession, engine: FakeEngine, tmp_path: Path
) -> None:
    """`record` and `stop_recording` write what came in between."""
    from ior_nb.sinks.parquet import read

    with trace(session=session):
        engine.emit(rows(boot_clock()))
        session.record(tmp_path / "part")
        engine.emit(rows(boot_clock(), boot_clock()))
        published = session.stop_recording()
        engine.emit(rows(boot_clock()))

    assert published == tmp_path / "part.parquet"
    assert read(published)["seq"].to_pylist() == [2, 3]


def test_a_recording_that_begins_before_a_trace_says_what_it_is_of(tmp_path: Path) -> None:
    """Which machine, when, and which engine: so that made-up rows are never taken for real ones."""
    with TracerSession(engine="demo") as session:
        session.record(tmp_path / "early.parquet")
        with trace(session=session) as traced:
            pass
        session.stop_recording()
    loaded = load(tmp_path / "early.parquet")

    assert loaded.engine == "demo"
    assert "demo data: made up, nothing was traced" in loaded.notes
    assert loaded.origin["ior_nb.hostname"] == platform.node()
    assert loaded.began.boot <= traced.began.boot < traced.ended.boot <= loaded.ended.boot
    assert loaded.window == (loaded.began.boot, loaded.ended.boot)


def test_a_trace_that_cannot_start_leaves_an_older_recording_alone(
    session: TracerSession, engine: FakeEngine, tmp_path: Path
) -> None:
    """The file that is there keeps its content when the new trace is refused."""
    older = tmp_path / "older.parquet"
    older.write_bytes(b"precious")
    engine.fail = errors.PermissionDenied("no rights")
    with pytest.raises(errors.PermissionDenied), trace(session=session, record=older):
        pass

    assert older.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [older]


def test_a_window_whose_run_ends_first_says_so(session: TracerSession, engine: FakeEngine) -> None:
    """It keeps the rows until then, its books balance, and all that is made of its rows tells what happened."""
    outer = trace(session=session)
    outer.__enter__()
    inner = trace(session=session)
    found = inner.__enter__()
    engine.emit(rows(boot_clock()))
    outer.end()
    inner.end()

    assert len(found.batch) == 1
    assert found.accounting.unaccounted == 0
    assert "ended first" in found.completeness.told()
    assert "ended first" in found.files().attrs["completeness"]


def test_a_window_is_entered_once(session: TracerSession, engine: FakeEngine) -> None:
    """A second time is refused, while it runs and afterwards, and the trace that is there stays as it is."""
    window = trace(session=session)
    with window as found:
        engine.emit(rows(boot_clock()))
        with pytest.raises(errors.ConfigError, match="of its own"):
            window.__enter__()
    with pytest.raises(errors.ConfigError, match="of its own"):
        window.__enter__()

    assert engine.started == 1
    assert len(found.batch) == found.accounting.seen == 1


def test_what_a_filter_here_kept_out_is_no_row_so_far(session: TracerSession, engine: FakeEngine) -> None:
    """While a trace runs as after its end: the rows that are told are those that are there, and the time so far."""
    session.set(session.parse("syscall=write"))
    with trace(session=session) as found:
        engine.emit(rows(*[boot_clock()] * 3, syscall=["read", "write", "read"]))
        run = session.running
        assert run is not None
        before = found.duration_s
        run.refresh()
        so_far, after = run.completeness().accounting, found.duration_s

    assert 0 < before < after < found.duration_s
    assert (so_far.seen, so_far.emitted, so_far.filtered, so_far.in_flight) == (3, 1, 2, 0)
    assert (found.accounting.emitted, found.accounting.filtered) == (1, 2)


def test_a_window_has_only_the_calls_it_asked_for(session: TracerSession, engine: FakeEngine) -> None:
    """On a run that traces more, the others are filtered."""
    with trace(session=session), trace(session=session, syscalls="write") as inner:
        now = boot_clock()
        engine.emit(rows(now, now, syscall=["read", "write"]))

    assert inner.batch.text("syscall").tolist() == ["write"]
    assert inner.accounting.filtered == 1
    assert inner.accounting.unaccounted == 0


def test_an_interrupt_at_the_end_still_takes_the_hooks_away(session: TracerSession, engine: FakeEngine) -> None:
    """The first stop is interrupted: the engine is stopped again, the trace is finished, the interrupt goes on."""
    stops: list[int] = []
    stop = engine.stop

    def interrupted() -> Ended:
        stops.append(1)
        if len(stops) == 1:
            raise KeyboardInterrupt
        return stop()

    engine.stop = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt), trace(session=session) as found:
        pass

    assert len(stops) == 2
    assert found.finished
    assert session.running is None


def test_the_oldest_rows_go_when_memory_would(
    session: TracerSession, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trace holds a bounded number of rows, the last ones, says how many it let go, and counts them all."""
    monkeypatch.setattr("ior_nb.result.held._SMALL", 1)
    with trace(session=session) as found:
        one = rows(boot_clock(), boot_clock(), fd=[0] * 2)
        each = one.nbytes + sum({id(table): table.nbytes for table in one.tables.values()}.values())
        found._held._most = each * 5 // 2
        for number in range(4):
            engine.emit(rows(boot_clock(), boot_clock(), fd=[number] * 2))
    assert found.batch["fd"].tolist() == [2, 2, 3, 3]
    assert found.rows_let_go == 4
    assert "4 older rows are no longer in memory" in found.completeness.told()
    assert found.stats().loc["calls", "value"] == 8
    assert found.summary().calls == 8

"""Where tracing is not allowed, IOR_NB_REPLAY has recordings played back instead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import ior_nb
from ior_nb import errors
from ior_nb.engine import ENGINES, EngineRow
from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.replay import ReplayEngine, StandIn
from ior_nb.engine.stopping import StoppingEngine
from ior_nb.export.arrow import columns
from ior_nb.runtime import EventBatch, Scope, TraceOptions
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from ior_nb.sinks.parquet import Recorder
from ior_nb.syscalls import BY_NAME
from tests.fakes import FakeEngine, batch

REFUSAL = "cannot load BPF programs: uid 7 lacks CAP_BPF. Give this process CAP_BPF; `ior-nb doctor` shows more."
SECOND = 10**9
READ = BY_NAME["read"].number


def recording(path: Path, rows: int, step_ns: int = 1000) -> Path:
    """Write reads of one file of the same name."""
    made = batch(
        seq=list(range(rows)),
        syscall=["read"] * rows,
        file=[f"/file/{path.stem}"] * rows,
        comm=["python"] * rows,
        pid=[7] * rows,
        tid=[7] * rows,
        ret=[10] * rows,
        bytes=[10] * rows,
        cell=[3] * rows,
    )
    times = {"time_ns": np.arange(1, rows + 1, dtype=np.uint64) * np.uint64(step_ns)}
    recorder = Recorder(columns)
    recorder.start(path, metadata={"ior_nb.hostname": "ada"})
    recorder.record(made.with_columns(**times, latency_ns=np.full(rows, 100, np.uint64)))
    recorder.stop()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings: 101 reads of a, 211 of b."""
    recording(tmp_path / "05-a.parquet", 101)
    recording(tmp_path / "05-b.parquet", 211)
    return tmp_path


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine does not allow tracing."""

    def refuse(engine: BccEngine) -> None:
        raise errors.PermissionDenied(REFUSAL)

    def stop_none(engine: StoppingEngine) -> None:
        raise errors.PermissionDenied(f"{engine.name} cannot hold process 7: Operation not permitted. Nothing helps.")

    monkeypatch.setattr(BccEngine, "open", refuse)
    monkeypatch.setattr(StoppingEngine, "open", stop_none)


@pytest.fixture
def session(refused: None) -> Iterator[TracerSession]:
    """A session that asked for the engine `auto`."""
    with TracerSession() as made:
        yield made


def test_each_trace_plays_the_next_recording(
    folder: Path, session: TracerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a folder are played in the order of their names, one a trace, and then again from the first."""
    monkeypatch.setenv("IOR_NB_REPLAY", str(folder))
    found = []
    for _ in range(3):
        with trace(session=session) as t:
            pass
        found.append((len(t), t.accounting.complete, t.accounting.unaccounted, set(t.batch.text("file"))))

    a, b = (101, True, 0, {"/file/05-a"}), (211, True, 0, {"/file/05-b"})
    assert found == [a, b, a]


def test_the_result_says_that_it_was_played_back_and_why(
    folder: Path, session: TracerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of the summary names the file and the reason, without the advice that follows it."""
    monkeypatch.setenv("IOR_NB_REPLAY", str(folder / "05-a.parquet"))
    with trace(session=session, title="this cell") as t:
        pass

    assert t.engine == "replay"
    assert t.title == "this cell (replay of 05-a.parquet)"
    why = "this machine does not allow tracing (cannot load BPF programs: uid 7 lacks CAP_BPF; see %ior doctor)"
    assert t.notes == (f"played back from 05-a.parquet: {why}",)
    assert t.notes[0] in str(t)


def test_the_body_still_runs(folder: Path, session: TracerSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the block does happens, and its error comes through; the trace is the recording all the same."""
    monkeypatch.setenv("IOR_NB_REPLAY", str(folder))
    done = []

    def body() -> None:
        with trace(session=session) as t:
            done.append(t)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()

    assert [len(t) for t in done] == [101]


def test_tracing_is_refused_as_ever_with_an_engine_by_name(
    folder: Path, refused: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recordings only stand in where nobody asked for one engine."""
    monkeypatch.setenv("IOR_NB_REPLAY", str(folder))
    with (
        TracerSession(engine="bcc") as session,
        pytest.raises(errors.PermissionDenied, match="uid 7 lacks"),
        trace(session=session),
    ):
        pass


def test_the_sessions_of_auto_and_bcc_are_two(refused: None) -> None:
    """Who asks for bcc by name must not get what `auto` fell back to."""
    assert ior_nb.session.session.default_session("bcc") is not ior_nb.session.session.default_session()


def test_the_replay_engine_is_asked_for_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`replay` is an engine like the others: it plays what the variable names, and says so where that is nothing."""
    with TracerSession(engine="replay") as session:
        monkeypatch.delenv("IOR_NB_REPLAY", raising=False)
        with pytest.raises(errors.ConfigError, match="IOR_NB_REPLAY"):
            session.engine()
        monkeypatch.setenv("IOR_NB_REPLAY", str(folder))
        with trace(session=session) as found:
            pass

    assert found.engine == "replay"
    assert len(found) > 0


def test_an_engine_that_works_is_not_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tracing is allowed the variable changes nothing."""
    monkeypatch.setenv("IOR_NB_REPLAY", str(folder))
    monkeypatch.setitem(ENGINES, "bcc", EngineRow(f"{FakeEngine.__module__}:FakeEngine", "a fake", traces=True))
    with TracerSession() as session:
        assert session.engine().name == "fake"


def test_a_variable_that_points_nowhere_is_one_line(
    folder: Path, session: TracerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the variable, the path and the reason; put right, the next trace plays."""
    monkeypatch.setenv("IOR_NB_REPLAY", str(folder / "no.parquet"))
    with pytest.raises(errors.RecordingError) as refusal, trace(session=session):
        pass
    monkeypatch.setenv("IOR_NB_REPLAY", str(folder))
    with trace(session=session) as t:
        pass

    message = str(refusal.value)
    assert "\n" not in message
    assert all(part in message for part in ("IOR_NB_REPLAY", "no.parquet", "uid 7 lacks CAP_BPF"))
    assert len(t) == 101


def test_a_damaged_recording_is_one_line(folder: Path, session: TracerSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is no recording is named before anything runs."""
    (folder / "05-a.parquet").write_bytes(b"PAR1 no PAR1")
    monkeypatch.setenv("IOR_NB_REPLAY", str(folder))
    with pytest.raises(errors.RecordingError, match=r"IOR_NB_REPLAY.*05-a\.parquet") as refusal:
        session.engine()

    assert "\n" not in str(refusal.value)


def test_a_quiet_trace_waits_until_somebody_looks(tmp_path: Path) -> None:
    """Nothing is played before `live`; then rows come at their pace, and the end brings all the others at once."""
    rows: list[EventBatch] = []
    came = threading.Event()

    def on_batch(some: EventBatch) -> None:
        rows.append(some)
        came.set()

    engine = StandIn(recording(tmp_path / "slow.parquet", 37, step_ns=100 * SECOND), "no")
    engine.start(TraceOptions(scope=Scope(pids=(1,)), enabled=frozenset({READ}), quiet=True), on_batch)
    heard_before = came.wait(0.1)
    engine.go_live()
    came.wait(10)
    paced = sum(map(len, rows))
    ended = engine.stop()
    engine.close()

    assert not heard_before
    assert paced == 1
    assert sum(map(len, rows)) == ended.totals["seen"] == 37


def test_a_trace_that_is_not_quiet_plays_by_itself(tmp_path: Path) -> None:
    """A recording or a command wants its rows as they come, so they come."""
    came = threading.Event()
    engine = StandIn(recording(tmp_path / "slow.parquet", 37, step_ns=100 * SECOND), "no")
    engine.start(TraceOptions(scope=Scope(pids=(1,)), enabled=frozenset({READ})), lambda batch: came.set())
    heard = came.wait(10)
    engine.close()

    assert heard


def test_a_watched_trace_counts_every_row(
    tmp_path: Path, session: TracerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dashboard that opens in the middle and stays until the end has seen the whole recording."""
    monkeypatch.setenv("IOR_NB_REPLAY", str(recording(tmp_path / "slow.parquet", 37, step_ns=100 * SECOND)))
    with trace(session=session) as t:
        run = session.running
        assert run is not None
        run.watch()
    snapshot = run.statistics.snapshot()

    assert snapshot.calls == len(t) == 37


def test_a_waiting_trace_can_be_closed(tmp_path: Path) -> None:
    """Nobody ever looked: closing, and starting anew, do not wait for it."""
    engine = StandIn(recording(tmp_path / "slow.parquet", 37), "no")
    options = TraceOptions(scope=Scope(pids=(1,)), enabled=frozenset({READ}), quiet=True)
    for _ in range(2):
        engine.start(options, lambda batch: None)
    engine.close()
    assert "ior-replay" not in [thread.name for thread in threading.enumerate()]


def test_a_dashboard_that_opens_late_has_counted_what_was_played(tmp_path: Path) -> None:
    """The statistics of a playback have every row, also those that came before anybody looked."""
    engine = ReplayEngine(recording(tmp_path / "run.parquet", 101))
    with TracerSession(engine=engine) as session, trace(session=session):
        engine.wait()
        run = session.running
        assert run is not None
        snapshot = run.statistics.snapshot()

    assert snapshot.calls == 101

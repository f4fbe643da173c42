"""The life of what is published: from the start that succeeded to the end, and no longer."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from ior_nb import errors
from ior_nb.engine.contract import Ended
from ior_nb.engine.replay import ReplayEngine
from ior_nb.export.arrow import columns
from ior_nb.runtime import (
    EventBatch,
    Filter,
    RecordingController,
    TraceOptions,
    context_with_runtime_bindings,
    context_with_trace_filters,
)
from ior_nb.runtime.clock import boot_clock
from ior_nb.session.bindings import Bindings
from ior_nb.session.books import Books
from ior_nb.session.celltimes import CellTimes
from ior_nb.session.desk import Desk
from ior_nb.session.past import Past
from ior_nb.session.plan import plan
from ior_nb.session.run import Run
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from ior_nb.sinks.parquet import Recorder
from ior_nb.sinks.streamrow import RingBuffer, Sequencer
from tests.fakes import FakeEngine, batch


def reads(*files: str) -> EventBatch:
    """Return finished reads of these files, now."""
    count = len(files)
    return batch(time_ns=[boot_clock()] * count, syscall=["read"] * count, file=list(files), bytes=[10] * count)


def on_screen(bindings: Bindings) -> list[str]:
    """Return the names of what is published."""
    what = {
        "statistics": bindings.statistics(),
        "trie": bindings.trie(),
        "probes": bindings.probes(),
        "live": bindings.live(),
        "setter": bindings.filters.setter,
    }
    return [name for name, there in what.items() if there is not None]


ALL = ["statistics", "trie", "probes", "live", "setter"]


# ---- what a run publishes, and when


def test_a_run_publishes_all_when_it_has_started(session: TracerSession, engine: FakeEngine) -> None:
    """While the engine starts nothing is on screen; then its sources, its controls and its rows are."""
    seen: list[list[str]] = []
    start = engine.start

    def noted(options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        seen.append(on_screen(session))
        return start(options, on_batch)

    engine.start = noted  # type: ignore[method-assign]
    with trace(session=session):
        seen.append(on_screen(session))
        engine.emit(reads("/a", "/b"))
        streamed = session.stream().snapshot().text("file").tolist()

    assert seen == [[], ALL]
    assert streamed == ["/a", "/b"]


def test_a_start_that_fails_publishes_nothing(session: TracerSession, engine: FakeEngine) -> None:
    """Nothing is left on screen, and what was there before stays."""
    engine.fail = errors.PermissionDenied("no rights")
    with pytest.raises(errors.PermissionDenied), trace(session=session):
        pass
    assert on_screen(session) == []

    engine.fail = None
    desk = Desk(session)
    with trace(session=session):
        desk.update()
        engine.emit(reads("/a"))
    before = desk.control.state().title
    engine.fail = errors.PermissionDenied("no rights")
    with pytest.raises(errors.PermissionDenied), trace(session=session):
        pass
    session.set(session.parse("file=/none"))
    desk.update()

    assert desk.control.state().title == before
    source = desk.statistics()
    assert source is not None
    snapshot = source.snapshot()
    assert snapshot is not None
    assert snapshot.calls == 0  # it is counted again as ever


def test_a_start_that_is_interrupted_leaves_nothing(
    session: TracerSession, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt in the midst of publishing takes everything back and stops the engine."""

    def interrupted(_: Any) -> None:
        if _ is not None:
            raise KeyboardInterrupt

    monkeypatch.setattr(session, "set_live_filter_setter", interrupted)
    with pytest.raises(KeyboardInterrupt), trace(session=session):
        pass
    engine.send(reads("/late"))

    assert on_screen(session) == []
    assert session.running is None
    assert len(session.stream_buffer()) == 0


def test_controls_are_taken_back_when_the_end_begins(session: TracerSession, engine: FakeEngine) -> None:
    """While the engine stops there is no probe control and no filter setter; the sources are still shown."""
    seen: list[list[str]] = []
    stop = engine.stop

    def noted() -> Ended:
        seen.append(on_screen(session))
        return stop()

    engine.stop = noted  # type: ignore[method-assign]
    with trace(session=session):
        pass

    assert seen == [["statistics", "trie", "live"]]
    assert on_screen(session) == []


def test_the_controls_of_an_ended_run_refuse(session: TracerSession, engine: FakeEngine) -> None:
    """A setter, a probe manager and a trace that somebody has kept change nothing in the trace after."""
    with trace(session=session):
        setter, probes, live = session.filters.setter, session.probes(), session.live()
    assert setter is not None
    assert probes is not None
    assert live is not None

    told: list[Any] = []
    engine.set_filter = lambda pushdown, generation: told.append(pushdown)  # type: ignore[method-assign]
    engine.set_specs = lambda enabled, rates: told.append(enabled)  # type: ignore[method-assign]
    with trace(session=session) as after:
        with pytest.raises(errors.SessionClosed):
            setter(session.parse("pid=1"))
        with pytest.raises(errors.SessionClosed):
            probes.toggle("read")
        for control in (live.stop, live.reset):
            with pytest.raises(errors.ConfigError):
                control()
        live.update()
        assert not after.finished

    assert told == []
    assert probes.active_count()[0] == 0


def test_late_rows_are_dropped(session: TracerSession, engine: FakeEngine) -> None:
    """What an ended run still sends is in no stream and takes no number, also while another trace runs."""
    with trace(session=session) as first:
        engine.emit(reads("/a"))
        send = engine.send
    send(reads("/late"))
    with trace(session=session) as second:
        send(reads("/late"))
        engine.emit(reads("/b"))

    assert [found.batch.text("file").tolist() for found in (first, second)] == [["/a"], ["/b"]]
    assert session.stream_buffer().snapshot()["seq"].tolist() == [1, 2]


def test_an_interrupted_end_takes_everything_back(session: TracerSession, engine: FakeEngine) -> None:
    """Also then no control is left, and the finished trace is let go of."""
    stop = engine.stop
    stops: list[int] = []

    def interrupted() -> Ended:
        stops.append(1)
        if len(stops) == 1:
            raise KeyboardInterrupt
        return stop()

    engine.stop = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt), trace(session=session):
        pass

    assert on_screen(session) == []


def test_an_old_past_does_not_publish_over_a_new_run(session: TracerSession, engine: FakeEngine) -> None:
    """A finished trace that is being counted while another begins does not put its statistics over the new ones."""
    desk = Desk(session)
    with trace(session=session):
        desk.update()
        engine.emit(reads("/old"))
    old = session.live()
    assert isinstance(old, Past)
    with trace(session=session):
        fresh = session.statistics()
        old.set_filter(session.parse("file=/none"))
        old.update()

        assert session.statistics() is fresh


# ---- what is let go of


def _demo(tmp_path: Path) -> TracerSession:
    return TracerSession(engine="demo")


def _replay(tmp_path: Path) -> TracerSession:
    recorder = Recorder(to_arrow=columns)
    recorder.start(tmp_path / "made.parquet")
    recorder.record(reads("/a", "/b"))
    recorder.stop()
    return TracerSession(engine=ReplayEngine(tmp_path / "made.parquet"))


def _fake(tmp_path: Path) -> TracerSession:
    return TracerSession(engine=FakeEngine())


def _bcc(tmp_path: Path) -> TracerSession:
    return TracerSession(engine="bcc")


@pytest.mark.parametrize(
    "made", [_fake, _demo, _replay, pytest.param(_bcc, marks=pytest.mark.live)], ids=["fake", "demo", "replay", "bcc"]
)
def test_an_ended_run_is_let_go(made: Callable[[Path], TracerSession], tmp_path: Path) -> None:
    """Without a dashboard nothing keeps the statistics, the trie and the run once the trace has ended."""
    with made(tmp_path) as session:
        with trace(session=session) as found:
            run = session.running
            assert run is not None
            run.watch()
            Path("/proc/self/stat").read_bytes()
            run.flush()
            kept = [weakref.ref(thing) for thing in (run, run.statistics, run.trie)]
            del run
        gc.collect()

        assert found.finished
        assert [reference() for reference in kept] == [None, None, None]


def test_the_last_dashboard_takes_the_ended_trace_along(session: TracerSession, engine: FakeEngine) -> None:
    """While a dashboard is open the ended trace stays on screen; the last one to close lets it go."""

    class Shown:
        closed = False

        def close(self) -> None:
            self.closed = True

    shown = [Shown(), Shown()]
    for view in shown:
        session.keep(view)
    with trace(session=session):
        engine.emit(reads("/a"))
    there = []
    for view in shown:
        view.close()
        session.left()
        there.append("live" in on_screen(session))

    assert there == [True, False]


# ---- bindings of somebody else


class Mini:
    """Bindings with the members of the contract, and no more."""

    def __init__(self) -> None:
        self.ring, self.numbers = RingBuffer(), Sequencer()
        self.published: list[tuple[str, Any]] = []

    def set_dashboard_snapshot_source(self, source: Any) -> None:
        self.published.append(("statistics", source))

    def set_event_stream_source(self, source: Any) -> None:
        self.published.append(("stream", source))

    def set_live_trie(self, trie: Any) -> None:
        self.published.append(("trie", trie))

    def set_probe_manager(self, manager: Any) -> None:
        self.published.append(("probes", manager))

    def set_live_filter_setter(self, setter: Any) -> None:
        self.published.append(("setter", setter))

    def set_live_trace(self, trace: Any) -> None:
        self.published.append(("live", trace))

    def stream_buffer(self) -> RingBuffer:
        return self.ring

    def recorder(self) -> RecordingController | None:
        return None

    def stream_sequencer(self) -> Sequencer:
        return self.numbers

    def filter_epoch(self) -> int:
        return 3


def test_bindings_with_the_contracts_members_start_a_run(engine: FakeEngine) -> None:
    """A run needs nothing of its bindings but the contract; the filter and its epoch come from there, too."""
    bindings = Mini()
    run = Run(engine, Books(plan(), "fake"), CellTimes())
    wanted = Filter.of(TracerSession(engine=engine).parse("file=/b").parts())
    run(context_with_trace_filters(context_with_runtime_bindings(Context(), bindings), wanted))
    run.owner._t0 = 0  # the trace has begun
    engine.emit(reads("/a", "/b"))
    run.end()
    streamed = bindings.ring.snapshot()

    assert streamed.text("file").tolist() == ["/b"]
    assert streamed["filter_epoch"].tolist() == [3]
    assert {name for name, there in bindings.published if there is not None} == {*ALL, "stream"}
    assert [name for name, there in bindings.published if there is None] == ["probes", "setter"]


def test_a_starter_without_bindings_says_so(engine: FakeEngine) -> None:
    """A context that no session made is a mistake of the caller, in the contract's own words."""
    run = Run(engine, Books(plan(), "fake"), CellTimes())
    with pytest.raises(errors.SourceError, match="no bindings"):
        run(Context())
    with trace(session=TracerSession(engine=engine)) as found:
        pass
    with pytest.raises(errors.SourceError, match="no publisher"):
        Past(found)(Context())

    assert engine.started == 1

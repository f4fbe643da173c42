"""What a dashboard is given: of a running trace, and of one that has ended."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ior_nb.engine.contract import Ended
from ior_nb.errors import ConfigError
from ior_nb.export import EXPORTERS
from ior_nb.result.load import load
from ior_nb.result.trace import Trace
from ior_nb.runtime import EventBatch, TraceOptions
from ior_nb.runtime.clock import boot_clock
from ior_nb.session.desk import Desk
from ior_nb.session.plan import plan
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import dashboard
from ior_nb.session.window import Stretch, Window
from ior_nb.sinks.streamrow import warning
from tests.fakes import FakeEngine, batch


def calls(files: list[object], **columns: object) -> EventBatch:
    """Make finished reads of these files, now."""
    count = len(files)
    return batch(
        syscall=["read"] * count,
        family=["FS"] * count,
        comm=["python"] * count,
        pid=[7] * count,
        tid=[7] * count,
        file=files,
        bytes=[10] * count,
        latency_ns=[1000] * count,
        time_ns=[boot_clock()] * count,
        **{name: [value] * count for name, value in columns.items()},
    )


def running(session: TracerSession, engine: FakeEngine, files: list[object]) -> Desk:
    """Return the desk of a trace that has seen reads of these files."""
    session.worker.do(Stretch(session, plan()).begin)
    desk = Desk(session)
    desk.update()
    engine.emit(calls(files))
    return desk


def counted(desk: Desk) -> dict[str, int]:
    """Return the files and their calls."""
    source = desk.statistics()
    assert source is not None
    snapshot = source.snapshot()
    assert snapshot is not None
    return {row.path: row.count for row in snapshot.files if not row.special}


def total(desk: Desk) -> int:
    """Return what the flame graph counts."""
    trie = desk.trie()
    assert trie is not None
    return int(trie.snapshot_columns().totals[0])


def test_there_is_nothing_before_the_first_trace(session: TracerSession) -> None:
    """Without a trace there are no sources, an empty stream, and no title."""
    desk = Desk(session)
    desk.update()
    assert (desk.statistics(), desk.trie(), desk.probes(), len(desk.stream())) == (None, None, None, 0)
    assert desk.control.state().title == ""
    assert not desk.control.state().running


def test_a_running_trace_is_shown_live(session: TracerSession, engine: FakeEngine) -> None:
    """Rows reach statistics, trie and stream of the desk as they come; the state counts them."""
    desk = running(session, engine, ["/a", "/a", "/b"])
    assert counted(desk) == {"/a": 2, "/b": 1}
    assert total(desk) == 3
    assert len(desk.stream()) == 3
    state = desk.control.state()
    assert state.running
    assert state.rows == 3
    assert desk.probes() is not None


def test_an_ended_trace_stays_and_is_counted_again(session: TracerSession, engine: FakeEngine) -> None:
    """After the end a filter, other frames and a reset are answered from the kept rows; undo brings all of it back."""
    desk = running(session, engine, ["/a", "/a", "/b"])
    desk.control.stop()
    assert counted(desk) == {"/a": 2, "/b": 1}
    assert desk.probes() is None
    assert not desk.control.state().running
    desk.filters.set(desk.filters.parse("file=/a"))
    assert counted(desk) == {"/a": 2}
    assert total(desk) == 2
    assert len(desk.stream()) == 2
    trie = desk.trie()
    assert trie is not None
    trie.reconfigure(["syscall"])
    assert total(desk) == 2
    trie.reset()
    assert total(desk) == 2
    desk.filters.undo()
    assert counted(desk) == {"/a": 2, "/b": 1}
    assert total(desk) == 3
    with pytest.raises(ConfigError, match="has ended"):
        desk.control.reset()


def test_a_new_trace_takes_the_place_of_the_old(session: TracerSession, engine: FakeEngine) -> None:
    """When a trace begins after another, the desk shows the new one."""
    desk = running(session, engine, ["/a"])
    desk.control.stop()
    desk.control.start()
    engine.emit(calls(["/new"]))
    assert counted(desk) == {"/new": 1}
    with pytest.raises(ConfigError, match="stop it first"):
        desk.control.start()


def test_a_finished_trace_has_a_desk_with_a_filter_of_its_own(session: TracerSession, engine: FakeEngine) -> None:
    """A desk over a trace shows its rows and rates, and filters without touching the session."""
    with Window(session, plan()) as found:
        engine.emit(calls(["/a", "/b", "/b"]))
    desk = Desk(session, found)
    assert counted(desk) == {"/a": 1, "/b": 2}
    assert len(desk.stream()) == 3
    desk.filters.set(desk.filters.parse("file=/b"))
    assert counted(desk) == {"/b": 2}
    assert not session.filters.active.active
    source = desk.statistics()
    assert source is not None
    snapshot = source.snapshot()
    assert snapshot is not None
    assert snapshot.run.calls_per_s == pytest.approx(2 / found.duration_s, rel=0.01)


def test_the_stream_keeps_warnings_under_a_filter(session: TracerSession, engine: FakeEngine) -> None:
    """A filter hides rows, never a warning."""
    desk = running(session, engine, ["/a", "/b"])
    session.stream_buffer().push(warning("something was lost", boot_clock()))
    desk.filters.set(desk.filters.parse("file=/b"))
    rows, pushed = desk.stream().tail(0)
    assert rows.text("file").tolist() == ["/b", "something was lost"]
    assert pushed == 3
    assert len(desk.stream().tail(3)[0]) == 0


def test_processes_and_threads_are_listed(session: TracerSession) -> None:
    """This process comes first; its threads are those the kernel knows; a process that is not there is said."""
    control = Desk(session).control
    first = control.tasks()[0]
    assert first.pid == os.getpid()
    assert first.own
    assert os.getpid() in [task.tid for task in control.tasks(os.getpid())]
    with pytest.raises(ConfigError, match="no process"):
        control.tasks(2**22 + 5)


def test_values_seen_complete_a_filter(session: TracerSession, engine: FakeEngine) -> None:
    """What the stream has seen is offered for the text dimensions."""
    desk = running(session, engine, ["/data/x", "/data/y"])
    offered = [s.text for s in desk.filters.suggest("file=", 5)]
    assert any("/data/x" in text for text in offered)


def test_labels_seen_complete_a_filter(session: TracerSession, engine: FakeEngine) -> None:
    """What the user called his work can be chosen."""
    desk = running(session, engine, ["/a"])
    rows = calls(["/b"])
    engine.emit(rows.with_columns(label=rows.tables["label"].intern_many(["epoch 3"])))

    assert any("epoch 3" in s.text for s in desk.filters.suggest("label=", 6))


@pytest.mark.parametrize("dimension", ["py_file", "py_func", "opened_at"])
def test_lines_seen_complete_a_filter(session: TracerSession, engine: FakeEngine, dimension: str) -> None:
    """Files, functions and the lines that opened a file can be chosen, and what is chosen finds its row."""
    desk = running(session, engine, ["/a"])
    rows = calls(["/b"])
    engine.emit(rows.with_columns(**{dimension: rows.tables[dimension].intern_many(["made <locals> (x)"])}))

    (offered,) = [s.text for s in desk.filters.suggest(f"{dimension}=", 99) if "made" in s.text]
    found = desk.stream().snapshot()
    assert desk.filters.parse(f"{dimension}={offered}").mask(found).sum() == 1


@pytest.fixture
def huge(session: TracerSession, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The desk of a trace of one row and two, of which a look counts one piece."""
    monkeypatch.setattr("ior_nb.session.past._AT_ONCE", 0)
    monkeypatch.setattr("ior_nb.session.past._A_TICK", 0)
    with Window(session, plan()) as found:
        engine.emit(calls(["/a", "/b", "/b"]))
    books = found.accounting
    found.stand_for(Pieces([found.batch[:1], found.batch[1:]]), count=lambda: 3, books=lambda: books)
    return Desk(session, found)


def test_a_huge_trace_is_counted_a_bit_at_a_time(huge: Desk) -> None:
    """A dashboard opens with the first rows, tells how many are left, and has all after some more looks."""
    desk = huge
    trie = desk.trie()
    assert trie is not None

    assert shown_calls(desk) == 1
    step = desk.control.state().counting
    assert step is not None
    assert step.text().startswith("counting: 1 of 3 rows")
    desk.update()
    assert shown_calls(desk) == 3
    assert trie.snapshot_tree()[0].total == 3
    assert desk.control.state().counting is None


def test_counting_stops_and_goes_on_when_the_user_says_so(huge: Desk) -> None:
    """A stop leaves what was counted, and says so, until counting on is asked for; then there is nothing to stop."""
    desk = huge
    assert shown_calls(desk) == 1
    desk.control.stop()
    desk.update()
    stopped = desk.control.state()
    assert (shown_calls(desk), stopped.paused) == (1, True)
    assert stopped.counting is not None
    desk.control.reset()
    desk.update()

    assert (shown_calls(desk), desk.control.state().paused) == (3, False)
    with pytest.raises(ConfigError, match="no trace is running"):
        desk.control.stop()


def shown_calls(desk: Desk) -> int:
    """Return the calls that the statistics have by now."""
    source = desk.statistics()
    found = source.snapshot() if source is not None else None
    return found.calls if found is not None else -1


class Pieces:
    """Rows that are read a batch at a time."""

    def __init__(self, batches: list[EventBatch]) -> None:
        self.batches = batches

    def pieces(self) -> list[EventBatch]:
        """Return the batches."""
        return self.batches


def test_exports_hold_what_is_shown(session: TracerSession, engine: FakeEngine, tmp_path: object) -> None:
    """While a trace runs an export has the stream's rows that pass the filter, without the warnings."""
    desk = running(session, engine, ["/a", "/b"])
    session.stream_buffer().push(warning("lost", boot_clock()))
    desk.filters.set(desk.filters.parse("file=/b"))
    path = desk.control.export(f"{tmp_path}/rows.csv")
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert "/b" in lines[1]
    assert np.isfinite(desk.control.state().elapsed_s)


def test_a_running_trace_is_exported_in_every_format(
    session: TracerSession, engine: FakeEngine, tmp_path: Path
) -> None:
    """Also as a recording, which can be loaded again."""
    desk = running(session, engine, ["/a", "/b"])
    for name, row in EXPORTERS.items():
        path = desk.control.export(f"{tmp_path}/{name}{row.extension}")
        assert path.stat().st_size > 0

    assert len(load(tmp_path / "parquet.parquet")) == 2


def test_nobody_asks_an_engine_that_is_still_starting(session: TracerSession, engine: FakeEngine) -> None:
    """A dashboard that is open while the first trace starts watches it once it runs."""
    desk = Desk(session)
    asked: list[object] = []
    start, go_live = engine.start, engine.go_live

    def slow(options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        desk.update()
        asked.append(len(asked))
        return start(options, on_batch)

    def note() -> None:
        asked.append("go_live")
        go_live()

    engine.start, engine.go_live = slow, note  # type: ignore[method-assign]
    session.worker.do(Stretch(session, plan()).begin)
    assert asked == [0]
    desk.update()
    assert asked == [0, "go_live"]


def test_a_trace_between_two_looks_is_seen(session: TracerSession, engine: FakeEngine) -> None:
    """With a dashboard open, a trace nobody saw running is shown after its end, counted from its rows."""
    shown = Shown()
    session.keep(shown)
    desk = Desk(session)
    desk.update()
    with Window(session, plan()):
        engine.emit(calls(["/short"]))
    desk.update()
    assert counted(desk) == {"/short": 1}
    assert desk.control.state().title


def test_a_filter_set_elsewhere_counts_an_ended_trace_again(session: TracerSession, engine: FakeEngine) -> None:
    """The filter is the session's: whoever changes it, every dashboard shows its rows."""
    desk = running(session, engine, ["/a", "/b"])
    desk.control.stop()
    session.set(session.parse("file=/b"))
    desk.update()
    assert counted(desk) == {"/b": 1}


def test_a_trace_that_is_just_ending_is_still_running(session: TracerSession, engine: FakeEngine) -> None:
    """While the engine is being stopped the state is not that of a session that never traced."""
    desk, seen = running(session, engine, ["/a"]), []
    stop = engine.stop

    def slow() -> Ended:
        seen.append(desk.control.state())
        return stop()

    engine.stop = slow  # type: ignore[method-assign]
    desk.control.stop()
    assert [(state.running, bool(state.title)) for state in seen] == [(True, True)]


def test_a_finished_trace_starts_nothing(session: TracerSession, engine: FakeEngine) -> None:
    """The dashboard of one finished trace says so, and refuses to start or stop another."""
    with Window(session, plan()) as found:
        engine.emit(calls(["/a"]))
    desk = Desk(session, found)
    assert desk.control.state().fixed
    with pytest.raises(ConfigError, match="shows a finished trace"):
        desk.control.start()
    with pytest.raises(ConfigError, match="no trace is running"):
        desk.control.stop()


class Shown:
    """What stands for an open dashboard."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_dashboard_is_of_one_trace(session: TracerSession) -> None:
    """Several at once are refused, with what shows them together."""
    with pytest.raises(ConfigError, match=r"one trace, not a list; `ior_nb\.load`"):
        dashboard(["one", "two"], session=session)  # type: ignore[arg-type]


def test_a_session_closes_all_its_dashboards(session: TracerSession) -> None:
    """Every dashboard made for a session is closed with it, whatever one of them does."""
    shown = [Shown(), Shown()]
    for one in shown:
        session.keep(one)
    session.close()
    assert all(one.closed for one in shown)


def test_a_forked_child_has_locks_of_its_own(session: TracerSession, engine: FakeEngine) -> None:
    """A child forked while another thread holds the stream's lock can use the session."""
    running(session, engine, ["/a"])
    with session.stream_buffer()._lock:
        child = os.fork()
        if not child:
            session.stream_buffer().snapshot()
            session.close()
            os._exit(7)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_the_stream_has_the_rows_of_one_trace(session: TracerSession, engine: FakeEngine) -> None:
    """The ring outlives a trace; the stream of the desk shows the rows of the trace on it alone."""
    desk = running(session, engine, ["/old", "/old"])
    desk.control.stop()
    desk.control.start()
    engine.emit(calls(["/new"]))
    desk.update()
    assert desk.stream().snapshot().text("file").tolist() == ["/new"]


def test_a_changed_filter_says_since_when_it_counts(session: TracerSession, engine: FakeEngine) -> None:
    """While a trace runs a filter begins the counts anew, which the state says; after the end all rows are counted."""
    desk = running(session, engine, ["/a", "/b"])
    assert desk.control.state().counted_s == 0
    desk.filters.set(desk.filters.parse("file=/a"))
    desk.filters.undo()
    assert desk.control.state().counted_s > 0
    engine.emit(calls(["/a"], filter_epoch=session.filter_epoch()))
    desk.control.stop()
    desk.update()
    assert counted(desk) == {"/a": 2, "/b": 1}
    assert desk.control.state().counted_s == 0


def test_an_export_has_what_the_filter_shows(session: TracerSession, engine: FakeEngine, tmp_path: Path) -> None:
    """An ended trace is exported as the dashboard shows it, and never over a file that is there."""
    desk = running(session, engine, ["/a", "/b", "/b"])
    desk.control.stop()
    desk.filters.set(desk.filters.parse("file=/b"))
    assert len(desk.control.export(f"{tmp_path}/b.csv").read_text().splitlines()) == 3
    with pytest.raises(ConfigError, match="there already"):
        desk.control.export(f"{tmp_path}/b.csv")


def test_an_export_to_the_home_is_over_no_file_either(
    session: TracerSession, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that begins with a tilde means a file as any other does, and a link is one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    desk = running(session, engine, ["/a"])
    (tmp_path / "mine.csv").write_text("mine")
    (tmp_path / "nowhere.csv").symlink_to(tmp_path / "gone.csv")
    for name in ("~/mine.csv", "~/nowhere.csv"):
        with pytest.raises(ConfigError, match="there already"):
            desk.control.export(name)

    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_a_trace_ended_from_a_view_is_announced(session: TracerSession, engine: FakeEngine) -> None:
    """Who listens gets the trace the button ended."""
    heard: list[object] = []
    session.listeners.append(heard.append)
    running(session, engine, ["/a"]).control.stop()
    assert [len(trace) for trace in heard if isinstance(trace, Trace)] == [1]

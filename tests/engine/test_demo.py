"""The demo engine: always the same, plausible, and never taken for real."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ior_nb import errors
from ior_nb.engine import ENGINES
from ior_nb.engine.demo import DemoEngine
from ior_nb.engine.replay import ReplayEngine
from ior_nb.result.load import load
from ior_nb.runtime import EventBatch, Scope, TraceOptions
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.schema import NAMES, is_error
from ior_nb.session.plan import enabled_calls
from ior_nb.session.session import TracerSession, default_session
from ior_nb.session.tracing import trace
from ior_nb.syscalls import BY_NAME
from tests.engine.test_replay import Clock, Listener, values

ALL = TraceOptions(scope=Scope(pids=(1,)), enabled=enabled_calls("all", None))
SECOND = 1_000_000_000


@pytest.fixture
def clock() -> Clock:
    """A clock the test moves."""
    return Clock()


def played(seconds: float, options: TraceOptions = ALL, **arguments: float) -> tuple[EventBatch, dict[str, int]]:
    """Return what a demo hands over in that time, and its totals."""
    clock, heard = Clock(), Listener()
    engine = DemoEngine(clock=clock, **arguments)  # type: ignore[arg-type] # one of them is a whole number
    start = engine.start(options, heard)
    clock.now = start + round(seconds * SECOND)
    ended = engine.stop()
    return EventBatch.concat(heard.batches), ended.totals


@pytest.fixture(scope="module")
def second() -> EventBatch:
    """A second of the demo."""
    return played(1.0)[0]


def test_the_demo_is_always_the_same(second: EventBatch) -> None:
    """The same seed gives the same rows, however the time was cut; another seed gives others."""
    clock, heard = Clock(), Listener()
    engine = DemoEngine(clock=clock)
    start = engine.start(ALL, heard)
    for step in (1, 90, 333, 1000):
        clock.now = start + step * SECOND // 1000
        engine.flush()
    engine.close()
    again = EventBatch.concat(heard.batches)

    assert len(heard.batches) > 3
    assert values(again) == values(second)
    assert heard.threads == {"ior-demo"}
    assert values(played(0.1, seed=8)[0]) != values(played(0.1)[0])


@pytest.mark.parametrize("rate", [1, 97, 20_000, 3_000_000])
def test_the_demo_keeps_its_rate(rate: int) -> None:
    """About as many calls come as were asked for, and all are accounted for."""
    seconds = 200.0 if rate < 100 else 0.5
    rows, totals = played(seconds, rate=rate)

    assert abs(len(rows) - seconds * rate) <= 2 + 0.2 * seconds * rate
    assert totals["seen"] == totals["emitted"] == len(rows)


def test_calls_of_a_thread_follow_each_other(second: EventBatch) -> None:
    """Rows come as calls end; those of a thread do not overlap, and their gaps are the time between them."""
    begins = second["time_ns"].astype(np.int64)
    ends = begins + second["latency_ns"].astype(np.int64)

    assert (np.diff(ends) >= 0).all()
    for tid in np.unique(second["tid"]).tolist():
        mine = second["tid"] == tid
        between = begins[mine][1:] - ends[mine][:-1]
        assert (between >= 0).all()
        assert second["gap_ns"][mine].tolist() == [0, *between.tolist()]
        assert second["first_on_tid"][mine].tolist() == [True] + [False] * (mine.sum() - 1)


def test_rows_are_what_a_kernel_could_say(second: EventBatch) -> None:
    """Calls, families, errors, bytes and files of the rows go together."""
    calls = [BY_NAME[name] for name in second.text("syscall").tolist()]
    moves = np.array([c.bytes_class != "none" for c in calls])
    moved, ret = second["bytes"].astype(np.int64), second["ret"]

    assert second.text("family").tolist() == [c.family for c in calls]
    assert second["is_error"].tolist() == is_error(ret).tolist()
    assert moved.tolist() == np.where(moves & (ret > 0), ret, 0).tolist()
    assert (moved <= np.maximum(second["requested_bytes"], 0)).all()
    assert (second["fd"][moves] >= 3).all()
    assert (second.text("file")[moves] != "").all()
    assert set(second.text("state").tolist()) == {"done"}
    assert set(second.text("socket")[second.text("file_kind") == "socket"].tolist()) == {"inet:stream:tcp"}


def test_the_demo_has_something_for_every_view(second: EventBatch) -> None:
    """There are several processes, threads, families, kinds of files and failures, and a spread of latencies."""
    distinct = {name: len(np.unique(second[name])) for name in ("pid", "tid", "family", "file_kind", "file", "syscall")}
    failed = float(second["is_error"].mean())
    p50, p99 = np.percentile(second["latency_ns"], [50, 99]).tolist()

    assert distinct["pid"] >= 4
    assert distinct["tid"] > distinct["pid"]
    assert distinct["family"] >= 4
    assert distinct["file_kind"] >= 5
    assert distinct["file"] >= 150
    assert distinct["syscall"] >= 15
    assert 0.02 < failed < 0.3
    assert 20 * p50 < p99
    assert (second["old_file"] != 0).any()


def test_only_the_calls_asked_for_are_seen(second: EventBatch) -> None:
    """The choice of calls decides what is seen; gaps are between those."""
    rows, totals = played(0.5, TraceOptions(scope=Scope(), enabled=enabled_calls(None, "read,openat")))
    python = rows.take(rows["tid"] == rows["tid"][0])
    ends = (python["time_ns"] + python["latency_ns"])[:-1]

    assert set(rows.text("syscall").tolist()) == {"read", "openat"}
    assert totals["seen"] == len(rows) < len(second)
    assert python["gap_ns"][1:].tolist() == (python["time_ns"][1:] - ends).tolist()


def test_children_are_left_out_when_nobody_follows_them() -> None:
    """Without following, only the first process is there."""
    rows, _ = played(0.2, TraceOptions(scope=Scope(follow=False), enabled=ALL.enabled))

    assert len(np.unique(rows["pid"])) == 1
    assert len(np.unique(rows["tid"])) > 1


def test_sampled_calls_are_counted() -> None:
    """One in N becomes a row, none at 0; the counters stay exact."""
    rates = {BY_NAME["read"].number: 10, BY_NAME["write"].number: 0}
    whole, _ = played(0.5)
    clock, heard = Clock(), Listener()
    engine = DemoEngine(clock=clock)
    clock.now = engine.start(TraceOptions(scope=Scope(), enabled=ALL.enabled, rates=rates), heard) + SECOND // 2
    ended = engine.stop()
    rows = EventBatch.concat(heard.batches)
    calls = dict(zip(*np.unique(whole.text("syscall"), return_counts=True), strict=True))
    names, counts = np.unique(rows.text("syscall"), return_counts=True)
    recorded = dict(zip(names.tolist(), counts.tolist(), strict=True))

    assert "write" not in recorded
    assert recorded["read"] == -(-int(calls["read"]) // 10)
    assert ended.counters["calls"][BY_NAME["read"].number] == calls["read"]
    assert ended.counters["bytes"][BY_NAME["read"].number] == whole["bytes"][whole.text("syscall") == "read"].sum()
    assert ended.counters["histogram"].sum() == len(whole)
    assert ended.totals["seen"] == ended.totals["emitted"] + ended.totals["sampled_out"] == len(whole)


def test_probes_of_the_demo_can_be_switched(clock: Clock) -> None:
    """A call that is switched off is gone after the slice that was already made."""
    heard = Listener()
    engine = DemoEngine(clock=clock)
    start = engine.start(ALL, heard)
    clock.now = start + SECOND
    engine.flush()
    engine.set_specs(frozenset({BY_NAME["read"].number}), {})
    heard.batches.clear()
    clock.now = start + 2 * SECOND
    engine.stop()
    late = EventBatch.concat(heard.batches)
    late = late.take(late["time_ns"] > start + 12 * SECOND // 10)

    assert set(late.text("syscall").tolist()) == {"read"}


def test_the_demo_ends_after_its_duration(clock: Clock) -> None:
    """When the time is over nothing more comes, and `wait` knows."""
    heard = Listener()
    engine = DemoEngine(duration=0.25, clock=clock)
    start = engine.start(ALL, heard)

    assert not engine.wait(0)
    clock.now = start + 100 * SECOND
    engine.flush()
    assert engine.wait(10)
    engine.stop()
    rows = EventBatch.concat(heard.batches)
    assert int((rows["time_ns"] + rows["latency_ns"]).max()) <= start + SECOND // 4
    assert 4000 < len(rows) < 6000


@pytest.fixture
def session() -> Iterator[TracerSession]:
    """A session on a fast demo."""
    with TracerSession(engine=DemoEngine(rate=1_000_000)) as made:
        yield made


def busy(milliseconds: int) -> None:
    """Let time pass without giving up the processor."""
    until = boot_clock() + milliseconds * 1_000_000
    while boot_clock() < until:
        pass


def test_the_demo_goes_through_a_session_and_says_what_it_is(session: TracerSession) -> None:
    """Rows began inside the window, all are accounted for, and title, scope and notes say demo data."""
    with trace(session=session) as result:
        busy(30)
    times = result.batch["time_ns"]

    assert len(result) > 100
    assert result.accounting.complete
    assert result.accounting.unaccounted == 0
    assert result.window[0] <= times.min()
    assert times.max() < result.window[1]
    assert (result.title, result.scope, result.engine) == ("demo data", "demo data", "demo")
    assert str(result).count("demo data") >= 2
    assert "demo data" in result._repr_html_()


def test_a_nested_trace_of_the_demo_balances(session: TracerSession) -> None:
    """A window on the running demo has its own rows and books."""
    with trace(session=session) as outer:
        busy(5)
        with trace(session=session) as inner:
            busy(10)

    assert 0 < len(inner) < len(outer)
    assert outer.accounting.unaccounted == 0


def test_a_title_of_the_users_does_not_hide_the_demo(session: TracerSession) -> None:
    """The label stays beside a title that was given."""
    with trace(session=session, title="throughput") as result:
        pass

    assert result.title == "throughput (demo data)"


def test_a_recorded_demo_stays_labelled(session: TracerSession, tmp_path: Path) -> None:
    """Written to a file, read, played and written again, the data still says that it was made up."""
    with trace(session=session, record=tmp_path / "a") as result:
        busy(10)
    found = load(tmp_path / "a.parquet")
    again = load(found.to_parquet(tmp_path / "b.parquet"))
    wanted = values(result.batch, "host")
    with (
        TracerSession(engine=ReplayEngine(tmp_path / "b.parquet")) as player,
        trace(session=player, record=tmp_path / "c") as replayed,
    ):
        pass
    third = load(tmp_path / "c.parquet")

    for loaded in (found, again):
        assert loaded.title == "demo data"
        assert loaded.notes[0].startswith("demo data")
        assert values(loaded.batch, "host") == wanted
    assert replayed.title == third.title == "replay of b.parquet (demo data)"
    assert any("demo data" in note for note in replayed.notes)
    assert any("demo data" in note for note in third.notes)


def test_the_demo_is_asked_for_by_name_only() -> None:
    """`auto` never gives made-up data; by name it has a session of its own, and needs neither rights nor bcc."""
    code = (
        "import sys, ior_nb\n"
        "with ior_nb.trace(engine='demo') as t: pass\n"
        "sys.exit(t.engine != 'demo' or 'bcc' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert next(iter(ENGINES)) == default_session().engine_name != "demo"
    assert default_session("demo") is default_session("demo") is not default_session()


@pytest.mark.parametrize("arguments", [{"rate": 0}, {"rate": -1}, {"rate": float("nan")}, {"duration": 0}])
def test_a_demo_of_nothing_is_refused(arguments: dict[str, float]) -> None:
    """Rates and durations are positive."""
    with pytest.raises(errors.ConfigError, match="positive"):
        DemoEngine(**arguments)  # type: ignore[arg-type] # one of them is a whole number


def test_every_column_has_the_type_of_the_schema(second: EventBatch) -> None:
    """No column is of another length or type than the schema says."""
    assert list(second.columns) == list(NAMES)
    assert len({len(column) for column in second.columns.values()}) == 1

"""A trace of a cluster from its begin to its end, on workers that are threads of this process, with made-up rows."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster, Status

import ior_nb.dask
from ior_nb.dask import clocks, host, places
from ior_nb.dask.run import Run
from ior_nb.dask.told import Found, Report, Successor, topic
from ior_nb.errors import ConfigError, IorWarning, RecordingError, SourceError, SourceUnavailable
from ior_nb.session.choice import Choice, made

pytestmark = [
    # What Dask and Tornado leave to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A cluster in this process."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def left(client: Client) -> list[str]:
    """Return what of ours is left on the cluster."""
    plugins = client.run(lambda dask_worker: [name for name in dask_worker.plugins if "ior" in name])
    notes = client.run(lambda dask_worker: type(dask_worker.active_threads).__name__)
    on_scheduler: Any = client.run_on_scheduler(
        lambda dask_scheduler: [name for name in dask_scheduler.handlers if "ior" in name]
    )
    found = [name for names in plugins.values() for name in names]
    return [*found, *(name for name in notes.values() if name != "dict"), *on_scheduler, *host._hosts]


def test_one_collector_serves_all_workers_of_a_place(client: Client, tmp_path: Path) -> None:
    """Without nannies the lowest worker begins it; the tasks of all workers are noted, and nothing stays behind."""
    with ior_nb.dask.trace(client, tmp_path, engine="demo") as run:
        client.gather(client.map(pow, range(7), [2] * 7, pure=False))

    assert [path.name for path in tmp_path.iterdir()] == [Path(run.hosts[0].path).name]
    assert [(one.tasks, len(one.workers), one.problem) for one in run.hosts] == [(7, 2, "")]
    assert run.accounting.seen == run.hosts[0].accounting.seen
    assert len(run.trace()) == run.hosts[0].rows > 0
    assert left(client) == []


def test_a_dashboard_shows_the_whole_trace_when_that_has_ended(client: Client, tmp_path: Path) -> None:
    """However short it was: hosts say what they have at their end. It says what filter they have."""
    with ior_nb.dask.trace(client, tmp_path, engine="demo", filter="syscall~read") as run:
        board = run.dashboard()
        client.gather(client.map(pow, range(7), [2] * 7, pure=False))
    statistics = board.runtime.statistics()
    assert statistics is not None
    state, shown = board.runtime.control.state(), statistics.snapshot()
    board.close()

    assert state.completeness.accounting == run.accounting
    assert board.runtime.filters.text(board.runtime.filters.active) == "syscall~read"
    assert shown is not None
    assert shown.calls >= len(run.trace())  # statistics of made-up rows have those of before, too
    assert not [note for note in state.notes if "asked last" in note]


@pytest.mark.parametrize("here", [True, False])
def test_a_filter_that_labels_of_the_client_come_too_late_for_is_told(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, here: bool
) -> None:
    """Other hosts learn them when the trace ends; the process of the client knows its own."""
    monkeypatch.setattr("ior_nb.dask.run._is_here", lambda report: here)
    with (
        ior_nb.dask.trace(client, tmp_path, engine="demo", filter="label=epoch*") as run,
        ior_nb.label("epoch 1", shared=True),
    ):
        pass

    assert ("did not know those of the client" in run.lines()[0]) is not here


def test_what_a_host_without_the_folder_recorded_is_fetched(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces, to the folder of the client; nothing stays on the host."""
    monkeypatch.setattr(host, "_PIECE", 1009)
    run = ior_nb.dask.trace(client, tmp_path, engine="demo")
    run._order = replace(run._order, folder="/nowhere")
    with run:
        there = places.recorded(run._order.run)
        assert there.exists()

    assert run.hosts[0].problem == ""
    assert not there.exists()
    assert len(run.trace()) == run.hosts[0].rows > 0


def test_what_cannot_be_fetched_stays_where_it_is(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning says where; nothing else stays on the host, and nothing half here."""

    def broken(path: str, begin: int) -> bytes:
        raise OSError("the disk of the host is gone")

    monkeypatch.setattr(host, "piece", broken)
    run = ior_nb.dask.trace(client, tmp_path, engine="demo")
    run._order = replace(run._order, folder="/nowhere")
    with pytest.warns(IorWarning, match=r"could not be fetched.*It is on that host, in "), run:
        there = places.recorded(run._order.run)
    (kept,) = there.iterdir()
    try:
        assert len(ior_nb.load(kept)) > 0
        assert str(kept) in run.hosts[0].problem
        assert not places.spools(run._order.run).exists()
        assert list(tmp_path.iterdir()) == []
    finally:
        shutil.rmtree(there)


def test_a_cluster_that_cannot_be_traced_at_all_is_an_error(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says why for each host, and leaves nothing on the cluster or in the folder."""

    def refused() -> None:
        raise SourceError("lacks CAP_BPF")

    monkeypatch.setattr(host, "best", refused)
    with pytest.raises(SourceUnavailable, match="lacks CAP_BPF"):
        ior_nb.dask.trace(client, tmp_path).__enter__()

    assert left(client) == []
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_no_trace_of_a_cluster(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing may be traced, nothing old is given out for new."""
    monkeypatch.setattr("ior_nb.engine.demo.DemoEngine.replays", True)

    with pytest.raises(SourceUnavailable, match="a recording is no trace of a cluster"):
        ior_nb.dask.trace(client, tmp_path, engine="demo").__enter__()


def test_a_host_that_ends_badly_is_told(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are there without tasks where they could not be written anew."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(host, "stamp", full)
    with ior_nb.dask.trace(client, tmp_path, engine="demo") as run:
        pass

    assert "No space left" in run.hosts[0].notes[-1]
    assert "No space left" in run.lines()[0]
    assert len(run.trace()) > 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"pid": 1}, "has no keyword 'pid'"),
        ({"families": "FSS"}, "FSS"),
        ({"filter": "bytes>"}, "expected"),
        ({"engine": "magic"}, "no engine 'magic'"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_a_host_is_asked(
    client: Client, tmp_path: Path, asked: Any, said: str
) -> None:
    """Nothing was started."""
    with pytest.raises((ConfigError, TypeError), match=said):
        ior_nb.dask.trace(client, tmp_path, **asked)


def test_a_folder_that_cannot_be_made_is_an_error(client: Client, tmp_path: Path) -> None:
    """Before anything is started."""
    (tmp_path / "file").touch()

    with pytest.raises(RecordingError, match="Choose another folder"):
        ior_nb.dask.trace(client, tmp_path / "file", engine="demo").__enter__()


def test_a_running_trace_has_no_rows_yet(client: Client, tmp_path: Path) -> None:
    """It says where they will be."""
    with ior_nb.dask.trace(client, tmp_path, engine="demo") as run:
        assert run.lines() == [f"{platform.node()}: being traced with demo"]
        with pytest.raises(ConfigError, match="still running"):
            run.trace()
    with pytest.raises(ConfigError, match="make another one"):
        run.__enter__()


def test_a_host_that_leaves_in_the_middle_has_its_tasks(tmp_path: Path) -> None:
    """As where a cluster is made smaller: with its last worker its trace ends, and the client is told."""
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as small,
        Client(small) as client,
        ior_nb.dask.trace(client, tmp_path, engine="demo") as run,
    ):
        client.gather(client.map(pow, range(7), [2] * 7, pure=False))
        deadline = time.monotonic() + 30
        # A worker stays as long as it holds results, and the scheduler hears a moment later that nobody wants them.
        while not client.retire_workers(list(client.scheduler_info()["workers"]), close_workers=True):
            assert time.monotonic() < deadline
        while not client.get_events(topic(run._order.run)) and time.monotonic() < deadline:
            time.sleep(0.05)

    assert [(one.tasks, one.problem) for one in run.hosts] == [(7, "")]
    assert "left before the trace ended" in run.lines()[0]
    assert not places.spools(run._order.run).exists()
    assert len(run.trace()) == run.hosts[0].rows > 0


def test_a_host_that_leaves_while_its_trace_is_ended_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the end that the client has asked for, and its report comes also where its answer does not."""
    whole = host._Host.end

    def end(self: Any, *asked: Any) -> Report:
        asyncio.run_coroutine_threadsafe(small.workers[0].close(), client.loop.asyncio_loop)
        deadline = time.monotonic() + 2
        while small.workers[0].status is not Status.closed and time.monotonic() < deadline:
            time.sleep(0.05)
        return whole(self, *asked)

    monkeypatch.setattr(host._Host, "end", end)
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as small,
        Client(small) as client,
        ior_nb.dask.trace(client, tmp_path, engine="demo") as run,
    ):
        client.gather(client.map(pow, range(7), [2] * 7, pure=False))

    assert [(one.tasks, one.problem, one.left) for one in run.hosts] == [(7, "", False)]
    assert len(run.trace()) == run.hosts[0].rows > 0
    assert host._hosts == {}


def test_a_host_whose_process_is_gone_is_told_and_not_waited_for(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line says which rows are missing, and where what it wrote may be; the others are there."""
    monkeypatch.setattr(clocks, "_REACH_S", 0.2)
    run = ior_nb.dask.trace(client, tmp_path, engine="demo").__enter__()
    run._leaders["ghost boot pids", 1] = "tcp://127.0.0.1:1"  # where nobody listens
    run.hosts = (
        *run.hosts,
        replace(run.hosts[0], host="ghost", place="ghost boot pids", pid=1, spools="/dev/shm/of-the-ghost"),
    )
    with pytest.warns(IorWarning, match="ghost"):
        run.__exit__(None, None, None)

    assert run.problems.keys() == {"ghost"}
    assert "its process is gone" in run.problems["ghost"]
    assert str(tmp_path) in run.problems["ghost"]
    assert "/dev/shm/of-the-ghost" in run.problems["ghost"]
    assert len(run.trace()) > 0


def test_a_trace_whose_client_is_gone_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows have their tasks, and nobody notes any more; the client says so, if it is there to say anything."""
    monkeypatch.setattr(host, "_LOOK_S", 0.05)
    with LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as small, Client(small) as other:
        client = Client(small)
        run = ior_nb.dask.trace(client, tmp_path, engine="demo").__enter__()
        client.gather(client.map(pow, range(7), [2] * 7, pure=False))
        client.close()
        with pytest.warns(IorWarning, match="the client was closed"):
            run.__exit__(None, None, None)
        deadline = time.monotonic() + 30
        while places.spools(run._order.run).exists() and time.monotonic() < deadline:
            time.sleep(0.05)

        assert [name for name in left(other) if "client" not in name and "clock" not in name] == []
    assert [path.name for path in tmp_path.iterdir()] == [Path(run.hosts[0].path).name]
    assert "task" in pq.read_schema(run.hosts[0].path).names


def test_where_one_user_may_not_trace_the_next_one_is_asked(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host whose workers are of several users is traced by one who may."""
    asked: list[int] = []

    def found(dask_worker: Any) -> Found:
        return Found(platform.node(), places.place(), os.getpid(), int(dask_worker.name), nanny=False)

    def once() -> Any:
        asked.append(1)
        if len(asked) == 1:
            raise SourceError("lacks CAP_BPF")
        return Choice(made("demo"))

    monkeypatch.setattr(host, "find", found)
    monkeypatch.setattr(host, "best", once)
    with ior_nb.dask.trace(client, tmp_path) as run:
        pass

    assert len(asked) == 2
    assert [(one.engine, one.problem) for one in run.hosts] == [("demo", "")]


def test_a_worker_that_cannot_note_its_tasks_is_told(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its address, with the reason, in the line of its host."""

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ior_nb.dask.plugins.Spool", refused)
    with ior_nb.dask.trace(client, tmp_path, engine="demo") as run:
        pass

    for address in client.scheduler_info()["workers"]:
        assert f"tasks of the worker {address} are not told apart: [Errno 13] Permission denied" in run.lines()[0]


def test_a_trace_that_ends_takes_no_clock_from_another(client: Client, tmp_path: Path) -> None:
    """Of two at once each asks the scheduler by itself."""
    with ior_nb.dask.trace(client, tmp_path / "long", engine="demo") as run:
        ior_nb.dask.trace(client, tmp_path / "short", engine="demo").__enter__().__exit__(None, None, None)

    footer = pq.read_metadata(run.hosts[0].path).metadata
    assert json.loads(footer[b"ior_nb.clock_error_nano"]) >= 0
    assert left(client) == []


def test_tasks_that_run_when_it_begins_and_ends_are_stamped(client: Client, tmp_path: Path) -> None:
    """The first from the begin on, the last up to the end; what ran through is one task."""
    from distributed import Event

    def wait(name: str) -> None:
        Event(f"{name} begun").set()
        Event(name).wait()

    tasks = [client.submit(wait, name, pure=False) for name in ("before", "never")]
    for name in ("before", "never"):
        Event(f"{name} begun").wait(timeout=30)
    with ior_nb.dask.trace(client, tmp_path, engine="demo") as run:
        Event("before").set()
        tasks[0].result(timeout=30)
    Event("never").set()
    tasks[1].result(timeout=30)

    assert run.hosts[0].tasks == 2
    assert run.hosts[0].unstamped == ()
    assert left(client) == []


def test_a_successor_is_heard_while_those_there_are_are_gone_through(tmp_path: Path) -> None:
    """The loop of the client hears it, and another thread may be asking who leads."""
    idle: Any = SimpleNamespace(asynchronous=False)
    run = Run(idle, tmp_path, "demo", {})
    told = [Successor("tcp://a", Report(host="a", place="a", pid=pid, after=pid - 1)) for pid in (2, 3)]
    run._heard(pickle.dumps(told[0]))
    known = iter(run._later.values())
    run._heard(pickle.dumps(told[1]))

    assert list(known) == told[:1]
    assert sorted(run._leading()) == [("a", 2), ("a", 3)]
    assert [one.before for one in told] == [("a", 1), ("a", 2)]


def test_any_name_of_a_host_will_do(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks, slashes and markup in it make no other folder, and the dashboard has it whole."""
    name = "<b>the host\u202e/of the/hall</b>"
    monkeypatch.setattr(platform, "node", lambda: name)
    with ior_nb.dask.trace(client, tmp_path, engine="demo") as run:
        client.gather(client.map(pow, range(3), [2] * 3, pure=False))
        board = run.dashboard()
        hosts = board.runtime.control.state().hosts
        board.close()

    assert hosts == (name,)
    assert run.problems == {}
    assert run.hosts[0].tasks == 3
    assert set(run.trace().df()["host"]) == {name}
    assert [path.parent for path in tmp_path.rglob("*.parquet")] == [tmp_path]

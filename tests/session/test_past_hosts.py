"""The dashboard of recordings of several hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from threading import Event

import pytest

from ior_nb.engine.replay import ReplayEngine
from ior_nb.errors import ConfigError
from ior_nb.export import About, export
from ior_nb.result.convert import convert
from ior_nb.result.load import load
from ior_nb.result.trace import Trace
from ior_nb.runtime import Snapshot
from ior_nb.session import past
from ior_nb.session.desk import Desk
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from tests.fakes import batch

ODD = "^<b>*$"


def recorded(folder: Path, **hosts: int) -> None:
    """Record so many calls of process 7 of each host."""
    for number, (host, calls) in enumerate({**hosts, ODD: 2}.items()):
        rows = batch(
            syscall=["read"] * calls,
            family=["FS"] * calls,
            comm=["worker"] * calls,
            pid=[7] * calls,
            tid=[7] * calls,
            ppid=[1] * calls,
            file=["/shared"] * calls,
            time_ns=[10**12] * calls,
            seq=list(range(calls)),
        )
        export(rows, folder / f"{number}.parquet", about=About(metadata={"ior_nb.hostname": host}))


class Waiting(ReplayEngine):
    """A replay that begins when it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begin = Event()

    def _play(self) -> None:
        self.begin.wait(30)
        super()._play()


def drawn(desk: Desk) -> dict[tuple[str, ...], int]:
    """The frames of the flame panel, each with those above it, and their widths."""
    trie = desk.trie()
    assert trie is not None
    found = trie.snapshot_columns(min_share=0)
    return paths(found.ids.tolist(), found.parents.tolist(), found.labels.tolist(), found.totals.tolist())


def icicle(of: Trace, fields: str) -> dict[tuple[str, ...], int]:
    """The same of the figure of a trace."""
    found = of.flame(fields).data[0]
    return paths(found.ids, found.parents, map(unescape, found.labels), found.values)


def paths(ids: Iterable[object], parents: Iterable[object], *columns: Iterable[object]) -> dict[tuple[str, ...], int]:
    """Frames by their names, root first."""
    found: dict[object, tuple[str, ...]] = {}
    widths = {}
    for node, parent, label, width in zip(ids, parents, *columns, strict=True):
        found[node] = (*found[parent], str(label)) if parent in found else ()
        widths[found[node]] = int(str(width))
    return widths


def shown(desk: Desk) -> Snapshot:
    """What the statistics are."""
    source = desk.statistics()
    snapshot = source.snapshot() if source else None
    assert snapshot is not None
    return snapshot


@contextmanager
def playing(folder: Path) -> Iterator[tuple[TracerSession, Desk]]:
    """Give a session that plays calls of three hosts back, and the desk of somebody who looks."""
    recorded(folder, ada=3, bob=5)
    with TracerSession(engine=ReplayEngine(folder)) as session:
        desk = Desk(session)
        desk.update()
        yield session, desk


@pytest.mark.parametrize("together", [False, True], ids=["a file each", "one file"])
def test_one_of_its_hosts_can_be_chosen(session: TracerSession, tmp_path: Path, *, together: bool) -> None:
    """Statistics, stream, flame graph and export are those of all hosts, then of the chosen one, whatever its name."""
    recorded(tmp_path, ada=3, bob=5)
    if together:
        list(convert(tmp_path, tmp_path / "all.parquet", sort=True))
    desk = Desk(session, load(tmp_path / "all.parquet" if together else tmp_path))
    found = []
    for number, host in enumerate(("", "ada", ODD, "")):
        desk.control.choose(host)
        trie, snapshot = desk.trie(), shown(desk)
        assert trie is not None
        flame = trie.snapshot_columns().totals[0]
        exported = len(load(desk.control.export(str(tmp_path / f"out-{number}.parquet"))))
        found.append((snapshot.calls, len(desk.stream().snapshot()), flame, exported, desk.control.state().host))

    assert found == [(10, 10, 10, 10, ""), (3, 3, 3, 3, "ada"), (2, 2, 2, 2, ODD), (10, 10, 10, 10, "")]
    assert desk.control.state().hosts == (ODD, "ada", "bob")
    assert {row.label: row.count for row in shown(desk).processes} == {"ada:7": 3, "bob:7": 5, f"{ODD}:7": 2}
    with pytest.raises(ConfigError, match="choose from"):
        desk.control.choose("eve")


def test_hosts_can_be_chosen_before_their_rows_are_counted(
    session: TracerSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long counting takes, all that recordings begin with are there from the first look on."""
    recorded(tmp_path, ada=3, bob=5)
    monkeypatch.setattr(past, "_AT_ONCE", 0)  # one recording a look
    desk = Desk(session, load(tmp_path))

    assert desk.control.state().counting is not None
    assert desk.control.state().hosts == (ODD, "ada", "bob")


def test_a_replay_of_several_hosts_ends_with_each_by_itself(tmp_path: Path) -> None:
    """Processes are those of their host at the end too, and one can be chosen."""
    with playing(tmp_path) as (session, desk):
        with trace(session=session):
            desk.update()
        desk.update()

        assert {row.label: row.count for row in shown(desk).processes} == {"ada:7": 3, "bob:7": 5, f"{ODD}:7": 2}
        assert desk.control.state().hosts == (ODD, "ada", "bob")


def test_a_recording_of_one_host_has_none_to_choose(session: TracerSession, tmp_path: Path) -> None:
    """Its processes are numbers, as they were when it was traced."""
    recorded(tmp_path)
    desk = Desk(session, load(tmp_path))

    assert desk.control.state().hosts == ()
    assert [row.label for row in shown(desk).processes] == ["7"]
    with pytest.raises(ConfigError, match="of one host"):
        desk.control.choose(ODD)


def test_a_replay_tells_the_processes_of_its_hosts_apart_while_it_plays(tmp_path: Path) -> None:
    """Process 7 of each is one of its own, also after the statistics began anew."""
    with playing(tmp_path) as (session, desk), trace(session=session):
        desk.update()
        before, calls = shown(desk).processes, shown(desk).calls
        desk.control.reset()

        assert {row.label: row.count for row in before} == {"ada:7": 3, "bob:7": 5, f"{ODD}:7": 2}
        assert calls == 10
        assert shown(desk).calls == 0


@pytest.mark.parametrize("fields", ["pid,syscall,path", "comm,tid", "comm,syscall,path"])
@pytest.mark.parametrize("hosts", [{"ada": 3, "bob": 5}, {}], ids=["several hosts", "one host"])
def test_the_flame_graph_of_a_replay_is_that_of_the_loaded_recordings(
    tmp_path: Path, fields: str, hosts: dict[str, int]
) -> None:
    """Above an id stands its host, of several: while it plays, in the end, and in the trace that is left."""
    recorded(tmp_path, **hosts)
    engine = Waiting(tmp_path)
    with TracerSession(engine=engine) as session:
        desk = Desk(session)
        desk.update()
        with trace(session=session) as played:
            trie = desk.trie()
            assert trie is not None
            trie.reconfigure(fields.split(","))
            engine.begin.set()
            desk.update()
            engine.flush()
            live = drawn(desk)
        desk.update()
        ended = drawn(desk)

    assert live == ended == icicle(played, fields) == icicle(load(tmp_path), fields)
    assert (ended.get(("worker", "ada", "7")) == 3) == (fields == "comm,tid" and bool(hosts))

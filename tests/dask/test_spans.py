"""What a worker notes of its tasks, and what is left of that when it is gone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ior_nb.dask import spans
from ior_nb.dask.spans import Noted, Notes, Spool, read

ABOUT = {"worker": "tcp://10.0.0.1:4001", "pid": 7}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """The file of a worker."""
    return Spool(tmp_path / "a.spans", ABOUT)


def _read(tmp_path: Path) -> Noted:
    return read(sorted(tmp_path.glob("*.spans")))


def _task(noted: Noted, tid: int, time_ns: int) -> str:
    codes = noted.spans.of(np.array([tid], np.uint32), np.array([time_ns], np.uint64))
    return "" if codes is None else noted.spans.texts[int(codes[0])].partition(" ")[2]


def test_what_is_noted_is_in_the_file_at_once(tmp_path: Path, spool: Spool) -> None:
    """A worker that is killed closes nothing: its tasks are there all the same, the one it was in too."""
    spool.end(spool.begin(11, "('read', 0)", at=100), at=200)
    spool.begin(12, "('read', 1)", at=150)

    noted = _read(tmp_path)

    assert [worker.address for worker in noted.workers] == [ABOUT["worker"]]
    assert [_task(noted, 11, at) for at in (99, 100, 199, 200)] == ["", "('read', 0)", "('read', 0)", ""]
    assert _task(noted, 12, 10**15) == "('read', 1)"


def test_the_number_of_a_thread_is_given_again(tmp_path: Path, spool: Spool) -> None:
    """The task of a killed worker ends where another worker's thread of that number begins one."""
    spool.begin(11, "killed", at=100)
    other = Spool(tmp_path / "0.spans", ABOUT)
    other.end(other.begin(11, "later", at=500), at=600)

    noted = _read(tmp_path)

    assert [_task(noted, 11, at) for at in (400, 550, 700)] == ["killed", "later", ""]


def test_a_file_grows_with_its_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no number of tasks that is too much."""
    monkeypatch.setattr(spans, "_STEP", 8192)
    spool = Spool(tmp_path / "a.spans", ABOUT)
    for number in range(500):
        spool.end(spool.begin(11, f"task {number}", at=number * 10), at=number * 10 + 5)

    noted = _read(tmp_path)

    assert (noted.tasks, noted.missed) == (500, 0)
    assert _task(noted, 11, 4991) == "task 499"


def test_tasks_without_room_are_counted(tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes nothing from the worker, and is told."""

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    for number in range(20_000):
        spool.end(spool.begin(11, f"a task with a name of some length {number}"))

    noted = _read(tmp_path)

    assert noted.missed > 0
    assert noted.tasks + noted.missed == 20_000


def test_a_file_there_is_no_room_for_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose memory is full says so, and what the others have noted can be read."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    other = Spool(tmp_path / "b.spans", ABOUT)
    other.end(other.begin(11, "done", at=100), at=200)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        Spool(tmp_path / "a.spans", ABOUT)

    assert [path.name for path in tmp_path.iterdir()] == ["b.spans"]
    assert _task(_read(tmp_path), 11, 150) == "done"


def test_threads_note_themselves(tmp_path: Path, spool: Spool) -> None:
    """The dictionary of the running tasks is what it was for everybody else, and the one from before too."""
    before: dict[int, object] = {}
    notes = Notes(before, spool, lambda: 11)
    notes[1] = ("read", 0)
    running = dict(notes), dict(before)
    del notes[1]

    assert running == ({1: ("read", 0)}, {1: ("read", 0)})
    assert (notes, before, notes.noted) == ({}, {}, {"('read', 0)"})
    assert _read(tmp_path).tasks == 1


def test_two_traces_note_the_same_tasks(tmp_path: Path, spool: Spool) -> None:
    """A second trace stands on the first one's dictionary, and neither lacks a task, whichever ends first."""
    other = Spool(tmp_path / "b.spans", ABOUT)
    first = Notes({}, spool, lambda: 11)
    second = Notes(first, other, lambda: 11)
    second[1] = "a"
    del second[1]
    second.stop()
    second[1] = "b"
    del second[1]

    assert [read([tmp_path / f"{name}.spans"]).tasks for name in "ab"] == [2, 1]


def test_tasks_of_before_are_left_out(tmp_path: Path, spool: Spool) -> None:
    """Who goes on with a trace has those that ended since, and those that run."""
    spool.end(spool.begin(7, "before", at=10), at=20)
    spool.end(spool.begin(7, "over the change", at=21), at=40)
    spool.begin(8, "still", at=11)
    spool.begin(0, "on the loop", at=12)
    spool.begin(0, "later", at=41)
    noted = read(tmp_path.glob("*"), since=30)

    assert noted.tasks == 2
    assert noted.unstamped == ("later",)
    assert [_task(noted, tid, at) for tid, at in ((7, 15), (7, 35), (8, 35))] == ["", "over the change", "still"]


def test_a_task_without_a_thread_is_named(tmp_path: Path, spool: Spool) -> None:
    """What ran on the event loop has a name, and no rows."""
    spool.begin(0, "async-task-1")

    noted = _read(tmp_path)

    assert (noted.tasks, noted.unstamped) == (0, ("async-task-1",))

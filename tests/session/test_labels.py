"""What processes have written of their labels, and the rows it is joined with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ior_nb.runtime import EventBatch, labellog
from ior_nb.runtime.clock import FOR_EVER
from ior_nb.runtime.labellog import Change, Log
from ior_nb.session.labels import Labels
from tests.fakes import batch


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of logs that no other process writes to."""
    found = tmp_path / "logs"
    monkeypatch.setattr(labellog, "folder", lambda: found)
    return found


@pytest.fixture
def labels(place: Path) -> Iterator[Labels]:
    """What reads them, as long as a trace lasts."""
    found = Labels()
    found.begin()
    yield found
    found.end()


class Process:
    """A process that writes, whatever its number, from some time on."""

    def __init__(self, place: Path, number: int, began: int = 1) -> None:
        self._log = Log()
        before = Path(self._log._place / f"{self._log._name}-0")
        before.rename(place / f"{number}-{began}-0")

    def says(self, when: int, thread: int, text: str) -> None:
        self._log.add(Change(when, thread, text), {})


def _labelled(labels: Labels, rows: EventBatch, deaths: tuple[tuple[int, int], ...] = ()) -> list[str]:
    found: list[str] = labels.stamp(rows, list(deaths)).text("label").tolist()
    return found


def test_rows_have_what_their_threads_were_in_when_they_began(labels: Labels, place: Path) -> None:
    """By thread and by time, of every process that wrote something."""
    one, two = Process(place, 100), Process(place, 200)
    one.says(1000, 101, "a")
    one.says(2000, 101, "")
    two.says(1500, 200, "b")
    rows = batch(
        time_ns=[999, 1000, 1999, 2000, 1700, 1700, 1700],
        pid=[100, 100, 100, 100, 100, 200, 300],
        tid=[101, 101, 101, 101, 100, 200, 300],
    )

    assert _labelled(labels, rows) == ["", "a", "a", "", "", "b", ""]


def test_what_is_said_meanwhile_is_in_the_next_rows(labels: Labels, place: Path) -> None:
    """A label that goes on has been read before it ends."""
    process = Process(place, 100)
    process.says(1000, 100, "a")
    before = _labelled(labels, batch(time_ns=[1500], pid=[100], tid=[100]))
    process.says(2000, 100, "b")

    assert before == ["a"]
    assert _labelled(labels, batch(time_ns=[1600, 2500], pid=[100, 100], tid=[100, 100])) == ["a", "b"]


def test_rows_without_labels_are_as_they_were(labels: Labels) -> None:
    """Where nobody labels, no column is made."""
    rows = batch(time_ns=[1], pid=[100], tid=[100])

    assert labels.stamp(rows, []) is rows


def test_rows_of_another_time_have_their_own(place: Path) -> None:
    """A trace whose rows are played does not read what processes say now."""
    Process(place, 100).says(0, 100, "now")
    rows = batch(time_ns=[1], pid=[100], tid=[100])

    assert Labels().stamp(rows, []) is rows


def test_a_shared_label_is_that_of_threads_and_children(labels: Labels, place: Path) -> None:
    """Of all generations, and only as long as it lasts; what they say stands below it."""
    parent, child = Process(place, 100), Process(place, 200)
    parent.says(1000, 0, "epoch 1")
    parent.says(2000, 0, "epoch 2")
    child.says(1500, 200, "batch 7")
    rows = batch(
        time_ns=[900, 1100, 1100, 1600, 2100, 1100, 2100, 1100],
        pid=[100, 100, 200, 200, 200, 300, 300, 900],
        ppid=[1, 1, 100, 100, 100, 200, 200, 1],
        tid=[100, 105, 200, 200, 200, 300, 300, 900],
    )

    assert _labelled(labels, rows) == [
        *["", "epoch 1", "epoch 1", "epoch 1/batch 7", "epoch 2/batch 7", "epoch 1", "epoch 2", ""]
    ]


def test_shared_labels_of_children_stand_below_their_parents(labels: Labels, place: Path) -> None:
    """The oldest process comes first."""
    parent, child = Process(place, 100), Process(place, 50)
    parent.says(0, 0, "run")
    child.says(0, 0, "stage")
    child.says(0, 51, "step")
    rows = batch(time_ns=[1, 1, 1], pid=[50, 50, 100], ppid=[100, 100, 1], tid=[50, 51, 100])

    assert _labelled(labels, rows) == ["run/stage", "run/stage/step", "run"]


def test_a_child_whose_parent_has_ended_is_still_its_child(labels: Labels, place: Path) -> None:
    """Whose child it was its first rows say; later the kernel gives it another parent."""
    Process(place, 100).says(0, 0, "run")
    _labelled(labels, batch(time_ns=[1], pid=[200], ppid=[100], tid=[200]))

    assert _labelled(labels, batch(time_ns=[2], pid=[200], ppid=[1], tid=[200])) == ["run"]


def test_a_number_given_again_has_no_label_of_the_dead(labels: Labels, place: Path) -> None:
    """A process killed in the course of a label, or an own one, takes it along."""
    process = Process(place, 200)
    process.says(0, 200, "killed")
    process.says(0, 0, "all")
    before = _labelled(labels, batch(time_ns=[1], pid=[200], ppid=[100], tid=[200]))
    rows = batch(time_ns=[5, 20], pid=[200, 200], ppid=[100, 100], tid=[200, 200])

    assert before == ["all/killed"]
    assert _labelled(labels, rows, ((200, 10),)) == ["all/killed", ""]


def test_each_that_had_a_number_has_its_own_labels(labels: Labels, place: Path) -> None:
    """Also where all is read at once, as at the end of a trace, and their threads had one number too."""
    for began in (10, 50):
        process = Process(place, 200, began)
        process.says(began, 201, f"at {began}")
        process.says(began, 0, "all")
    rows = batch(time_ns=[15, 30, 55, 80], pid=[200] * 4, ppid=[100] * 4, tid=[201] * 4)

    assert _labelled(labels, rows, ((200, 20), (200, 60))) == ["all/at 10", "", "all/at 50", ""]


def test_the_log_of_who_has_the_number_now_stays(labels: Labels, place: Path) -> None:
    """What goes is that of the process that has ended; the other is still writing."""
    Process(place, 200, 10).says(10, 200, "killed")
    now = Process(place, 200, 50)
    labels.stamp(batch(), [(200, 20)])
    now.says(60, 200, "now")

    assert [began for _, began, *_ in labellog.files(place)] == [50]
    assert _labelled(labels, batch(time_ns=[15, 30, 70], pid=[200] * 3, tid=[200] * 3)) == ["killed", "", "now"]


def test_who_was_killed_before_a_trace_labels_none_of_its_rows(place: Path) -> None:
    """Not those of the process that has its number by now either, while another trace keeps what it said."""
    labellog.mark()
    Process(place, os.getpid(), 1).says(1, os.getpid(), "killed")
    labels = Labels()
    labels.begin()

    assert _labelled(labels, batch(time_ns=[5], pid=[os.getpid()], tid=[os.getpid()])) == [""]


def test_what_the_dead_said_is_kept_for_their_rows_and_not_in_memory(labels: Labels, place: Path) -> None:
    """A file is read, and gone, when its process has ended: workers may be many. Its last rows may come later."""
    process = Process(place, 200)
    process.says(0, 200, "short")
    process.says(0, 0, "all")
    labels.stamp(batch(), [(200, 10)])

    assert list(labellog.files(place)) == []
    assert _labelled(labels, batch(time_ns=[5], pid=[200], tid=[200])) == ["all/short"]


def test_what_another_trace_may_read_stays(labels: Labels, place: Path) -> None:
    """While two traces live no file goes."""
    Process(place, 200).says(0, 200, "short")
    labellog.mark()
    labels.stamp(batch(), [(200, 10)])

    assert [process for process, *_ in labellog.files(place)] == [200]


def test_a_log_that_is_full_is_told(labels: Labels, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace says which process's rows lack labels."""
    monkeypatch.setattr(labellog, "_MOST", 1)
    process = Process(place, 200)
    for n in range(100):
        process.says(n, 200, "x" * 1000)
    labels.stamp(batch(time_ns=[FOR_EVER - 1], pid=[200], tid=[200]), [])

    assert labels.notes() == ("process 200 has more labels than are kept: its later rows have none",)


def test_labels_that_overlapped_are_told(labels: Labels, place: Path) -> None:
    """The trace says of which process, and no thread has the number that stands for it."""
    process = Process(place, 200)
    process.says(1, 200, "a")
    process.says(2, labellog.OVERLAP, "")
    rows = labels.stamp(batch(time_ns=[5, 6], pid=[200, 200], tid=[200, labellog.OVERLAP]), [])

    assert list(rows.text("label")) == ["a", ""]
    assert [note.partition(" had ")[0] for note in labels.notes()] == ["process 200"]


def test_a_folder_that_cannot_be_used_is_told(place: Path) -> None:
    """The trace goes on, and says that its rows have no labels."""
    place.write_text("")
    labels = Labels()

    labels.begin()

    assert labels.notes() == (f"rows have no labels: it is no folder of this user alone: {place}",)

"""How far a long work has come: shown after a second where somebody sees it, never where nobody does."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from ior_nb.runtime import progress
from ior_nb.runtime.progress import Line, Step
from tests.fakes import batch


class Shown:
    """A bar that remembers."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.closed = 0

    def show(self, step: Step) -> None:
        """Remember it."""
        self.texts.append(step.text())

    def close(self) -> None:
        """Count it."""
        self.closed += 1


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """A bar that all works have."""
    shown = Shown()
    monkeypatch.setattr(progress, "_bar", lambda: shown)
    return shown


def seconds(*times: float) -> Iterator[float]:
    """Yield what a clock says, the last for ever."""
    yield from times
    while True:
        yield times[-1]


def test_a_work_shows_its_bar_after_a_second_with_the_time_that_is_left(bar: Shown) -> None:
    """Nothing within the first second; then how much is done of how much, at the speed so far; at last no bar."""
    clock = seconds(0, 0, 0.5, 2, 4)
    with progress.work("files", clock=lambda: next(clock)):
        pieces = list(progress.over([10, 30, 60], lambda size: size))

    assert pieces == [10, 30, 60]
    assert bar.texts == ["files: 40 of 100 rows, 3 s left", "files: 100 of 100 rows, 0 s left"]
    assert bar.closed == 1


def test_an_interrupt_ends_the_work_and_takes_the_bar_away(bar: Shown) -> None:
    """What ends a work ends its bar, also while somebody still holds what went over the pieces."""
    clock = seconds(0, 0, 5)
    held = []

    def go() -> None:
        with progress.work("files", clock=lambda: next(clock)):
            held.append(progress.over([1, 1, 1], lambda size: size))
            list(zip(held[0], range(2), strict=False))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go()

    assert len(bar.texts) == 1
    assert bar.closed == 1


def test_a_work_inside_another_has_no_bar_of_its_own(bar: Shown) -> None:
    """An export that asks for a summary is one work, of the outer name."""
    clock = seconds(0, 9)
    with progress.work("export", clock=lambda: next(clock)), progress.work("summary"):
        progress.reached(1, 2)

    assert bar.texts == ["export: 1 of 2 rows"]


def test_other_threads_show_nothing(bar: Shown) -> None:
    """What a thread beside the main one goes over has no bar: nobody waits for it in a cell."""

    def go() -> None:
        clock = seconds(0, 9)
        with progress.work("files", clock=lambda: next(clock)):
            list(progress.over([1, 1], lambda size: size))

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()

    assert bar.texts == []


def test_nothing_is_written_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script whose output goes into a pipe or file gets no line."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setattr(progress, "_bar", Line.of_terminal)
    clock = seconds(0, 9)
    with progress.work("files", clock=lambda: next(clock)):
        list(progress.over([1, 1], lambda size: size))

    assert written.getvalue() == ""


def test_a_terminal_has_one_line_that_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step takes the place of the one before, and at the end there is nothing."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    written = Terminal()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setattr(progress, "_bar", Line.of_terminal)
    clock = seconds(0, 1, 2, 3)
    with progress.work("files", clock=lambda: next(clock)):
        list(progress.over([1, 1], lambda size: size))

    shown = written.getvalue().split("\r\x1b[K")
    assert shown == ["", "files: 0 of 2 rows", "files: 1 of 2 rows, 1 s left", "files: 2 of 2 rows, 0 s left", ""]


def test_tables_of_a_trace_are_works(bar: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks a trace sees which question it is, without that question knowing of bars."""
    from ior_nb.result.trace import Trace
    from ior_nb.runtime import Accounting

    monkeypatch.setattr(progress, "_AFTER_S", 0)
    rows = batch(file=["/a", "/b"])
    trace = Trace(title="t", scope="", engine="")
    trace.stand_for(rows, count=lambda: 2, books=Accounting)
    trace.finish(window=(0, 1), counters={})
    assert trace.files()["file"].tolist() == ["/a", "/b"]

    assert bar.texts[0].startswith("files: ")

"""Sums by line of Python."""

from __future__ import annotations

import pytest

from ior_nb.runtime import EventBatch
from ior_nb.runtime.stacks import Frame, written
from ior_nb.sinks.statsengine import Statistics, lines
from tests.fakes import batch

MINE, THEIRS = Frame("load;(x)", "/home/ada/a.py", 3), Frame("read", "/x/site-packages/y.py", 9)


def rows(*stacks: list[Frame]) -> EventBatch:
    """Return a read of 10 bytes and 5 ns for each stack."""
    count = len(stacks)
    return batch(
        syscall=["read"] * count,
        time_ns=list(range(1000, 1000 + count)),
        latency_ns=[5] * count,
        bytes=[10] * count,
        stack=[written(frames) for frames in stacks],
    )


def test_every_call_is_of_the_user_s_own_line_or_of_none() -> None:
    """Stacks that meet in one line are one row; the rows of the table add up to all calls."""
    statistics = Statistics(clock=lambda: 2000)

    statistics.ingest(rows([MINE, THEIRS], [MINE], [Frame("<module>", "/home/ada/a.py", 1)], []))
    found = statistics.snapshot(by="bytes").lines

    assert [(row.function, row.line, row.count, row.bytes_read, row.special) for row in found] == [
        ("load;(x)", 3, 2, 20, ""),
        ("<module>", 1, 1, 10, ""),
        ("(no Python)", 0, 1, 10, "none"),
    ]


def test_what_imports_make_is_one_row() -> None:
    """No line has the cost of an import; what a module of the user's does meanwhile is its own line's."""
    statistics = Statistics(clock=lambda: 2000)
    importing = Frame("_find_and_load", "<frozen importlib._bootstrap>", 7)

    statistics.ingest(rows([MINE, importing, THEIRS], [MINE, importing], [THEIRS, importing, MINE], [MINE]))
    found = statistics.snapshot().lines

    assert {(row.function, row.file, row.line, row.count) for row in found} == {
        ("(imports)", "", 0, 2),
        ("load;(x)", "/home/ada/a.py", 3, 2),
    }


def test_without_stacks_all_calls_are_of_none() -> None:
    """A trace without stacks has the one row, and pays next to nothing for it."""
    statistics = Statistics(clock=lambda: 2000)

    statistics.ingest(batch(syscall=["read"] * 7, time_ns=[1000] * 7))

    assert [(row.special, row.count) for row in statistics.snapshot().lines] == [("none", 7)]


def test_memory_is_bounded_and_sums_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """More lines than are kept apart, and more stacks than are remembered: the sums are those of all calls."""
    monkeypatch.setattr(lines, "_STACKS", 8)
    statistics = Statistics(clock=lambda: 2000, lines=4)

    for start in range(0, 600, 20):
        statistics.ingest(rows(*([Frame("f", "/a.py", n), THEIRS] for n in range(start, start + 20))))
        statistics.snapshot()
    found = statistics.snapshot().lines

    assert sum(row.count for row in found) == 600
    assert found[-1].special == "other"
    assert len(statistics._lines.names) <= 4 * 4 + 21

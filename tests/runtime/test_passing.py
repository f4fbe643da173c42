"""Rows that pass a filter, of pieces that are read anew each time."""

from __future__ import annotations

import numpy as np
import pytest

from ior_nb.runtime import EventBatch, Filter, passing
from ior_nb.runtime.batch import Source
from ior_nb.runtime.filter import Errors
from ior_nb.runtime.passing import Passing
from ior_nb.runtime.rows import read
from tests.fakes import batch


class Piece:
    """Rows that say what was read of them."""

    def __init__(self, rows: EventBatch) -> None:
        self.rows = rows
        self.asked: list[str] = []

    def read(self, *columns: str) -> EventBatch:
        self.asked += columns
        return self.rows.read(*columns)

    def some(self, which: np.ndarray, *columns: str) -> EventBatch:
        return self.read(*columns).take(which)

    def size(self) -> int:
        return len(self.rows)

    def source(self) -> Source:
        return self.rows.source()

    def bounds(self, column: str) -> None:
        return None


class Pieces:
    """A few of them."""

    def __init__(self, count: int) -> None:
        failed: list[object] = [False, True, True]
        self.each = [Piece(batch(pid=[at, at + 10, at + 20], is_error=failed, ret=[0, -1, -1])) for at in range(count)]

    def pieces(self) -> list[Piece]:
        return self.each


def pids(rows: Passing) -> list[int]:
    """Return the column `pid`."""
    return [pid for part in read(rows, "pid") for pid in part["pid"].tolist()]


def test_what_passes_is_found_out_once() -> None:
    """The second question reads its own columns alone."""
    pieces = Pieces(2)
    rows = Passing(pieces, Filter(Errors()))
    first = pids(rows)

    assert first == pids(rows) == [10, 20, 11, 21]
    assert pieces.each[0].asked == ["is_error", "probe", "pid", "pid"]


def test_what_there_is_no_room_for_is_found_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many pieces only the last ones are remembered, and the answer is the same."""
    monkeypatch.setattr(passing, "_MOST_KNOWN", 300)
    pieces = Pieces(3)
    rows = Passing(pieces, Filter(Errors()))
    first = pids(rows)

    assert first == pids(rows) == [10, 20, 11, 21, 12, 22]
    assert [piece.asked.count("is_error") for piece in pieces.each] == [2, 2, 2]

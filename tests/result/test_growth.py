"""What questions hold while they look at the rows: as much as there is to be told of, however many rows there are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ior_nb.export.stacks import stacks, tree
from ior_nb.result import tables
from ior_nb.runtime import EventBatch, new_tables
from ior_nb.runtime.rows import Rows

_MANY = 1 << 17
_PIECES = 8
_FILES = 1 << 13


@dataclass(frozen=True)
class _Made:
    """Pieces that are made when they are asked for."""

    make: Callable[[int], EventBatch]
    count: int = _PIECES

    def pieces(self) -> Iterator[EventBatch]:
        return map(self.make, range(self.count))


def _held(ask: Callable[[], Any]) -> tuple[Any, int]:
    """Return an answer, and the most bytes there were while it was looked for."""
    tracemalloc.start()
    try:
        found = ask()
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _reads(*, apart: bool) -> Callable[[int], EventBatch]:
    """Return how to make pieces of reads of files by threads, each with another: or all pieces are the same.

    No range that is read touches another one of its file.
    """
    text = new_tables()
    names = text["file"].intern_many([f"/data/{number}" for number in range(_FILES)])
    read, done = text["syscall"].intern("read"), text["state"].intern("done")

    def made(piece: int) -> EventBatch:
        number = np.arange(_MANY) + (piece * _MANY if apart else 0)
        thread = number // _FILES
        found = {"file": names[number % _FILES], "tid": thread, "pid": thread % 50, "offset": thread * 10}
        same = {"syscall": read, "state": done, "bytes": 4, "latency_ns": 1_000}
        return EventBatch(found | {name: np.broadcast_to(value, _MANY) for name, value in same.items()}, text)

    return made


def _graph(rows: Rows) -> Any:
    return tree(stacks(rows, "pid,tid,syscall,file", ["count"]))


@pytest.mark.parametrize("ask", [_graph, tables.files], ids=["flame graph", "files"])
def test_more_rows_of_the_same_take_no_more_memory(ask: Callable[[Rows], Any]) -> None:
    """A question keeps what it tells rows apart by, and a piece of them."""
    made = _reads(apart=False)
    few, many = _held(lambda: ask(_Made(made, 6)))[1], _held(lambda: ask(_Made(made, 24)))[1]

    assert many < 1.1 * few


def test_a_flame_graph_holds_little_more_than_its_frames() -> None:
    """In the end 32 bytes for each: its place, its name and its weight; on the way what rows are looked up in."""
    nodes, held = _held(lambda: _graph(_Made(_reads(apart=True))))
    frames = len(nodes.parents)

    assert frames > _PIECES * _MANY
    assert held < 110 * frames


def test_ranges_that_were_read_are_put_together_in_little_more_memory_than_they_take() -> None:
    """Of each its file, its begin and its end, once united and once waiting: the rest of the work is done by parts."""
    table, held = _held(lambda: tables.files(_Made(_reads(apart=True))))

    assert table["reread_bytes"].sum() == 0
    assert held < 2.5 * 24 * _PIECES * _MANY

"""Rows in memory: what they take, and when they have to go."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from ior_nb.result import held
from ior_nb.result.held import Held
from ior_nb.runtime import EventBatch, StringTable, new_tables


def numbered(first: int, count: int, tables: dict[str, StringTable] | None = None) -> EventBatch:
    """Return rows with numbers."""
    return EventBatch({"seq": np.arange(first, first + count, dtype=np.uint64)}, tables or new_tables())


def test_small_batches_are_joined_in_order() -> None:
    """A slow trace of a million batches of a row takes what its rows take, and loses none of them."""
    tables = new_tables()
    rows = Held()
    for number in range(5_000):
        rows.add(numbered(number, 1, tables))

    assert len(rows.batches) < 20
    assert rows.rows == 5_000
    assert rows.nbytes < 5_000 * 8 + 20 * 128 * 40 + 20_000
    assert rows.joined()["seq"].tolist() == list(range(5_000))


def test_large_batches_stay_as_they_are() -> None:
    """Joining copies; what came in large pieces is not copied."""
    tables = new_tables()
    batches = [numbered(n, 4_096, tables) for n in range(4)]
    rows = Held()
    for batch in batches:
        rows.add(batch)

    assert [id(b) for b in rows.batches] == [id(b) for b in batches]


def test_what_is_counted_is_what_is_taken() -> None:
    """The bytes of batches with their strings are those the interpreter counts, within a tenth."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tables = new_tables()
    rows = Held()
    files = np.empty(0, np.int32)
    for number in range(8):
        files = tables["file"].intern_many([f"/some/folder/with/a/long/name/{number}/{i}.txt" for i in range(5_000)])
        rows.add(EventBatch({"file": files, "seq": np.arange(5_000, dtype=np.uint64)}, tables))
    del files
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert rows.nbytes == pytest.approx(taken, rel=0.1)


def test_strings_count_towards_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows whose names are long go earlier than rows without; a table goes when the last batch of it does."""
    monkeypatch.setattr(held, "most_bytes", lambda: 4_000_000)
    rows = Held()
    gone, tables = 0, new_tables()
    for number in range(20):
        tables = new_tables()
        files = tables["file"].intern_many([f"{number}{i:0500}" for i in range(4_096)])
        gone += rows.add(EventBatch({"file": files}, tables))

    assert rows.nbytes <= 4_000_000
    assert gone == 4_096 * 19
    assert len(rows._tables) == len({id(t) for t in tables.values()})


def test_a_last_batch_stays_however_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came last is never let go."""
    monkeypatch.setattr(held, "most_bytes", lambda: 1)
    rows = Held()

    assert rows.add(numbered(0, 10)) == 0
    assert rows.add(numbered(10, 5_000)) == 10
    assert rows.rows == 5_000

"""Batches that wait for others."""

from __future__ import annotations

from ior_nb.result.tallies import Tallies
from ior_nb.runtime import new_tables
from ior_nb.runtime.waiting import Waiting
from tests.fakes import batch


def test_batches_wait_until_there_are_enough_rows() -> None:
    """All rows come out once, in order, with the columns that are looked at: when they are enough, or asked for."""
    waiting, tables = Waiting(("pid", "file", "pid"), enough=4), new_tables()
    parts = [batch(tables, pid=[*pids], file=[f"/{pid}" for pid in pids]) for pids in ((1, 2), (3,), (4, 5, 6), (7,))]
    out = [waiting.add(part) for part in parts]
    rest = waiting.taken()

    assert [found and found["pid"].tolist() for found in out] == [None, None, [1, 2, 3, 4, 5, 6], None]
    assert out[2] is not None
    assert list(out[2].columns) == ["pid", "file"]
    assert rest is not None
    assert rest.text("file").tolist() == ["/7"]
    assert waiting.taken() is None


def test_a_batch_of_enough_rows_waits_for_nobody() -> None:
    """It comes back itself, so that whoever counts it shares what others found in it; what waits comes first."""
    waiting, tables = Waiting(("pid",), enough=2), new_tables()
    enough, few = batch(tables, pid=[1, 2]), batch(tables, pid=[3])

    assert waiting.add(enough) is enough
    assert waiting.add(few) is None
    assert (joined := waiting.add(enough)) is not None
    assert joined["pid"].tolist() == [3, 1, 2]


def test_a_summary_has_the_rows_that_wait() -> None:
    """Whoever asks what was added up finds every row, however small the last batches were."""
    tallies = Tallies()
    for _ in range(5):
        tallies.add(batch(syscall=["read"], file=["/a"], pid=[1]))

    assert tallies.of_all()[0].counted()["read"]["calls"] == 5
    assert tallies.of_all()[0].counted()["read"]["calls"] == 5

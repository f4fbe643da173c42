from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.runtime import new_tables
from ior_nb.sinks.streamrow import RingBuffer, Sequencer, warning, without_warnings
from tests.fakes import batch


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 20))
def test_ring_keeps_the_last_rows_in_order(sizes: list[int], capacity: int) -> None:
    """Whatever is pushed, the ring holds the last `capacity` rows, oldest first."""
    ring = RingBuffer(capacity)
    tables = new_tables()
    pushed: list[int] = []
    for size in sizes:
        rows = list(range(len(pushed), len(pushed) + size))
        pushed += rows
        ring.push(batch(tables, seq=list(rows)))

    assert ring.snapshot()["seq"].tolist() == pushed[-capacity:]
    assert len(ring) == min(len(pushed), capacity)
    assert ring.total_pushed == len(pushed)


def test_an_empty_ring_gives_an_empty_batch() -> None:
    """No rows is an empty batch, never None."""
    ring = RingBuffer()

    assert len(ring.snapshot()) == 0
    ring.push(batch(pid=[1]))
    ring.reset()
    assert (len(ring), ring.total_pushed) == (0, 0)


def test_a_ring_of_nothing_is_refused() -> None:
    """A capacity below one is a mistake."""
    with pytest.raises(ValueError, match="at least 1"):
        RingBuffer(0)


def test_sequence_numbers_are_unique_over_threads() -> None:
    """Every number is handed out once, the first being start + 1."""
    numbers = Sequencer(100)
    taken: list[int] = []
    threads = [threading.Thread(target=lambda: taken.extend(numbers.reserve(3) for _ in range(200))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert min(taken) == 101
    assert len(set(taken)) == 800
    assert numbers.reserve(1) == 101 + 3 * 800


def test_a_reader_of_the_ring_changes_nothing() -> None:
    """What a ring hands out cannot be written into: it may be the very rows of a trace."""
    ring = RingBuffer()
    ring.push(batch(pid=[1, 2]))

    with pytest.raises(ValueError, match="read-only"):
        ring.snapshot()["pid"][:] = 42
    assert ring.snapshot()["pid"].tolist() == [1, 2]


def test_numbers_are_never_given_back() -> None:
    """A count below nothing would number two rows alike, and is refused."""
    numbers = Sequencer()
    numbers.reserve(3)

    with pytest.raises(ValueError, match="cannot number -5 rows"):
        numbers.reserve(-5)
    assert numbers.reserve(1) == 4


def test_warnings_are_rows_of_the_stream_and_of_nothing_else() -> None:
    """A warning is shown among the rows, counted while it is held, and left out of what is saved."""
    ring = RingBuffer(3)
    ring.push(batch(pid=[1, 2], syscall=["read", "read"]))
    ring.push(warning("3 events were lost", 17))
    shown = ring.snapshot()

    assert ring.warning_count == 1
    assert (shown[2].syscall, shown[2].file, shown[2].comm, shown[2].fd) == ("warning", "3 events were lost", "ior", -1)
    assert len(without_warnings(ring.snapshot())) == 2
    ring.push(batch(pid=[3, 4, 5]))
    assert ring.warning_count == 0

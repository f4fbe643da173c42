"""How far apart two clocks are, and how sure that is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from ior_nb.dask.clocks import Difference, measured, to_scheduler


@settings(max_examples=30)
@given(st.integers(-(10**12), 10**12), st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**8)), min_size=16))
def test_the_difference_is_right_to_within_what_it_says(apart: int, ways: list[tuple[int, int]]) -> None:
    """However long each way takes, the true difference is never further off than the error told."""
    now = [0]
    trips: Iterator[tuple[int, int]] = iter(ways)

    async def ask() -> int:
        there, back = next(trips)
        now[0] += there
        answer = now[0] + apart
        now[0] += back
        return answer

    found = asyncio.run(measured(ask, clock=lambda: now[0]))

    assert abs(found.offset_ns - apart) <= found.error_ns
    assert found.error_ns <= (min(map(sum, ways[:16])) + 1) // 2


def test_a_scheduler_that_does_not_answer_has_no_clock() -> None:
    """The rows are there without it, and nothing is claimed of their times."""

    class Server:
        scheduler = None

    assert asyncio.run(to_scheduler(Server(), "run")) == Difference(0, -1)

"""Sums over no rows."""

from __future__ import annotations

from ior_nb.aggregate import counted
from tests.fakes import batch


def test_calls_in_flight_alone_are_no_calls_that_ended() -> None:
    """A batch of calls that have not returned adds up to nothing, whatever was measured of it."""
    rows = batch(syscall=["read"], state=["in flight"], ret=[0])

    assert counted(rows) == {}

"""A seat at another process's dispatcher as a text, and which calls the dispatcher knows to change names."""

from __future__ import annotations

import pytest

from ior_nb.engine.collector.machine import AT, MAPS, Seat
from ior_nb.engine.collector.program import SF_CHANGES_NAMES, SF_COMPAT_CHANGES_NAMES, SPEC, all_specs
from ior_nb.engine.collector.renames import changers

_FLAGS = 20  # among the words of a row of `specs`


def test_a_seat_survives_a_command_line() -> None:
    """What is read is what was written, so a collector has the descriptors it inherits."""
    seat = Seat(7, "raw", 3, 4, tuple(range(5, 5 + len(MAPS))), tuple(range(20, 20 + len(AT))))

    assert Seat.read(str(seat)) == seat
    assert len(seat.descriptors()) == len(set(seat.descriptors())) == 2 + len(MAPS) + len(AT)


@pytest.mark.parametrize("text", ["", "7", "7:raw", "7:raw:1:2:3", "0:raw" + ":1" * 11, "256:raw" + ":1" * 11])
def test_what_is_no_seat_is_refused(text: str) -> None:
    """Too few descriptors, or a number that no seat has, is an error."""
    with pytest.raises(ValueError, match=r"seat|unpack"):
        Seat.read(text)


@pytest.mark.parametrize("watches_ring", [True, False])
def test_the_dispatcher_knows_the_calls_that_a_trace_knows(watches_ring: bool) -> None:
    """The calls that change names are those whose rows in `specs` say so, of this machine and of 32-bit programs."""
    own, compat = changers(watches_ring=watches_ring)
    rows = all_specs([], {}, watches_ring=watches_ring)

    for numbers, flag in ((own, SF_CHANGES_NAMES), (compat, SF_COMPAT_CHANGES_NAMES)):
        said = {number for number in range(512) if numbers[number // 8] >> number % 8 & 1}
        assert said == {number for number, row in rows if SPEC.unpack(row)[_FLAGS] & flag}
        assert said

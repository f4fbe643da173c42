from __future__ import annotations

import pytest

from ior_nb.result.cells import as_text, of_trace, within
from ior_nb.result.trace import Trace
from ior_nb.runtime import Accounting
from ior_nb.runtime.clock import FOR_EVER
from tests.fakes import batch

RAN = [(3, 50, 90), (4, 100, 200), (5, 250, 300), (6, 300, 400), (4, 410, 420), (7, 430, FOR_EVER), (9, 600, 700)]


def trace_of(*, finished: bool) -> Trace:
    """Return a trace from 100 to 500 with rows of the cells 3, 4, 4 (in two batches), 6 and none."""
    found = Trace(title="t", scope="s", engine="e")
    found.window = (100, 100)
    found.add(batch(cell=[4, -1, 3], syscall=["read", "read", "read"], bytes=[10, 5, 1], is_error=[False] * 3))
    found.add(batch(cell=[4, 6], syscall=["write", "openat"], bytes=[7, 0], is_error=[False, True]))
    if finished:
        found.finish(window=(100, 500), accounting=Accounting(), counters={})
    return found


@pytest.mark.parametrize("finished", [True, False])
def test_cells_within_a_trace_have_their_sums(finished: bool) -> None:
    """A cell that ran to its end inside a trace has calls, errors, bytes and time of its own; each may be 0."""
    lines = within(trace_of(finished=finished), RAN, "so far")

    assert set(lines) == {4, 5, 6} | ({9} if not finished else set())
    four, five, six = lines[4], lines[5], lines[6]
    assert (four.calls, four.errors, four.bytes_read, four.bytes_written, four.took_ns) == (2, 0, 10, 7, 110)
    assert (five.calls, five.took_ns) == (0, 50)
    assert (six.calls, six.errors, six.took_ns) == (1, 1, 100)
    assert {line.completeness for line in lines.values()} == {"so far"}


def test_cells_of_a_trace_without_rows_are_not_said_to_have_made_no_calls() -> None:
    """Where no row was kept nobody knows of which cell a call was, and each line says so."""
    trace = trace_of(finished=False)
    trace.leave_rows()
    text = as_text(within(trace, RAN, "complete").values())

    for line in text.splitlines()[1:]:
        assert line.split()[1:6] == ["?"] * 5
        assert "the rows were not kept; complete" in line


def test_lines_of_cells_are_in_their_order() -> None:
    """The table has a head and a line a cell, by number, whatever order they come in."""
    own = of_trace(2, trace_of(finished=True))
    text = as_text([*within(trace_of(finished=True), RAN, "lost 3").values(), own])
    words = [line.split() for line in text.splitlines()]

    assert words[0][0] == "cell"
    assert [w[0] for w in words[1:]] == ["2", "4", "5", "6"]
    assert words[1][-1] == "complete"
    assert words[2][-2:] == ["lost", "3"]

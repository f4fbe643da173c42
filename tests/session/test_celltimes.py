"""When which cell ran, so that a row finds its cell by its time."""

from __future__ import annotations

import numpy as np
import pytest

from ior_nb.session.celltimes import CellTimes


@pytest.mark.parametrize("times", [[130, 160, 210, 310], [160, 170], [160, 310], [210], [310], [90, 205]])
def test_a_cell_goes_on_when_one_that_it_ran_has_ended(monkeypatch: pytest.MonkeyPatch, times: list[int]) -> None:
    """A row has the innermost cell of its time, whichever rows stand beside it."""
    clock = iter([100, 120, 150, 200, 300, 320])  # 1 from 100 to 200, in it 2 from 120 to 150, later 3
    monkeypatch.setattr("ior_nb.session.celltimes.boot_clock", lambda: next(clock))
    cells = CellTimes()
    outer, inner = cells.begin(1), cells.begin(2)
    cells.end(inner)
    cells.end(outer)
    cells.end(cells.begin(3))
    found = cells.of(np.array(times, np.uint64))

    right = {90: -1, 130: 2, 160: 1, 170: 1, 205: -1, 210: -1, 310: 3}
    assert found is not None
    assert found.tolist() == [right[time] for time in times]

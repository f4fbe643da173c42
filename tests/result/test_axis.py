"""Recordings of several machines on one time axis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ior_nb
from ior_nb.result.axis import Axis
from ior_nb.runtime import EventBatch
from ior_nb.runtime.ids import pid_namespace
from tests.engine.test_replay import STEP, events, record
from tests.fakes import batch

WALL = 1_764_000_000 * 10**9
SECOND = 10**9


def footer(host: str, wall: int, boot: int, *, boot_id: str = "", end: tuple[int, int] | None = None) -> dict[str, str]:
    """Return what a recording says of its clocks."""
    ended = {"ior_nb.ended_at_unix_nano": str(end[0]), "ior_nb.ended_at_boot_nano": str(end[1])} if end else {}
    begun = {"ior_nb.started_at_unix_nano": str(wall), "ior_nb.started_at_boot_nano": str(boot)}
    return {"ior_nb.version": "0", "ior_nb.hostname": host, "ior_nb.boot_id": boot_id} | begun | ended


def times(*values: int) -> EventBatch:
    """Return rows of these times."""
    return batch(seq=[0] * len(values)).with_columns(time_ns=np.array(values, np.uint64))


def test_calls_of_one_moment_on_two_machines_have_one_time(tmp_path: Path) -> None:
    """Whatever their boot clocks say, calls of the same moment have the same `time_ns`, and later ones more."""
    young, old = 100 * SECOND, 5_000 * SECOND
    for host, boot, late in (("ada", young, 0), ("bob", old, STEP // 2)):
        rows = events(3)
        moved = rows.with_columns(time_ns=rows["time_ns"] - rows["time_ns"][0] + np.uint64(boot + late))
        record(tmp_path / host, moved, metadata=footer(host, WALL, boot, end=(WALL + 5 * SECOND, boot + 5 * SECOND)))
    found = ior_nb.load(tmp_path)

    assert found.batch["time_ns"].tolist() == [
        *(old + i * STEP for i in range(3)),
        *(old + STEP // 2 + i * STEP for i in range(3)),
    ]
    assert found.window == (old, old + 5 * SECOND)
    assert found.began == (WALL, old)
    assert found.ended == (WALL + 5 * SECOND, old + 5 * SECOND)
    assert found.timeline(1)["calls"].sum() == 6


def test_wall_clock_that_is_set_moves_nothing_on_one_machine() -> None:
    """Recordings of one run of a machine share its boot clock, whatever becomes of its wall clock."""
    axis = Axis(
        [footer("ada", WALL, SECOND, boot_id="x"), footer("renamed", WALL - 3600 * SECOND, 9 * SECOND, boot_id="x")]
    )
    rows = times(9 * SECOND)

    assert axis.moved(1, rows) is rows
    assert axis.notes == ()
    assert axis.common


def test_machine_that_started_anew_has_another_clock() -> None:
    """The same name with another boot is another clock."""
    axis = Axis([footer("ada", WALL, 90 * SECOND, boot_id="x"), footer("ada", WALL + 60 * SECOND, SECOND, boot_id="y")])

    assert axis.moved(1, times(2 * SECOND))["time_ns"].tolist() == [151 * SECOND]
    assert axis.notes == ("several machines on one time axis, as exact as their wall clocks are",)


def test_clocks_that_drift_are_brought_together_at_both_ends() -> None:
    """Between the two pairs of a footer the difference of the clocks grows in a straight line, and not beyond them."""
    fast = footer("bob", WALL, 10 * SECOND, end=(WALL + 100 * SECOND + 2_000, 110 * SECOND))
    axis = Axis([footer("ada", WALL, 10 * SECOND), fast])
    moved = axis.moved(1, times(10 * SECOND, 60 * SECOND, 110 * SECOND, 200 * SECOND))

    assert moved["time_ns"].tolist() == [
        10 * SECOND,
        60 * SECOND + 1_000,
        110 * SECOND + 2_000,
        200 * SECOND + 2_000,
    ]


def test_a_wall_clock_that_is_set_back_turns_no_times_around() -> None:
    """Later calls of a machine stay later: its clock at the start is believed throughout."""
    axis = Axis(
        [
            footer("ada", WALL, 100 * SECOND),
            footer("bob", WALL, 50 * SECOND, end=(WALL - 10 * SECOND, 52 * SECOND)),
        ]
    )

    assert axis.moved(1, times(50 * SECOND, 52 * SECOND))["time_ns"].tolist() == [100 * SECOND, 102 * SECOND]
    assert axis.window(1, (50 * SECOND, 52 * SECOND)) == (100 * SECOND, 102 * SECOND)


def test_clocks_that_are_not_known_are_left_alone_and_named() -> None:
    """Where one recording does not say when it began, every time stays as recorded, and the trace says so."""
    axis = Axis([footer("ada", WALL, SECOND), {"ior.hostname": "gopher"}])
    rows = times(7)

    assert axis.moved(0, rows) is rows
    assert not axis.common
    assert "no common time" in axis.notes[0]


@pytest.mark.parametrize("boot", [-1, 0, 2**62, 2**63 - 1])
@pytest.mark.parametrize("wall", [-(2**62), 0, 5, 2**62, 2**63 - 1])
def test_footers_that_lie_move_nothing_out_of_range(wall: int, boot: int) -> None:
    """Whatever the footers say, the times are numbers that fit."""
    axis = Axis([footer("ada", WALL, SECOND, end=(wall, boot)), footer("bob", wall, boot, end=(WALL, SECOND))])
    moved = axis.moved(1, times(0, SECOND, 2**63, 2**64 - 1))

    assert len(moved) == 4
    assert axis.window(1, (0, 2**62))[0] >= 0


def test_live_trace_has_both_clocks_at_both_ends() -> None:
    """A trace's footer has its start and its end on the wall clock and on the boot clock, and which boot it was."""
    with ior_nb.trace(engine="demo") as t:
        pass
    pairs = t.metadata()
    began, ended = (
        (int(pairs[f"ior_nb.{what}_at_unix_nano"]), int(pairs[f"ior_nb.{what}_at_boot_nano"]))
        for what in ("started", "ended")
    )

    assert ended[0] - began[0] == pytest.approx(ended[1] - began[1], abs=SECOND // 10)
    assert began[0] / 1e9 == t.started_at
    assert pairs["ior_nb.boot_id"]
    assert pairs["ior_nb.pid_namespace"] == pid_namespace()

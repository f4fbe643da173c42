"""Trends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ior_nb.runtime.sheet.shown import trend
from tests.sinks.statsengine.events import SECOND, SLOT, START, Clock, Event, fed


def _series(before: Sequence[float], recent: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([*[0.0] * 79, *before, *recent, 999.0])
    return values, values > 0


@pytest.mark.parametrize(
    ("before", "recent", "direction", "delta"),
    [
        ([100.0] * 20, [100.0] * 20, "stable", 0.0),
        ([100.0] * 20, [104.0] * 20, "stable", 4.0),
        ([100.0] * 20, [150.0] * 20, "rising", 50.0),
        ([100.0] * 20, [50.0] * 20, "falling", -50.0),
        ([100.0] * 20, [0.0] * 19 + [100.0], "stable", 0.0),
        ([0.0] * 20, [100.0] * 20, "stable", 0.0),
        ([100.0] * 20, [0.0] * 20, "stable", 0.0),
    ],
    ids=["same", "under 5 %", "up", "down", "idle spell", "nothing before", "nothing now"],
)
def test_trend_compares_ten_seconds_without_empty_slots(
    before: list[float], recent: list[float], direction: str, delta: float
) -> None:
    """The means of the filled slots are compared; the slot still filling and half seconds without calls are not."""
    found = trend(*_series(before, recent))

    assert found.direction == direction
    assert found.delta_percent == pytest.approx(delta)


def test_trend_from_zero_is_a_rise_of_exactly_a_hundred() -> None:
    """Slots with calls that moved nothing are data; any rise from there is 100 %."""
    values, _ = _series([0.0] * 20, [5.0] * 20)

    assert trend(values, np.ones(120, bool)).delta_percent == 100.0
    assert trend(np.zeros(120), np.ones(120, bool)).direction == "stable"
    assert trend(np.ones(30), np.ones(30, bool)).direction == "stable"


def test_trends_of_a_run_follow_its_rows() -> None:
    """Latency that doubles while the gap halves is rising and falling; an idle second changes nothing."""
    clock = Clock(START + 20 * SECOND)
    events = [
        Event(time=START + i * SLOT, latency=200 if i >= 20 else 100, gap=50 if i >= 20 else 100, bytes=10)
        for i in range(40)
        if i not in (25, 26)
    ]
    _, found = fed([events], clock)

    assert (found.latency_trend.direction, found.latency_trend.delta_percent) == ("rising", 100.0)
    assert (found.gap_trend.direction, found.gap_trend.delta_percent) == ("falling", -50.0)
    assert found.throughput_trend.direction == "stable"

"""What holds for every panel there is."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import pytest

from ior_nb.widgets import PANELS, make_panel
from ior_nb.widgets.panel import Panel
from tests.widgets.conftest import refreshes
from tests.widgets.fake import FakeRuntime

Open = Callable[..., Panel]


@pytest.mark.parametrize("name", PANELS)
def test_an_error_stays_until_a_refresh_has_worked(
    name: str, runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be shown is tried again though nothing has changed since, also of a trace that has ended."""

    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    runtime.feed(runtime.calls(400))  # of every sort: some have failed
    runtime.control.running = False
    make = functools.partial(make_panel, name)
    panel, healthy = opened(make, runtime), opened(make, runtime)
    module = sys.modules[type(panel).__module__]
    packs = hasattr(module, "packed")
    with monkeypatch.context() as broken:
        broken.setattr(*(module, "packed", fail) if packs else (runtime.filters, "text", fail))
        for now in (1.0, 100.0):
            panel.refresh(now)
            assert panel.data["error"] == "broken"
    sent = refreshes(panel, 200.0)
    healthy.refresh(200.0)

    assert panel.data["error"] == ""
    assert panel.data.keys() == healthy.data.keys()
    assert any(any(buffers) for _, _, buffers in sent) or not packs
    assert panel.still() == healthy.still()

"""Panels without a kernel: the comm is a recorder, the runtime a fake, and nothing ticks but by the test's hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import comm
import pytest

from ior_nb.widgets.panel import Panel
from ior_nb.widgets.ticker import ticker
from tests.widgets.fake import FakeRuntime, RecordedComm


@pytest.fixture
def comms(monkeypatch: pytest.MonkeyPatch) -> type[RecordedComm]:
    """Where the messages of all panels go."""
    RecordedComm.log = []
    monkeypatch.setattr("ior_nb.widgets.panel._clock", lambda: 0.0)  # refreshes cost nothing, however busy the machine
    monkeypatch.setattr(comm, "create_comm", RecordedComm)
    monkeypatch.setattr(ticker, "add", lambda panel: None)
    return RecordedComm


@pytest.fixture
def runtime() -> FakeRuntime:
    """A runtime with nothing in it."""
    return FakeRuntime()


@pytest.fixture
def opened(comms: type[RecordedComm]) -> Iterator[Callable[..., Panel]]:
    """Make panels that are closed at the end, each with one view that has said hello."""
    made: list[Panel] = []

    def open_(kind: Callable[..., Panel], *args: Any, **kwargs: Any) -> Panel:
        panel = kind(*args, **kwargs)
        made.append(panel)
        panel.comm.push({"kind": "hello", "view": "v1", "visible": True})
        comms.log.clear()
        return panel

    yield open_
    for panel in made:
        panel.close()


def act(panel: Panel, what: str, **body: Any) -> str:
    """Do what a user would; return the error the page was told, empty without one."""
    start = len(RecordedComm.log)
    panel.comm.push({"kind": "act", "id": "1", "view": "v1", "what": what, "body": body})
    answers = [d["content"] for _, d, _ in RecordedComm.log[start:] if d.get("method") == "custom"]
    return next(str(a["error"]) for a in answers if a["kind"] == "done")


def refreshes(panel: Panel, now: float) -> list[Any]:
    """Refresh once at that time; return the messages that went out."""
    start = len(RecordedComm.log)
    panel.refresh(now)
    return RecordedComm.log[start:]

"""The probes panel: what is on, and what happens when a change is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ior_nb.errors import SourceError
from ior_nb.session.probemanager import Manager
from ior_nb.syscalls import SYSCALLS
from ior_nb.widgets.panel import Panel
from ior_nb.widgets.probes import ProbesPanel
from tests.widgets.conftest import act, refreshes
from tests.widgets.fake import FakeRuntime

Open = Callable[..., Panel]


def shown(panel: Panel) -> dict[str, bool]:
    """What the page shows as on, by name."""
    columns = panel.data["probes"]
    on = np.frombuffer(columns["on"]["b"], "u1")
    return dict(zip(columns["name"]["b"].decode().split("\0"), map(bool, on), strict=True))


def by_name(panel: Panel, key: str) -> dict[str, Any]:
    """Rates or errors by name."""
    names = list(shown(panel))
    return {names[i]: value for i, value in panel.data[key]}


def manager(runtime: FakeRuntime) -> Manager:
    """The probe control."""
    assert runtime.manager is not None
    return runtime.manager


def done(panel: Panel, what: str, **body: Any) -> str:
    """Act, and refresh as the ticker does then; return the error."""
    said = act(panel, what, **body)
    panel.refresh(0.0, force=True)
    return said


def refuse(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine refuse every change from now on."""

    def no(*_: Any) -> None:
        raise SourceError("the kernel refused <b>\u202e")

    monkeypatch.setattr(manager(runtime), "_apply", no)


def test_a_refresh_is_one_message_and_none_without_a_change(runtime: FakeRuntime, opened: Open) -> None:
    """One message for a change of probes or counts, none when nothing moved, none after close."""
    panel = opened(ProbesPanel, runtime)
    assert [d["method"] for _, d, _ in refreshes(panel, 1.0)] == ["update"]
    assert refreshes(panel, 10.0) == []
    runtime.feed(runtime.calls(10))
    assert len(refreshes(panel, 20.0)) == 1
    assert refreshes(panel, 30.0) == []
    panel.close()
    runtime.feed(runtime.calls(10))
    assert refreshes(panel, 40.0) == []


def test_every_probe_is_shown_by_family(runtime: FakeRuntime, opened: Open) -> None:
    """Families come largest first, their members by name; what is on, and the calls seen, stand with each."""
    panel = opened(ProbesPanel, runtime)
    runtime.feed(runtime.calls(30, syscall="read", family="FS"))
    panel.refresh(1.0)
    states = {s.syscall: s.active for s in manager(runtime).states()}
    names = list(shown(panel))
    families = panel.data["families"]
    called = panel.data["called"]

    assert shown(panel) == states
    assert families[0][0] == "FS"
    assert sum(size for _, size in families) == len(SYSCALLS)
    assert [size for _, size in families] == sorted((size for _, size in families), reverse=True)
    assert names[: families[0][1]] == sorted(c.name for c in SYSCALLS if c.family == "FS")
    assert names[int(np.frombuffer(called["at"]["b"], "i4")[0])] == "read"
    assert np.frombuffer(called["calls"]["b"], "f8").tolist() == [30]


def test_probes_are_switched_in_one_step(runtime: FakeRuntime, opened: Open) -> None:
    """Several names are one write into the engine, and so is a family."""
    panel = opened(ProbesPanel, runtime)
    panel.refresh(1.0)
    assert done(panel, "set", names=["read", "write"], on=False, page="p", change=1) == ""
    assert len(runtime.applied) == 1
    assert not shown(panel)["read"]
    assert panel.data["handled"] == {"p": 1}
    assert done(panel, "family", family="Network", on=False) == ""
    assert done(panel, "family", family="Time", on=True) == ""
    assert len(runtime.applied) == 3
    on = {name for name, active in shown(panel).items() if active}
    assert on == {c.name for c in SYSCALLS if c.family in ("FS", "Time")} - {"read", "write"}


def test_rates_are_set_for_a_call_and_for_a_family(runtime: FakeRuntime, opened: Open) -> None:
    """Only rates other than `all` are sent."""
    panel = opened(ProbesPanel, runtime)
    panel.refresh(1.0)
    assert panel.data["rates"] == []
    assert done(panel, "rate", name="AIO", rate=100) == ""
    assert done(panel, "rate", name="read", rate=0) == ""
    rates = by_name(panel, "rates")
    assert rates.pop("read") == 0
    assert rates == {c.name: 100 for c in SYSCALLS if c.family == "AIO"}


def test_a_refusal_is_shown_at_the_probe_until_a_change_succeeds(
    runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The box goes back, also the second time in a row, and the reason stands at the probes it was about."""
    panel = opened(ProbesPanel, runtime)
    panel.refresh(1.0)
    refuse(runtime, monkeypatch)
    for change in (1, 2):
        before = panel.data["n"]
        assert "refused" in done(panel, "set", names=["read"], on=False, page="p", change=change)
        assert panel.data["n"] > before
        assert panel.data["handled"] == {"p": change}
    assert shown(panel)["read"]
    assert by_name(panel, "errors") == {"read": "the kernel refused <b>\\u202e"}
    monkeypatch.undo()
    assert done(panel, "set", names=["read"], on=False, page="p", change=3) == ""
    assert by_name(panel, "errors") == {}
    assert not shown(panel)["read"]


def test_a_closed_manager_says_so_at_the_probe(runtime: FakeRuntime, opened: Open) -> None:
    """What the manager does not note itself the panel does; a new trace forgets it."""
    panel = opened(ProbesPanel, runtime)
    panel.refresh(1.0)
    manager(runtime).close()
    assert "ended" in done(panel, "family", family="AIO", on=True)
    assert set(by_name(panel, "errors")) == {c.name for c in SYSCALLS if c.family == "AIO"}
    runtime.manager = Manager([], {}, lambda on, rates: None)
    panel.refresh(10.0)
    assert by_name(panel, "errors") == {}


def test_without_a_trace_the_panel_is_empty(runtime: FakeRuntime, opened: Open) -> None:
    """No manager: the empty state, once, and an act says to start a trace."""
    panel = opened(ProbesPanel, runtime)
    runtime.manager = None
    assert len(refreshes(panel, 1.0)) == 1
    assert panel.data["empty"]
    assert refreshes(panel, 10.0) == []
    assert "start one" in act(panel, "set", names=["read"], on=True)
    assert panel.still() == ""


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("set", {"names": ["nonsense"], "on": True}),
        ("set", {"names": [], "on": True}),
        ("set", {"names": "read", "on": True}),
        ("set", {"names": [3], "on": True}),
        ("set", {"names": ["read"] * 3000, "on": True}),
        ("set", {"names": ["read"], "on": 1}),
        ("set", {"names": ["read"]}),
        ("family", {"family": "Nonsense", "on": True}),
        ("family", {"on": True}),
        ("rate", {"name": "read", "rate": -1}),
        ("rate", {"name": "read", "rate": 1.5}),
        ("rate", {"name": "read", "rate": True}),
        ("rate", {"name": "read", "rate": "2"}),
        ("rate", {"name": "read", "rate": 2**40}),
        ("rate", {"name": "read", "rate": float("nan")}),
        ("rate", {"name": "", "rate": 2}),
        ("nonsense", {}),
    ],
)
def test_what_a_browser_should_not_send_is_refused(
    runtime: FakeRuntime, opened: Open, what: str, body: dict[str, Any]
) -> None:
    """Each is answered with one line, and no probe changes."""
    panel = opened(ProbesPanel, runtime)
    panel.refresh(1.0)
    said = act(panel, what, **body)

    assert said
    assert "\n" not in said
    assert runtime.applied == []


def test_pages_that_are_gone_are_forgotten(runtime: FakeRuntime, opened: Open) -> None:
    """Only the last few views' changes are remembered."""
    panel = opened(ProbesPanel, runtime)
    for i in range(40):
        done(panel, "set", names=["read"], on=bool(i % 2), page=f"p{i}", change=1)
    assert list(panel.data["handled"]) == [f"p{i}" for i in range(24, 40)]


def test_the_static_form_is_a_table_of_families(runtime: FakeRuntime, opened: Open) -> None:
    """It says how many of each are on."""
    panel = opened(ProbesPanel, runtime)
    panel.refresh(1.0)
    assert "<td>Network</td><td>22 of 22</td>" in panel.still()
    assert "<td>AIO</td><td>0 of 9</td>" in panel.still()

"""Probes: which system calls are traced and how densely, switched while the trace runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ior_nb.errors import ConfigError
from ior_nb.runtime import LiveRuntime, ProbeControl, ProbeState
from ior_nb.runtime.text import show_count
from ior_nb.widgets.checked import LONGEST_NAME, text, texts, whole
from ior_nb.widgets.page import packed, script, still_table, style
from ior_nb.widgets.panel import Panel

__all__ = ["ProbesPanel"]

_MOST_NAMES: Final = 2000
_MOST_RATE: Final = 2**31 - 1
_PAGES: Final = 16
"""Views whose last change is remembered."""


class ProbesPanel(Panel):
    """A checkbox for every system call, by family."""

    name = "probes"
    every_s = 1.0
    _esm = script("probes.js")
    _css = style("probes.css")

    def __init__(self, runtime: LiveRuntime, **traits: Any) -> None:
        self._key: Any = None
        self._manager: ProbeControl | None = None
        self._refused: dict[str, str] = {}
        self._handled: dict[str, int] = {}  # view -> number of its last change that was done, or refused
        self._families: list[tuple[str, int, int]] = []
        self._counts: dict[str, int] = {}
        super().__init__(runtime, **traits)

    def content(self) -> dict[str, Any] | None:
        """Return every probe, the calls it saw, and which changes of the page are in."""
        manager = self.runtime.probes()
        if manager is None:
            fixed = self.runtime.control.state().fixed
            if self._key == ("empty", fixed):
                return None
            self._key = ("empty", fixed)
            return {"empty": True, "fixed": fixed}
        if manager is not self._manager:  # a new trace knows nothing of what another refused
            self._manager, self._refused = manager, {}
        states, counts = manager.states(), self._counted()
        key = (states, counts, dict(self._refused), dict(self._handled))
        if key == self._key:
            return None
        members: dict[str, list[ProbeState]] = {}
        for state in states:
            members.setdefault(state.family, []).append(state)
        families = sorted(members, key=lambda family: (-len(members[family]), family))
        self._families = [(f, sum(s.active for s in members[f]), len(members[f])) for f in families]
        states = [state for family in families for state in members[family]]
        on = np.fromiter((s.active for s in states), bool, len(states))
        calls = np.fromiter((counts.get(s.syscall, 0) for s in states), "f8", len(states))
        called = np.flatnonzero(calls)
        shown = {
            "empty": False,
            "families": [[family, size] for family, _, size in self._families],
            "probes": packed({"name": [s.syscall for s in states], "on": on}),
            "called": packed({"at": called.astype("i4"), "calls": calls[called]}),
            "rates": [[i, s.rate] for i, s in enumerate(states) if s.rate != 1],
            "errors": [[i, e] for i, s in enumerate(states) if (e := s.error or self._refused.get(s.syscall, ""))],
            "handled": dict(self._handled),
        }
        self._key = key
        return shown

    def _counted(self) -> dict[str, int]:
        """Return the calls by name, the last known ones when the statistics fail: the checkboxes do not need them."""
        try:
            snapshot = self.snapshot()
        except Exception:  # the panels of the statistics say so
            return self._counts
        self._counts = {} if snapshot is None else {row.name: row.count for row in snapshot.syscalls}
        return self._counts

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """`set` probes or a `family` on or off, or the sampling `rate` of either; in one step each."""
        if what not in ("set", "family", "rate"):
            super().act(what, body)
        self._count(body)
        manager = self.runtime.probes()
        if manager is None:
            raise ConfigError("no trace is running: start one, then choose its probes")
        if what == "set":
            names = texts(body, "names", _MOST_NAMES)
        else:
            names = [text(body, "family" if what == "family" else "name", LONGEST_NAME)]
        if not names or not all(names):
            raise ValueError("give the name of a system call, or of a family")
        try:
            self._change(manager, what, names, body)
        except Exception as problem:
            self._refused |= dict.fromkeys(self._about(manager, names), str(problem) or type(problem).__name__)
            raise
        for name in self._about(manager, names):
            self._refused.pop(name, None)

    def _change(self, manager: ProbeControl, what: str, names: list[str], body: Mapping[str, Any]) -> None:
        if what == "rate":
            return manager.set_rate(names[0], whole(body, "rate", 0, _MOST_RATE))
        if not isinstance(body["on"], bool):
            raise ValueError(f"a probe is on (true) or off (false), not {body['on']!r:.40}")
        if what == "family":
            return manager.set_family(names[0], active=body["on"])
        if len(names) > 1:
            return manager.set_active(names, active=body["on"])
        state = next((s for s in manager.states() if s.syscall == names[0]), None)
        if state is None or state.active is not body["on"]:  # a page may be behind: its checkbox says what it wants
            manager.toggle(names[0])
        return None

    def _about(self, manager: ProbeControl, names: list[str]) -> list[str]:
        """Return the probes named, by their own name or their family's; unknown ones are nobody's."""
        wanted = {name.lower() for name in names}
        return [s.syscall for s in manager.states() if s.syscall in wanted or s.family.lower() in wanted]

    def _count(self, body: Mapping[str, Any]) -> None:
        """Note a change of a page as handled: until then it shows what it asked for."""
        page, number = body.get("page"), body.get("change")
        if isinstance(page, str) and isinstance(number, int) and len(page) <= 64:
            self._handled.pop(page, None)
            self._handled[page] = number
            for old in list(self._handled)[:-_PAGES]:
                del self._handled[old]

    def still(self) -> str:
        """Return how much of each family is traced."""
        if not self._families:
            return ""
        rows = [[family, f"{on} of {size}"] for family, on, size in self._families]
        return still_table(["family", "on"], rows, f"{show_count(sum(on for _, on, _ in self._families), 'probe')} on")

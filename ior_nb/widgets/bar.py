"""The bar on top of a dashboard: what is traced, start and stop, reset, the filter with undo, warnings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import traitlets

from ior_nb.runtime import LiveRuntime, TraceState
from ior_nb.runtime.text import escaped_html, show_ns
from ior_nb.widgets.chips import act_on, chips
from ior_nb.widgets.page import script, style
from ior_nb.widgets.panel import Panel
from ior_nb.widgets.ticker import ticker

__all__ = ["Bar"]

_PAUSED: Final = "stopped, so that the panels show a part: "
AUTO_RESET_S: Final = (0, 10, 30, 60, 120, 300)


class Bar(Panel):
    """The status line and the buttons that belong to all panels.

    Args:
        runtime: what it shows.
        still_id: id of the static picture the view hides while it lives.
        on_tick: called at each refresh with whether the trace has just ended.
    """

    name = "bar"
    every_s = 0.5
    _esm = script("bar.js")
    _css = style("bar.css")
    still_id = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self, runtime: LiveRuntime, *, still_id: str = "", on_tick: Callable[[bool], None] | None = None
    ) -> None:
        self._on_tick = on_tick
        self._ended: object = None  # which trace had ended, None while one runs
        self._shown: dict[str, Any] | None = None
        self._auto_reset_s = 0
        self._reset_at = time.monotonic()
        super().__init__(runtime, still_id=still_id)

    def content(self) -> dict[str, Any] | None:
        """Return the state of the trace and the filter."""
        state, filters = self.runtime.control.state(), self.runtime.filters
        self._auto_reset(state.running)
        now = None if state.running else (state.title, state.rows, state.elapsed_s)
        ended, self._ended = now is not None and now != self._ended, now
        recording = self.runtime.recording.status()
        shown = {
            "running": state.running,
            "fixed": state.fixed,
            "title": state.title,
            "engine": state.engine,
            "hosts": list(state.hosts),
            "host": state.host,
            "rows": state.rows,
            "elapsed_s": round(state.elapsed_s, 1) if state.running else state.elapsed_s,
            "counted_s": round(state.counted_s),
            "filter": filters.text(filters.active),
            "undo": filters.labels[-1] if filters.labels else "",
            "chips": chips(filters),
            "warnings": state.warnings,
            "complete": state.completeness.complete,
            "accounting": state.completeness.line() if state.completeness.accounting.seen else "",
            "notes": list(state.notes),
            "counting": _counting(state),
            "recording": str(recording.path or "") if recording.active else "",
            "auto_reset": self._auto_reset_s,
            "auto_choices": list(AUTO_RESET_S),
        }
        unchanged, self._shown = shown == self._shown, shown
        if self._on_tick is not None and (ended or state.running):
            on_tick = self._on_tick
            ticker.later(lambda: on_tick(ended))  # its time is not the bar's
        return None if unchanged else shown

    def _auto_reset(self, running: bool) -> None:
        now = time.monotonic()
        if self._auto_reset_s and running and now - self._reset_at >= self._auto_reset_s:
            self._reset_at = now
            self.runtime.control.reset()

    def act(self, what: str, body: Any) -> None:
        """Do what a button says."""
        runtime = self.runtime
        if what == "start":
            runtime.control.start()
        elif what == "stop":
            runtime.control.stop()
        elif what == "reset":
            runtime.control.reset()
        elif what == "host":
            runtime.control.choose(str(body["host"]))
        elif what == "auto_reset":
            seconds = int(body["seconds"])
            if seconds not in AUTO_RESET_S:
                raise ValueError(f"automatic reset every {seconds} s is not offered")
            self._auto_reset_s, self._reset_at = seconds, time.monotonic()
        elif not act_on(runtime.filters, what, body):
            super().act(what, body)

    def lacking(self) -> None:
        """Return nothing: the panels below say it, and the bar has a line of its own."""

    def still(self) -> str:
        """Return the status as a line."""
        shown = self._shown
        if not shown or not shown["title"]:
            return "<p>ior: nothing has been traced yet</p>"
        parts = [
            f"ior: {shown['title']}",
            f"{shown['rows']:,} rows in {show_ns(shown['elapsed_s'] * 1e9)}",
            f"host: {shown['host'] or 'all of ' + ', '.join(shown['hosts'])}" if shown["hosts"] else "",
            f"filter: {shown['filter'] or 'all'}",
            "still running" if shown["running"] else shown["accounting"],
            shown["counting"] and shown["counting"]["text"],
            *shown["notes"],
        ]
        return "<p>" + escaped_html("  ·  ".join(p for p in parts if p)) + "</p>"


def _counting(state: TraceState) -> dict[str, Any] | None:
    """Return how far the rows of a finished trace have been counted; None where all are."""
    step = state.counting
    if step is None:
        return None
    text = _PAUSED + replace(step, left_s=-1).text() if state.paused else step.text()
    return {"done": step.done, "whole": step.whole, "text": text, "paused": state.paused}

"""Recorder: start and stop a Parquet recording, what is safely in it, and how to open it afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ior_nb.errors import ConfigError
from ior_nb.runtime import LiveRuntime, RecordingState
from ior_nb.runtime.text import show_bytes, show_count
from ior_nb.widgets.checked import LONGEST_PATH, text
from ior_nb.widgets.page import script, still_table, style
from ior_nb.widgets.panel import Panel

__all__ = ["RecorderPanel"]

_QUIET_S: Final = 30.0
"""Rows are written in groups, every 10 s at the latest: without one for so long the rate is 0."""


class RecorderPanel(Panel):
    """Recordings of the session."""

    name = "recorder"
    every_s = 0.5
    _esm = script("recorder.js")
    _css = style("recorder.css")

    def __init__(self, runtime: LiveRuntime) -> None:
        self._key: Any = None
        self._before = RecordingState()  # the one of the look before
        self._finished: dict[str, Any] | None = None
        self._grew_at = 0.0
        self._rate = 0.0
        super().__init__(runtime)

    def content(self) -> dict[str, Any] | None:
        """Return what is being written, how fast, and the last file that is finished."""
        now = self.runtime.recording.status()
        self._measure(now, time.monotonic())
        filters, state = self.runtime.filters, self.runtime.control.state()
        key = (now, self._rate, state.running, filters.active, self._finished)
        if key == self._key:
            return None
        shown = {
            "active": now.active,
            "path": _shown(now.path) if now.active and now.path else "",
            "rows": now.rows_written,
            "dropped": now.rows_dropped,
            "size": now.bytes_written,
            "rate": self._rate,
            "failure": str(now.error or ""),
            "running": state.running,
            "filter": filters.text(filters.active),
            "folder": _shown(""),
            "last": self._finished,
        }
        self._key = key
        return shown

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """`start` a recording (`path`, empty for a made-up name; `replace` a file of that name) or `stop` it."""
        recording = self.runtime.recording
        if what == "start":
            path = text({"path": "", **body}, "path", LONGEST_PATH)
            recording.start(_checked(path, replace=body.get("replace") is True))
        elif what == "stop":
            if recording.stop() is None:
                raise ConfigError("nothing is being recorded")
        else:
            super().act(what, body)

    def still(self) -> str:
        """Return the last recording as a table."""
        last = self._finished
        if last is None:
            return ""
        rows = [["file", last["path"]], ["rows", f"{last['rows']:,}"], ["size", show_bytes(last["size"])]]
        if last["dropped"]:
            rows.append(["missing", show_count(last["dropped"], "row")])
        return still_table(["recording", ""], [*rows, ["open it with", last["code"]]])

    def _measure(self, now: RecordingState, at: float) -> None:
        """Note the rate of the last row group, and a recording that has ended."""
        before, self._before = self._before, now
        if not now.active:
            self._rate = 0.0
            if now.path:
                path = _shown(now.path)
                self._finished = {
                    "path": path,
                    "rows": now.rows_written,
                    "dropped": now.rows_dropped,
                    "size": now.bytes_written,
                    "code": f"ior_nb.load({path!r})",
                }
        elif not before.active or now.path != before.path:
            self._grew_at, self._rate = at, 0.0
        elif now.rows_written > before.rows_written:
            self._rate = (now.rows_written - before.rows_written) / max(at - self._grew_at, 0.001)
            self._grew_at = at
        elif at - self._grew_at > _QUIET_S:
            self._rate = 0.0


def _checked(path: str, *, replace: bool) -> str:
    """Return the name to record to; the recorder itself would replace a file the user has named."""
    if "\0" in path:
        raise ValueError("a file name cannot have the character NUL")
    if not path.strip():
        return ""
    wanted = os.path.expanduser(path.strip())  # noqa: PTH111 - never raises
    named = wanted if wanted.lower().endswith(".parquet") else f"{wanted}.parquet"
    if not replace and os.path.lexists(named) and not os.path.isdir(wanted):  # noqa: PTH112 - nor do these
        raise ConfigError(f"{_shown(named)} exists already: choose another name, or tick “replace”")
    return wanted


def _shown(path: str | Path) -> str:
    """Return the whole path; bytes that are no UTF-8 as escapes, for a message to the page is UTF-8."""
    return os.path.abspath(path).encode("utf-8", "backslashreplace").decode()  # noqa: PTH100 - `..` goes, links stay

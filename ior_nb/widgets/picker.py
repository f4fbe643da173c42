"""Picker: which process, thread or machine to trace, and which families of calls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ior_nb.errors import IorError
from ior_nb.runtime import LiveRuntime, Task
from ior_nb.runtime.text import escaped_html
from ior_nb.syscalls import DEFAULT_FAMILIES
from ior_nb.widgets.checked import texts, whole
from ior_nb.widgets.page import packed, script, style
from ior_nb.widgets.panel import Panel

__all__ = ["PickerPanel"]

_RESCAN_S: Final = 5.0
_MOST_TASKS: Final = 5000
_MOST_TEXT: Final = 200  # characters of a command line that are sent
_MOST_FAMILIES: Final = 100
_LARGEST_ID: Final = 1 << 22  # PID_MAX_LIMIT of the kernel


class PickerPanel(Panel):
    """The processes of this machine, and the buttons to trace one."""

    name = "picker"
    every_s = 0.5
    _esm = script("picker.js")
    _css = style("picker.css")

    def __init__(self, runtime: LiveRuntime) -> None:
        self._key: Any = None
        self._tasks: Sequence[Task] | None = None
        self._threads: Sequence[Task] = ()
        self._opened = 0  # the process whose threads are listed
        self._due = 0.0
        self._asked = True
        self._failure = ""
        self._scan = 0  # grows when the lists have changed
        self._families: list[str] = []
        super().__init__(runtime)

    def content(self) -> dict[str, Any] | None:
        """Return the processes as packed columns, the threads of the opened one, and whether a trace runs."""
        state, now = self.runtime.control.state(), time.monotonic()
        # While a trace runs nothing can be started: reading /proc again would only be noise in it.
        if self._asked or (now >= self._due and not state.running):
            self._rescan()
            self._asked, self._due = False, time.monotonic() + _RESCAN_S
        key = (self._scan, self._failure, state.running, state.title)
        if key == self._key:
            return None
        tasks = self._tasks or ()
        shown = {
            "running": state.running,
            "title": state.title,
            "scan": self._scan,
            "failure": self._failure,
            "tasks": _columns(tasks[:_MOST_TASKS]),
            "unsent": max(0, len(tasks) - _MOST_TASKS),
            "opened": self._opened,
            "threads": _columns(self._threads[:_MOST_TASKS]),
            "families": self._known_families(),
            "usual": list(DEFAULT_FAMILIES),
        }
        self._key = key
        return shown

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """`rescan`, list the `threads` of a process (0: no more), `start` a trace, `stop` the one that runs."""
        control = self.runtime.control
        if what == "rescan":
            self._asked = True
        elif what == "threads":
            pid = whole(body, "pid", 0, _LARGEST_ID)
            self._threads = control.tasks(pid) if pid else ()
            self._opened = pid
            self._scan += 1
        elif what == "start":
            self._start(body)
        elif what == "stop":
            control.stop()
        else:
            super().act(what, body)

    def still(self) -> str:
        """Return what was traced; command lines of other people do not belong into a saved notebook."""
        title = self.runtime.control.state().title
        return f"<p>traced: {escaped_html(title)}</p>" if title else ""

    def _start(self, body: Mapping[str, Any]) -> None:
        chosen = texts(body, "families", _MOST_FAMILIES)
        if unknown := [f for f in chosen if f not in self._known_families()]:
            raise ValueError(f"there is no family {unknown[0]!r}")
        if not chosen:
            raise ValueError("choose at least one family")
        families = () if set(chosen) == set(DEFAULT_FAMILIES) else tuple(chosen)
        if body.get("system") is True:
            self.runtime.control.start(system=True, families=families)
            return
        pid, tid = (whole({"pid": 0, "tid": 0, **body}, key, 0, _LARGEST_ID) for key in ("pid", "tid"))
        own = any(task.own and task.pid == pid for task in self._tasks or ())
        # Asked for by its number, the kernel's own service threads would be in.
        self.runtime.control.start(pid=0 if own and not tid else pid, tid=tid, families=families)

    def _rescan(self) -> None:
        """Read the lists again; what fails is shown under them, and the old ones stay."""
        control, failure = self.runtime.control, ""
        try:
            tasks = control.tasks()
            if tasks != self._tasks:
                self._tasks = tasks
                self._scan += 1
        except (IorError, OSError) as problem:
            failure = f"the processes could not be listed: {problem}"
        if self._opened:
            try:
                threads = control.tasks(self._opened)
            except (IorError, OSError):  # it has ended; the list of processes says so
                threads, self._opened = [], 0
                self._scan += 1
            if threads != self._threads:
                self._threads = threads
                self._scan += 1
        self._failure = failure

    def _known_families(self) -> list[str]:
        """Return all families, the usual ones first."""
        if not self._families:
            probes = self.runtime.probes()
            # Without a trace the completion of the filter knows them too.
            text = "family="
            names = (
                [p.family for p in probes.states()]
                if probes is not None
                else [s.text for s in self.runtime.filters.suggest(text, len(text)) if s.kind == "value"]
            )
            self._families = list(dict.fromkeys([*DEFAULT_FAMILIES, *names]))
        return self._families


def _columns(tasks: Sequence[Task]) -> dict[str, Any]:
    return packed(
        {
            "pid": np.array([t.pid for t in tasks], "i4"),
            "tid": np.array([t.tid for t in tasks], "i4"),
            "uid": np.array([t.uid for t in tasks], "f8"),
            "own": np.array([t.own for t in tasks], bool),
            "comm": [t.comm for t in tasks],
            "command": [t.command[:_MOST_TEXT] for t in tasks],
        }
    )

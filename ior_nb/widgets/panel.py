"""`Panel`: what every view has in common.

A panel is one anywidget. The kernel sends it one message per refresh, the synced trait `data`, so that a view made
later (a reload, a second view) has the last state without asking. The page sends small messages:

    hello, bye           a view was drawn, or removed
    beat                 a visible view lives; answered, so that the page knows whether the kernel listens
    act                  the user did something; answered when it is done, with the error if there was one

`content`, `act` and `greet` are called by the ticker's thread, under the one UI lock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import anywidget
import traitlets

from ior_nb.errors import IorError
from ior_nb.runtime import Completeness, Filter, LiveRuntime, Snapshot, own
from ior_nb.runtime.filter import Node, Text, node_of_value
from ior_nb.runtime.frames import IDS
from ior_nb.runtime.peers import peer_of
from ior_nb.runtime.text import escaped_html
from ior_nb.widgets.page import script, style
from ior_nb.widgets.ticker import ticker
from ior_nb.widgets.views import Views

__all__ = ["Panel"]

_clock: Final = time.perf_counter
"""Seconds, for what a refresh costs."""
_LOG: Final = logging.getLogger(__name__)
logging.getLogger("ior_nb").addHandler(logging.NullHandler())  # else a thread's log would be written into the notebook


class Panel(anywidget.AnyWidget):
    """A view of the runtime. A subclass sets the class variables and defines `content`, mostly `act` and `still` too.

    Args:
        runtime: what it shows.
    """

    name: ClassVar[str] = ""
    """Key of the panel in `PANELS`."""
    every_s: ClassVar[float] = 0.5
    """Least time between two refreshes."""
    _esm = script()
    _css = style()

    data = traitlets.Dict().tag(sync=True)
    """What is shown; replaced as a whole. `n` numbers the refreshes; `error`, and `told` (what the rows lack), are for
    the strip on top."""

    closed = True
    """Until it is whole, and again when it has been closed."""

    def __init__(self, runtime: LiveRuntime, **traits: Any) -> None:
        super().__init__(**traits)
        self.runtime = runtime
        self.closed = False
        self.views = Views()
        self._next = 0.0
        self._error = self._told = ""
        self._kind: Any = None
        self.on_msg(self._receive)
        ticker.add(self)

    # ---- for subclasses

    def content(self) -> dict[str, Any] | None:
        """Return what to show now, JSON-ready with bytes where there is bulk; None when nothing has changed."""
        return None

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """Do what the user asked for; an `IorError` or ValueError is shown to them.

        Args:
            what: the name panel.js was given.
            body: what came with it. It comes from a browser: check it.
        """
        raise ValueError(f"there is nothing called {what!r} here")

    def still(self) -> str:
        """Return the last state as static HTML, for the saved notebook; empty when there is nothing to show."""
        return ""

    def lacking(self) -> Completeness | None:
        """Return what the rows lack; None where others say it."""
        return self.runtime.control.state().completeness

    def greet(self) -> None:
        """Send to a view that was just drawn what is not in `data`."""

    def snapshot(self, top: int | None = None, by: str = "count") -> Snapshot | None:
        """Return the statistics now, None where there are none; all panels refreshed together share one.

        The arguments are those of `runtime.SnapshotSource`.
        """
        return ticker.snapshot(self.runtime, top, by)

    def narrow(self, *nodes: Node) -> None:
        """Push terms onto the filter of the whole dashboard."""
        filters = self.runtime.filters
        filters.set(Filter.of([*filters.active.parts(), *(n for n in nodes if n not in filters.active.parts())]))

    def narrow_to(self, dimension: str, value: str | int, *, directory: bool = False, host: str = "") -> None:
        """Push the term for a value the view shows: a click on it.

        Args:
            dimension: a key of `DIMENSIONS`.
            value: as the row has it.
            directory: what lies directly in the directory `value` is meant.
            host: that of the row: of a trace of several, the ids of processes and threads mean something there alone.
        """
        if dimension == "file" and (peer := peer_of(str(value))):
            dimension, value = "peer", peer
        of_host = dimension in IDS and (host or self.runtime.control.state().hosts)
        where = [node_of_value("host", host) if host else Text("host", "~", "^$")] if of_host else []
        self.narrow(*where, node_of_value(dimension, value, directory=directory))

    @property
    def shown(self) -> dict[str, Any]:
        """What `content` gave last."""
        return {k: v for k, v in self.data.items() if k not in ("n", "error", "told")}

    # ---- called by the ticker

    def wanted(self, now: float, busy_since: float | None) -> bool:
        """Return whether anybody looks; see `Views.watched`."""
        return self.views.watched(now, busy_since)

    def refresh(self, now: float, *, force: bool = False) -> None:
        """Send what has changed; called under the UI lock. A failure is shown in the panel."""
        if self.closed or (now < self._next and not force):
            return
        began = _clock()
        told, kind = self._told, self._kind
        try:
            data = self.content()
            error, lacking = "", self.lacking()
            if lacking is not None:
                told = lacking.told()
                kind = (lacking.caveats, lacking.running) if told else None
        except Exception as problem:
            data, error = None, str(problem) or type(problem).__name__
            if error != self._error and not isinstance(problem, IorError):
                _LOG.exception("a refresh of the panel %s failed", self.name)
        if data is None and (error, kind) != (self._error, self._kind):  # numbers that grow wait for others to be sent
            data = self.shown
        if data is not None:
            self._error, self._told, self._kind = error, told, kind
            self.data = {**data, "n": self.data.get("n", 0) + 1, "error": error, "told": told}
        # A view that is expensive now (a slow machine, a huge table) is refreshed less often: a tenth of a core.
        self._next = now + max(self.every_s, 10 * (_clock() - began))

    # ---- messages

    def expect(self) -> None:
        """Send from now on: a view is about to be displayed and has not said hello yet."""
        self.views.expect(time.monotonic())
        ticker.wake()

    @own.ours
    def _receive(self, _: Any, content: Any, buffers: Any) -> None:
        if self.closed or not isinstance(content, dict):
            return
        view, kind, now = str(content.get("view", "")), content.get("kind"), time.monotonic()
        if kind == "bye":
            self.views.left(view)
        elif kind in ("hello", "beat"):
            visible = bool(content.get("visible", True))
            lost = self.views.heard(view, now, visible=visible, shown=content.get("n"), latest=self.data.get("n"))
            if kind == "hello":
                ticker.do(self.greet)
            elif lost:
                self.send_state("data")
            self.send({"kind": "beat", "view": view})
            ticker.wake()
        elif kind == "act":
            self.views.acted(view, now)
            ticker.do(lambda: self._do(str(content.get("what", "")), content))

    def _do(self, what: str, content: Mapping[str, Any]) -> None:
        if self.closed:
            return
        error = ""
        try:
            body = content.get("body")
            self.act(what, body if isinstance(body, dict) else {})
        except Exception as problem:
            error = f"{what}: {problem.args[0]!r} is missing" if isinstance(problem, KeyError) else str(problem)
            error = error or type(problem).__name__
            if not isinstance(problem, IorError | ValueError | KeyError | TypeError | OSError):
                _LOG.exception("%s of the panel %s failed", what, self.name)
        self.send({"kind": "done", "id": content.get("id"), "error": error})
        ticker.refresh_now(self.runtime)

    # ---- life

    @own.ours
    def close(self) -> None:
        """Remove the views and the widget. Idempotent."""
        if not self.closed:
            self.closed = True
            ticker.remove(self)
            self.layout.close()
            super().close()

    def picture(self) -> str:
        """Return the static picture with what its rows lack above it."""
        still = self.still()
        return f'<p style="opacity:.75">{escaped_html(self._told)}</p>{still}' if still and self._told else still

    def __repr__(self) -> str:
        return f"<{self.name} panel of ior-nb>"

    @own.ours
    def _repr_mimebundle_(self, **options: Any) -> Any:
        self.expect()
        bundle = super()._repr_mimebundle_(**options)
        if bundle and (still := self.picture()):
            data, metadata = bundle
            return data | {"text/html": still}, metadata
        return bundle

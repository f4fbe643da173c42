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
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import anywidget
import numpy as np
import traitlets

from ior_nb.errors import IorError
from ior_nb.runtime import Filter, LiveRuntime, Snapshot
from ior_nb.runtime.filter import Node, node_of_value
from ior_nb.runtime.text import escaped_html
from ior_nb.widgets.ticker import ticker

__all__ = ["Panel", "packed", "script", "still_table", "style"]

_HERE: Final = Path(__file__).parent / "js"
_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)
_FOR_TOOLS: Final = re.compile(rf"{_IMPORT.pattern}|^/\*\* @import .* \*/\n|^export (?!default)", re.MULTILINE)
_LOG: Final = logging.getLogger(__name__)
logging.getLogger("ior_nb").addHandler(logging.NullHandler())  # else a thread's log would be written into the notebook

SILENT_S: Final = 10.0
"""A visible view that has not been heard of for so long is gone; nothing more is sent."""
BUSY_S: Final = 600.0
"""While a cell runs the kernel may be unable to hear: a view that lived when it began is believed so long."""
_EXPECTED_S: Final = 30.0
"""How long after it was displayed a view may take to say hello."""


def script(*names: str) -> str:
    """Return the text of one ES module: panel.js, the files named and what they import, each once, imported ones first.

    A page loads a panel as one text, which can import nothing. So `import` lines and the word `export` are for tools
    and tests, and are left out here, but for the `export default` of the panel itself; and two files of one panel must
    not have the same name at their top.
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        text = (_HERE / name).read_text(encoding="utf-8")
        for needed in _IMPORT.findall(text):
            add(needed)
        parts[name] = _FOR_TOOLS.sub("", text)

    for name in ("panel.js", *names):
        add(name)
    return "\n".join(parts.values())


def style(*names: str) -> str:
    """Return the text of one style sheet: the common part, then the files named."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in ("panel.css", *names))


def packed(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns in the form `unpacked` of panel.js reads: typed buffers, not JSON.

    Args:
        columns: name -> numpy array (bool, int32 and float32 as they are, other numbers as float64) or a sequence of
            str. NUL is the one character a text may not have; it is dropped.
    """
    result: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.dtype != object:
            kind = {"b1": "u1", "i4": "i4", "f4": "f4"}.get(values.dtype.str[1:], "f8")
            result[name] = {"t": kind, "b": np.ascontiguousarray(values, kind).tobytes()}
        else:
            texts = [str(v).replace("\0", "") for v in values]
            result[name] = {"t": "s", "n": len(texts), "b": "\0".join(texts).encode("utf-8", "backslashreplace")}
    return result


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
    """What is shown; replaced as a whole. `n` numbers the refreshes, `error` is for the strip on top."""

    closed = True
    """Until it is whole, and again when it has been closed."""

    def __init__(self, runtime: LiveRuntime, **traits: Any) -> None:
        super().__init__(**traits)
        self.runtime = runtime
        self.closed = False
        self._views: dict[str, list[Any]] = {}  # view -> [last heard of, whether visible, refresh it was behind with]
        self._expected = 0.0
        self._next = 0.0
        self._error = ""
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

    def greet(self) -> None:
        """A view was drawn. What is not in `data` has to be sent to it."""

    def snapshot(self, top: int | None = None, by: str = "count") -> Snapshot | None:
        """Return the statistics now, None where there are none; all panels refreshed together share one.

        The arguments are those of `runtime.SnapshotSource`.
        """
        return ticker.snapshot(self.runtime, top, by)

    def narrow(self, *nodes: Node) -> None:
        """Push terms onto the filter of the whole dashboard."""
        filters = self.runtime.filters
        filters.set(Filter.of([*filters.active.parts(), *(n for n in nodes if n not in filters.active.parts())]))

    def narrow_to(self, dimension: str, value: str | int, *, directory: bool = False) -> None:
        """Push the term for a value the view shows: a click on it."""
        self.narrow(node_of_value(dimension, value, directory=directory))

    # ---- called by the ticker

    def wanted(self, now: float, busy_since: float | None) -> bool:
        """Say whether anybody looks: a visible view was heard of, or one has just been displayed.

        Args:
            now: monotonic seconds.
            busy_since: since when the kernel runs a cell and may not hear; None when it does not.
        """
        cell = busy_since if busy_since is not None and now - busy_since < BUSY_S else None

        def alive(heard: float, patience_s: float) -> bool:
            return now - heard < patience_s or (cell is not None and heard > cell - patience_s)

        if self._expected and alive(self._expected, _EXPECTED_S):
            return True
        return any(visible and alive(heard, SILENT_S) for heard, visible, _ in list(self._views.values()))

    def refresh(self, now: float, *, force: bool = False) -> None:
        """Send what has changed; called under the UI lock. A failure is shown in the panel."""
        if self.closed or (now < self._next and not force):
            return
        began = time.perf_counter()
        try:
            data = self.content()
            error = ""
        except Exception as problem:
            data, error = None, str(problem) or type(problem).__name__
            if error != self._error and not isinstance(problem, IorError):
                _LOG.exception("a refresh of the panel %s failed", self.name)
        if data is None and error != self._error:
            data = {k: v for k, v in self.data.items() if k not in ("n", "error")}
        if data is not None:
            self._error = error
            self.data = {**data, "n": self.data.get("n", 0) + 1, "error": error}
        # A view that is expensive now (a slow machine, a huge table) is refreshed less often: a tenth of a core.
        self._next = now + max(self.every_s, 10 * (time.perf_counter() - began))

    # ---- messages

    def expect(self) -> None:
        """A view is about to be displayed: send even before it has said hello."""
        self._expected = time.monotonic()
        ticker.wake()

    def _receive(self, _: Any, content: Any, buffers: Any) -> None:
        if self.closed or not isinstance(content, dict):
            return
        view, kind, now = str(content.get("view", "")), content.get("kind"), time.monotonic()
        if kind == "bye":
            self._views.pop(view, None)
        elif kind in ("hello", "beat"):
            if len(self._views) > 100:  # a page that crashed says no goodbye
                self._views = {name: known for name, known in self._views.items() if now - known[0] < BUSY_S}
            n = content.get("n")
            behind = n != self.data.get("n")
            before = self._views.get(view)
            self._views[view] = [now, bool(content.get("visible", True)), n if behind else None]
            self._expected = 0.0
            if kind == "hello":
                ticker.do(self.greet)
            elif behind and before is not None and before[2] == n:  # not only on its way: lost
                self.send_state("data")
            self.send({"kind": "beat", "view": view})
            ticker.wake()
        elif kind == "act":
            self._views.setdefault(view, [now, True, None])[0] = now
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

    def close(self) -> None:
        """Remove the views and the widget. Idempotent."""
        if not self.closed:
            self.closed = True
            ticker.remove(self)
            self.layout.close()
            super().close()

    def __repr__(self) -> str:
        return f"<{self.name} panel of ior-nb>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        self.expect()
        bundle = super()._repr_mimebundle_(**options)
        if bundle and (still := self.still()):
            data, metadata = bundle
            return data | {"text/html": still}, metadata
        return bundle


def still_table(head: list[str], rows: list[list[str]], caption: str = "") -> str:
    """Return a static table; the cells are raw text."""
    body = "".join("<tr>" + "".join(f"<td>{escaped_html(c)}</td>" for c in row) + "</tr>" for row in rows)
    title = f"<caption>{escaped_html(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{''.join(f'<th>{escaped_html(h)}</th>' for h in head)}</tr></thead>{body}</table>"

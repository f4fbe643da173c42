"""The dashboard: the bar on top, the panels in tabs below, and the static picture a saved notebook keeps."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import ipywidgets
from IPython.display import display, update_display

from ior_nb.runtime import LiveRuntime, own
from ior_nb.runtime.text import NO_MATH
from ior_nb.widgets import PANELS, make_panel
from ior_nb.widgets.bar import Bar
from ior_nb.widgets.panel import Panel
from ior_nb.widgets.ticker import ticker

__all__ = ["Dashboard"]

_LOG: Final = logging.getLogger(__name__)

_STILL_S: Final = 30.0
"""How often the static picture is renewed while a trace runs."""
_FIRST_STILL_S: Final = 3.0
"""How soon it is renewed for the first time."""
_IN_STILL: Final = dict.fromkeys(("overview", "flame", "syscalls", "files"))
_STILL_STYLE: Final = """<style>
.ior-still { font: 13px/1.5 system-ui, sans-serif; }
.ior-still table { display: inline-table; border-collapse: collapse; margin: 0 18px 10px 0; vertical-align: top;
  font-size: 12px; }
.ior-still th, .ior-still td { padding: 1px 8px; text-align: right; }
.ior-still :is(th, td):first-child { text-align: left; max-width: 46ch; overflow-wrap: anywhere; }
.ior-still th { border-bottom: 1px solid #8886; }
.ior-still caption { text-align: left; font-weight: 600; }
/* Where no kernel is behind the page, the live view below is only a notice of that. */
.jp-OutputArea-child:has(.ior-still) + .jp-OutputArea-child > .jupyter-widgets:not(:has(*)) { display: none; }
</style>"""


@own.all_ours
class Dashboard:
    """All panels over one runtime. Display it as often as you like; `close` ends it.

    Args:
        runtime: what it shows.
        panels: names of `PANELS`; all by default.
        on_close: called when it has been closed.

    Raises:
        ConfigError: there is no such panel.
    """

    closed: bool

    def __init__(
        self, runtime: LiveRuntime, panels: Sequence[str] = (), *, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self._on_close = on_close
        self.runtime = runtime
        names = list(panels or PANELS)
        self._still_id = f"ior-still-{uuid.uuid4().hex[:12]}"
        self._still_at = 0.0
        self._still_text = ""
        self.panels: dict[str, Panel] = {}
        self.closed = False
        try:
            self.bar = Bar(runtime, still_id=self._still_id, on_tick=self._tick)
            for name in names:
                self.panels[name] = make_panel(name, runtime)
        except BaseException:
            self.close()
            raise
        tabs = ipywidgets.Tab(
            children=list(self.panels.values()), titles=[PANELS[name][0] for name in names], selected_index=0
        )
        tabs.add_class("ior-tabs")
        self.widget = ipywidgets.VBox([self.bar, tabs])
        self.widget.add_class("ior-dashboard")
        self.tabs = tabs

    def __getitem__(self, name: str) -> Panel:
        return self.panels[name]

    def show(self, name: str) -> None:
        """Bring a panel to the front."""
        self.tabs.selected_index = list(self.panels).index(name)

    def still(self) -> str:
        """Return the last state as static HTML."""
        parts = [_still(panel) for panel in (self.bar, *(self.panels[n] for n in _IN_STILL if n in self.panels))]
        return f'{_STILL_STYLE}<div {NO_MATH}><div class="ior-still" id="{self._still_id}">{"".join(parts)}</div></div>'

    def _ipython_display_(self) -> None:
        """Show the static picture, which the live view hides as long as it lives, and the live view."""
        for panel in (self.bar, *self.panels.values()):
            panel.expect()
        ticker.do(self._refresh, wait_s=2.0)  # not here: what it costs would be in the user's trace
        self._still_text, self._still_at = self.still(), time.monotonic() - _STILL_S + _FIRST_STILL_S
        display({"text/html": self._still_text}, raw=True, display_id=self._still_id)  # type: ignore[no-untyped-call]
        display(self.widget)  # type: ignore[no-untyped-call]

    def _refresh(self) -> None:
        self.runtime.update()
        for panel in (self.bar, *self.panels.values()):
            panel.refresh(time.monotonic(), force=True)

    def _tick(self, ended: bool) -> None:
        """Renew the static picture now and then, and when the trace has ended. Called by the bar."""
        now = time.monotonic()
        if self._still_text and (ended or now - self._still_at >= _STILL_S):
            for name in _IN_STILL.keys() & self.panels.keys():  # also those nobody looks at
                self.panels[name].refresh(now, force=True)
            self._renew_still(now)

    def _renew_still(self, now: float) -> None:
        text = self.still()
        if text != self._still_text:
            update_display({"text/html": text}, raw=True, display_id=self._still_id)  # type: ignore[no-untyped-call]
        self._still_text, self._still_at = text, now

    def close(self) -> None:
        """Remove the views; the static picture stays. Idempotent."""
        if self.closed:
            return
        self.closed = True
        with ticker.lock:
            if self._still_text:
                self._renew_still(time.monotonic())
        for panel in (*self.panels.values(), *([self.bar] if hasattr(self, "bar") else [])):
            panel.close()
        if hasattr(self, "widget"):
            for widget in (self.tabs, self.widget):
                widget.layout.close()
                widget.close()
        self._on_close()


def _still(panel: Panel) -> str:
    """Return a panel's static picture; one that cannot be drawn is left out."""
    try:
        return panel.still()
    except Exception:
        _LOG.exception("the panel %s has no static picture", panel.name)
        return ""

"""The live views: one panel a file, each an anywidget fed by the ticker. Panels know `ior_nb.runtime`, no engine.

To add a panel, write a file with a subclass of `Panel` (and its part of the page in js/), and add a row to `PANELS`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ior_nb.runtime import LiveRuntime
    from ior_nb.widgets.panel import Panel

__all__ = ["PANELS", "make_panel"]

# Name -> (title of its tab, "module:class"). The order is that of the tabs.
PANELS: Final = {
    "overview": ("Overview", "ior_nb.widgets.overview:OverviewPanel"),
    "flame": ("Flame", "ior_nb.widgets.flamegraph:FlamePanel"),
    "syscalls": ("Syscalls", "ior_nb.widgets.syscalls:SyscallsPanel"),
    "files": ("Files", "ior_nb.widgets.files:FilesPanel"),
    "processes": ("Processes", "ior_nb.widgets.processes:ProcessesPanel"),
    "lines": ("Lines", "ior_nb.widgets.lines:LinesPanel"),
    "latency": ("Latency", "ior_nb.widgets.latency:LatencyPanel"),
    "stream": ("Stream", "ior_nb.widgets.stream:StreamPanel"),
    "filter": ("Filter", "ior_nb.widgets.filter:FilterPanel"),
    "probes": ("Probes", "ior_nb.widgets.probes:ProbesPanel"),
    "recorder": ("Record", "ior_nb.widgets.recorder:RecorderPanel"),
    "picker": ("Trace", "ior_nb.widgets.picker:PickerPanel"),
}


def make_panel(name: str, runtime: LiveRuntime) -> Panel:
    """Return a panel on its own.

    Raises:
        ConfigError: there is no such panel.
    """
    from ior_nb.errors import ConfigError

    if name not in PANELS:
        raise ConfigError(f"there is no panel {name!r}; one of {', '.join(PANELS)}")
    module, _, kind = PANELS[name][1].partition(":")
    panel: Panel = getattr(importlib.import_module(module), kind)(runtime)
    return panel

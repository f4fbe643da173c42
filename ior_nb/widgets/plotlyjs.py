"""plotly.js for the panels that draw with it: taken from the installed `plotly`, sent to a page once.

The script is too large to be part of each panel. One hidden widget holds it, compressed; panels name that widget, and
`plotlyOf` in js/plotlyjs.js takes it from there. The page gets it with the widget, so that nothing is asked of a kernel
that may be busy, and nothing of the network.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
from pathlib import Path
from typing import Final

import ipywidgets
import traitlets

from ior_nb.real import Lock

__all__ = ["PlotlyBundle", "bundle", "bundle_name", "compressed"]

_LOCK: Final = Lock()
_made: PlotlyBundle | None = None


class PlotlyBundle(ipywidgets.Widget):
    """Holds the script; has no view."""

    gz = traitlets.Bytes().tag(sync=True)
    """plotly.min.js, gzip; empty where the installed plotly has none."""


@functools.cache
def compressed() -> bytes:
    """Return the script, gzip, made once; found without importing plotly, which takes long."""
    spec = importlib.util.find_spec("plotly")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "package_data" / "plotly.min.js"
        if path.is_file():
            return gzip.compress(path.read_bytes(), 6, mtime=0)
    return b""


def bundle() -> PlotlyBundle:
    """Return the one widget of this kernel; made on first use, and again when somebody has closed it."""
    global _made
    with _LOCK:
        if _made is None or _made.comm is None:
            _made = PlotlyBundle(gz=compressed())
        return _made


def bundle_name() -> str:
    """Return how a panel names the widget to the page: the value of its synced trait `plotly`."""
    return f"IPY_MODEL_{bundle().model_id}"

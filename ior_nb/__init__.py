"""ior-nb: trace the I/O system calls of your code, live, with eBPF, in the notebook.

    import ior_nb
    with ior_nb.trace() as t:
        ...
    t.df()

In a notebook: `%load_ext ior_nb`, then `%%ior` on top of a cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ior_nb import version

if TYPE_CHECKING:
    from ior_nb import errors as errors
    from ior_nb.doctor import examine as examine
    from ior_nb.engine.replay import ReplayEngine as ReplayEngine
    from ior_nb.result.convert import convert as convert
    from ior_nb.result.load import load as load
    from ior_nb.result.trace import Trace as Trace
    from ior_nb.runtime import Filter as Filter
    from ior_nb.runtime.labels import label as label
    from ior_nb.session.session import TracerSession as TracerSession
    from ior_nb.session.tracing import dashboard as dashboard
    from ior_nb.session.tracing import trace as trace
    from ior_nb.session.window import Window as Window

__all__ = [
    "Filter",
    "ReplayEngine",
    "Trace",
    "TracerSession",
    "Window",
    "__version__",
    "convert",
    "dashboard",
    "errors",
    "examine",
    "label",
    "load",
    "load_ipython_extension",
    "trace",
    "unload_ipython_extension",
]

__version__ = version.VERSION

# Public name -> module; imported when first asked for, so that `import ior_nb` costs nothing.
_HOMES = {
    "Filter": "ior_nb.runtime",
    "ReplayEngine": "ior_nb.engine.replay",
    "Trace": "ior_nb.result.trace",
    "TracerSession": "ior_nb.session.session",
    "Window": "ior_nb.session.window",
    "convert": "ior_nb.result.convert",
    "dashboard": "ior_nb.session.tracing",
    "errors": "ior_nb.errors",
    "examine": "ior_nb.doctor",
    "label": "ior_nb.runtime.labels",
    "load": "ior_nb.result.load",
    "trace": "ior_nb.session.tracing",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib
        import sys

        bring = importlib.import_module
        if "ior_nb.runtime.own" in sys.modules:  # else nothing is traced
            from ior_nb.runtime import own

            bring = own.ours(bring)
        home = bring(_HOMES[name])
        found = globals()[name] = home if home.__name__ == f"ior_nb.{name}" else getattr(home, name)
        return found
    raise AttributeError(f"module 'ior_nb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext ior_nb`: the magics `%ior` and `%%ior`."""
    from ior_nb.commands.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext ior_nb`."""
    from ior_nb.commands.magics import unload

    unload(shell)

"""Every public surface of a trace, to be tried with whatever rows a stranger's recording has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ior_nb.engine.replay import ReplayEngine
from ior_nb.export import EXPORTERS
from ior_nb.result.trace import Trace
from ior_nb.runtime import Scope, TraceOptions
from ior_nb.session.desk import Desk
from ior_nb.session.session import TracerSession
from ior_nb.sinks.flamegraph import METRICS, LiveTrie
from ior_nb.sinks.statsengine import Statistics
from ior_nb.syscalls import SYSCALLS
from ior_nb.widgets import PANELS, make_panel
from tests.fakes import FakeEngine

__all__ = ["SURFACES", "played"]

_ALL: Final = TraceOptions(scope=Scope(mode="all"), enabled=frozenset(c.number for c in SYSCALLS))


def _export(name: str) -> Callable[[Trace, Path], object]:
    def export(trace: Trace, folder: Path) -> object:
        path = trace.export(folder / f"exported{EXPORTERS[name].extension}", format=name)
        path.unlink()
        return path

    return export


def _diff(trace: Trace, folder: Path) -> object:
    found = trace.diff(trace.filter("bytes>=1"))
    tables = [found.totals(), found.syscalls(), found.latency(), found.files(), found.processes()]
    return [*tables, found.flame().to_json(), repr(found), found._repr_html_()]


def _counted(trace: Trace, folder: Path) -> object:
    statistics, trie = Statistics(), LiveTrie()
    for batch in trace.batches():
        statistics.ingest(batch)
        trie.ingest(batch)
    return [statistics.snapshot(by=by) for by in ("count", "bytes", "latency")], trie.snapshot_tree()


def _panels(trace: Trace, folder: Path) -> object:
    with TracerSession(engine=FakeEngine()) as session:
        desk = Desk(session, trace)
        for name in PANELS:
            panel = make_panel(name, desk)
            try:
                panel.refresh(0.0, force=True)
                assert not panel.data.get("error"), f"{name}: {panel.data['error']}"
                panel.still()
            finally:
                panel.close()
    return desk


def _shown(trace: Trace, folder: Path) -> object:
    summary = trace.summary()
    texts = [summary.text(100), repr(trace), str(trace)]
    pages = [summary.html(), trace._repr_html_()]
    for text in (*texts, *pages):
        assert "\x1b" not in text, "an escape byte on its way to a terminal"
    for page in pages:
        assert "<script" not in page, "markup of a stranger"
    return texts, pages


def _asked(name: str, *arguments: str, **options: str) -> Callable[[Trace, Path], object]:
    """Return what asks a trace for something; a figure is written out, as a page does."""

    def ask(trace: Trace, folder: Path) -> object:
        found = getattr(trace, name)(*arguments, **options)
        return found.to_json() if hasattr(found, "to_plotly_json") else found

    return ask


_TABLES: Final = ("stats", "syscalls", "families", "files", "directories", "processes", "errors", "slowest", "timeline")

SURFACES: Final[dict[str, Callable[[Trace, Path], object]]] = {
    "summary": _shown,
    "df": lambda trace, _: trace.df().describe(include="all"),
    "table": lambda trace, _: trace.table().validate(full=True),
    **{name: _asked(name) for name in (*_TABLES, "metadata", "batches", "__len__")},
    **{f"flame by {metric}": _asked("flame", metric=metric) for metric in METRICS},
    **{f"plot {what}": _asked("plot", what) for what in ("timeline", "latency", "heatmap", "files")},
    "filter": lambda trace, _: trace.filter("latency>=1ms or errors or file~a or bytes>1 or pid>1").summary().text(),
    "diff": _diff,
    "statistics": _counted,
    "panels": _panels,
    **{f"export {name}": _export(name) for name in EXPORTERS},
}
"""By name; each takes the trace and a folder for its files."""


def played(path: Path) -> int:
    """Play a recording to its end; return its rows."""
    engine = ReplayEngine(path)
    rows = 0

    def count(batch: Any) -> None:
        nonlocal rows
        rows += len(batch)

    try:
        engine.start(_ALL, count)
        engine.flush()
        engine.stop()
    finally:
        engine.close()
    return rows

"""The text of a cell as IPython keeps it, and traces of its calls."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from types import MappingProxyType

from ior_nb.result.trace import Trace
from ior_nb.runtime import Accounting, EventBatch


def keep(cell: str, lines: list[str]) -> None:
    """Have the lines of a cell at hand, until `linecache` is cleared."""
    linecache.cache[cell] = (sum(map(len, lines)), None, lines, cell)


def traced(rows: EventBatch, cells: Mapping[str, int] = MappingProxyType({})) -> Trace:
    """Return a finished trace of these rows; the cells have these numbers."""
    trace = Trace(title="this cell", scope="", engine="fake")
    trace.add(rows)
    trace.cells = dict(cells)
    trace.finish(window=(0, 1), accounting=Accounting(seen=len(rows), emitted=len(rows)), counters={})
    return trace

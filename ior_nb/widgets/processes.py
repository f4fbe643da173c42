"""Processes: one row for each process; an id that is used again is another process."""

from __future__ import annotations

from typing import Any, Final

from ior_nb.runtime import Snapshot
from ior_nb.widgets.page import packed, script, style
from ior_nb.widgets.table import ACTIVITY, TablePanel, activity_cells, fitted, section

__all__ = ["ProcessesPanel"]

_NUMBERS: Final = {
    **ACTIVITY,
    "pid": "pid",
    "lifetime": "lifetime",
    "ppid": "ppid",
    "ended": "ended",
    "rate": "rate",
    "folded": "folded",
}


class ProcessesPanel(TablePanel):
    """Processes."""

    name = "processes"
    dimensions = {"pid": int, "comm": str}  # noqa: RUF012 - never changed
    _esm = script("processes.js")
    _css = style("table.css")

    def sections(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return the processes."""
        blank = {"pid": 0, "lifetime": 0, "ppid": 0, "ended": False, "comm": "(other)", "host": ""}
        rows = fitted(snapshot.processes, _NUMBERS, lambda row: 4 * len(row.comm) + 4 * len(row.host) + 2, blank)
        texts = {"comm": [row.comm for row in rows], "host": [row.host for row in rows]}
        return {"processes": packed({**section(rows, _NUMBERS), **texts})}

    def still_rows(self, snapshot: Snapshot) -> tuple[list[str], list[list[str]]]:
        """Return the processes."""
        rows = [[row.label, "" if row.special else row.comm, *activity_cells(row)] for row in snapshot.processes]
        return ["pid", "command", "calls", "read", "written", "mean latency", "errors"], rows

"""Lines: one row for each line of Python that made calls, the innermost of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from IPython.core.getipython import get_ipython

from ior_nb.runtime import Snapshot
from ior_nb.runtime.filter import Number, Text
from ior_nb.runtime.stacks import cell_files, is_cell
from ior_nb.runtime.text import middle_cut
from ior_nb.widgets.checked import LONGEST_PATH, text, value_of, whole
from ior_nb.widgets.page import packed, script, style
from ior_nb.widgets.table import ACTIVITY, TablePanel, activity_cells, fitted, section

__all__ = ["LinesPanel"]

_NUMBERS: Final = {**ACTIVITY, "line": "line", "folded": "folded"}
_NO_CELL, _SOME_CELL = 0, -1  # a cell of nobody knows which number
_LAST_LINE: Final = (1 << 31) - 1


class LinesPanel(TablePanel):
    """Lines of Python."""

    name = "lines"
    dimensions = {"py_file": str, "py_func": str}  # noqa: RUF012 - never changed
    _esm = script("lines.js")
    _css = style("table.css")

    def sections(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return the lines."""
        blank = {"function": "(other)", "file": "", "line": 0}
        rows = fitted(snapshot.lines, _NUMBERS, lambda row: 4 * (len(row.file) + len(row.function)) + 2, blank)
        names = {"function": [row.function for row in rows], "file": [row.file for row in rows]}
        numbers = cell_files(get_ipython())
        cells = [numbers.get(row.file, _SOME_CELL) if is_cell(row.file) else _NO_CELL for row in rows]
        return {"lines": packed({**section(rows, _NUMBERS), **names, "cell": np.array(cells, np.int32)})}

    def still_rows(self, snapshot: Snapshot) -> tuple[list[str], list[list[str]]]:
        """Return the lines."""
        numbers = cell_files(get_ipython())
        paths = [row.file for row in snapshot.lines]
        files = [f"cell {numbers[path]}" if path in numbers else middle_cut(path, 60) for path in paths]
        rows = [
            [row.function, "" if row.special else f"{file}:{row.line}", *activity_cells(row)]
            for row, file in zip(snapshot.lines, files, strict=True)
        ]
        return ["function", "line", "calls", "read", "written", "mean latency", "errors"], rows

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """`line`: only calls of one line of a file; the rest is that of every table."""
        if what == "narrow" and body.get("dimension") == "line":
            file, line = text(body, "value", LONGEST_PATH), whole(body, "line", 0, _LAST_LINE)
            value_of({"dimension": "py_file", "value": file}, self.dimensions)
            exact = Text("py_file", "~", f"^{file}$") if "*" in file else Text("py_file", "=", file)
            self.narrow(exact, Number("py_line", "=", line))
        else:
            super().act(what, body)

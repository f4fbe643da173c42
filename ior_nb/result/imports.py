"""What imports cost a trace, by package: one line that folds, of the whole trace and of each cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from ior_nb.aggregate import packages
from ior_nb.real import Lock
from ior_nb.result.cost import COSTS, Cost, Costs, Packages, margin_cells, said
from ior_nb.runtime import EventBatch
from ior_nb.runtime.filter import import_rows
from ior_nb.runtime.patterns import verdicts
from ior_nb.runtime.stacks import CUT, is_cell, is_library
from ior_nb.runtime.text import HTML_FONT, escaped_html, printable, show_ns

__all__ = ["ImportTally", "by_package", "imports_html", "imports_line"]

_PACKAGES: Final = 4
"""Named in a line at most."""


class ImportTally:
    """Adds up batches by package, and by the file whose import it was; any thread may ask meanwhile."""

    columns: Final = ("file", "stack", "py_file", *COSTS)
    """Those it looks at."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._costs: dict[tuple[str, str], Cost] = {}

    def add(self, batch: EventBatch) -> None:
        """Count the rows that are the cost of an import."""
        which = import_rows(batch)
        if not which.any():
            return
        batch = batch.take(which)
        codes, names = packages(batch)
        cut = verdicts(batch.tables["stack"], "~", f"^{CUT}").take(batch["stack"])
        keys, at = np.unique(batch["py_file"].astype(np.int64) << 32 | codes << 1 | cut, return_inverse=True)
        sums = Costs()
        sums.grow(len(keys))
        sums.made(batch, at)
        files = batch.tables["py_file"].at(keys >> 32)
        costs = sums.of(np.arange(len(keys)))
        with self._lock:
            for file, code, cost in zip(files, (keys & 0xFFFFFFFF).tolist(), costs, strict=True):
                key = (CUT if code & 1 else "") if is_library(file) else file, names[code >> 1]
                self._costs[key] = self._costs.get(key, Cost()) + cost

    def costs(self) -> dict[tuple[str, str], Cost]:
        """Return what was made for each file and package; for `CUT` what was made too deep for anybody to be seen."""
        with self._lock:
            return dict(self._costs)


def by_package(costs: Mapping[tuple[str, str], Cost], file: str | None = None) -> Packages:
    """Return the packages with what their import made, most time first.

    Args:
        costs: by file and package.
        file: whose imports; by default everybody's.
    """
    found: dict[str, Cost] = {}
    cells = {whose for whose, _ in costs if is_cell(whose)}
    wanted = {file, CUT} if cells == {file} else {file}  # of deep stacks, where only one cell has imported anything
    for (whose, package), cost in costs.items():
        if file is None or whose in wanted:
            found[package] = found.get(package, Cost()) + cost
    return tuple(sorted(found.items(), key=lambda item: (-item[1].time_ns, item[0])))


def imports_line(found: Packages, width: int = 0) -> str:
    """Return the cost of imports in one line: of all, and of the packages that took longest, as many as have room.

    Args:
        found: the packages; of none there is no line.
        width: room in characters; 0 for any.
    """
    if not found:
        return ""
    head = f"imports: {' '.join(said(sum((cost for _, cost in found), Cost())))}"
    for count in range(min(_PACKAGES, len(found)), 0, -1):
        shown = [f"{printable(package)} {show_ns(cost.time_ns)}" for package, cost in found[:count]]
        more = [f"{len(found) - count:,} more"] if len(found) > count else []
        line = f"{head} ({', '.join([*shown, *more])})"
        if not width or len(line) <= width:
            return line
    return head


def imports_html(found: Packages) -> str:
    """Return the same as a line of HTML that unfolds to all packages; every traced string is escaped."""
    if not found:
        return ""
    cell = "padding:0 8px;border:0;background:transparent;white-space:nowrap;text-align:right;"
    names = ("calls", "bytes", "time", "waiting", "package")
    head = "".join(f'<th style="{cell}opacity:.6;font-weight:normal">{name}</th>' for name in names[:-1])
    head += f'<th style="{cell}opacity:.6;font-weight:normal;text-align:left">{names[-1]}</th>'
    rows = [
        "".join(f'<td style="{cell}">{value}</td>' for value in margin_cells(cost))
        + f'<td style="{cell}text-align:left">{escaped_html(package)}</td>'
        for package, cost in found
    ]
    table = f'<table style="{HTML_FONT}font-variant-numeric:tabular-nums;color:inherit;border-collapse:collapse">'
    return (
        f'<details><summary style="cursor:pointer;opacity:.75">{escaped_html(imports_line(found))}</summary>'
        f"{table}<tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table></details>"
    )

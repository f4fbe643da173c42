"""A first and a second run of the same work in one line: what came from a device, and what that took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb import aggregate
from ior_nb.errors import ConfigError
from ior_nb.runtime import Completeness, Filter
from ior_nb.runtime.filter import Number
from ior_nb.runtime.passing import Passing
from ior_nb.runtime.rows import Rows, read
from ior_nb.runtime.text import printable, show_bytes, show_ns

__all__ = ["by_cells", "compared"]

_STORED: Final = ("file", "block")
_DIFFERENT: Final = 1.2
"""Times that differ by less are about the same."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run read of files."""

    title: str
    read: int
    fetched: int
    """Bytes devices had to read for it; -1 where nobody counted."""
    time_ns: int
    """In calls that read, and asleep in faults."""

    @classmethod
    def of(cls, title: str, rows: Rows) -> Run:
        """Return what rows say."""
        spent, read_bytes, time = aggregate.Spent(), 0, 0
        for batch in read(rows, "bytes", *dict.fromkeys((*aggregate.WAITED, *aggregate.MEASURED))):
            stored = batch.tables["file_kind"].among(_STORED).take(batch["file_kind"])
            reads = aggregate.moved(batch)[0]
            some = batch.take(stored & ((reads > 0) | aggregate.fault_rows(batch)))
            if len(some):
                reading = aggregate.Reading(some)
                latency = int(reading.latency.sum())
                spent.add(reading.measured, latency, reading.slept)
                read_bytes, time = read_bytes + int(aggregate.moved(some)[0].sum()), time + latency
        return cls(title, read_bytes, spent.fetched, max(spent.latency, time))

    def __str__(self) -> str:
        if not self.time_ns:
            return f"{printable(self.title)} read nothing of files"
        amount = "an unknown part" if self.fetched < 0 else show_bytes(self.fetched) if self.fetched else "nothing"
        came = f"{amount} of it from the device" if self.read else "from the device"
        return f"{printable(self.title)} read {show_bytes(self.read)} of files in {show_ns(self.time_ns)}, {came}"


def compared(first: tuple[str, Rows], second: tuple[str, Rows], lacking: list[Completeness]) -> str:
    """Return the line.

    Args:
        first: what it is called, and its rows.
        second: the same of the run after.
        lacking: what the rows of both lack.
    """
    runs = Run.of(*first), Run.of(*second)
    told = dict.fromkeys(side.told() for side in lacking if side.told())
    return "; ".join([str(runs[0]), f"{runs[1]}{_faster(*(run.time_ns for run in runs))}", *told])


def _faster(before: int, after: int) -> str:
    """Return how much faster the second run was; nothing where one of them did not read."""
    if not before or not after:
        return ""
    factor = max(before, after) / min(before, after)
    if factor < _DIFFERENT:
        return ": no faster"
    return f": {factor:{',.0f' if factor >= 100 else '.3g'}} times as {'fast' if before > after else 'slow'}"


def by_cells(rows: Rows) -> tuple[tuple[str, Rows], tuple[str, Rows]]:
    """Return the rows of the first and of the last cell of a trace.

    Raises:
        ConfigError: it has no two cells.
    """
    cells = sorted({cell for batch in read(rows, "cell") for cell in np.unique(batch["cell"]).tolist() if cell >= 0})
    if len(cells) < 2:
        raise ConfigError(
            "a first run is compared with a second one, and this trace has no two cells: first.cache(second) compares"
            " two traces, %ior start traces several cells"
        )
    first, last = ((f"cell {cell}", Passing(rows, Filter(Number("cell", "=", cell)))) for cell in (cells[0], cells[-1]))
    return first, last

"""A first and a second run of the same work in one line: what came from a device, and what that took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb import aggregate
from ior_nb.errors import ConfigError
from ior_nb.runtime import Completeness, EventBatch
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
    def of(cls, title: str, batch: EventBatch) -> Run:
        """Return what rows say."""
        kinds = batch.tables["file_kind"]
        codes = [code for kind in _STORED if (code := kinds.code(kind)) is not None]
        reads = aggregate.moved(batch)[0]
        rows = batch.take(np.isin(batch["file_kind"], codes) & ((reads > 0) | aggregate.fault_rows(batch)))
        spent, latency = aggregate.Spent(), aggregate.latencies(rows)[0]
        if len(rows):
            spent.add(rows, latency)
        time = max(spent.latency, int(latency.sum()))
        return cls(title, int(aggregate.moved(rows)[0].sum()), spent.fetched, time)

    def __str__(self) -> str:
        amount = "an unknown part" if self.fetched < 0 else show_bytes(self.fetched) if self.fetched else "nothing"
        came = f"{amount} of it from the device" if self.read else "from the device"
        return f"{printable(self.title)} read {show_bytes(self.read)} of files in {show_ns(self.time_ns)}, {came}"


def compared(first: tuple[str, EventBatch], second: tuple[str, EventBatch], lacking: list[Completeness]) -> str:
    """Return the line.

    Args:
        first: what it is called, and its rows.
        second: the same of the run after.
        lacking: what the rows of both lack.
    """
    runs = Run.of(*first), Run.of(*second)
    before, after = (max(run.time_ns, 1) for run in runs)
    factor = max(before, after) / min(before, after)
    words = f"{factor:.3g} times as {'fast' if before > after else 'slow'}" if factor >= _DIFFERENT else "no faster"
    told = dict.fromkeys(side.told() for side in lacking if side.told())
    return "; ".join([str(runs[0]), f"{runs[1]}: {words}", *told])


def by_cells(batch: EventBatch) -> tuple[tuple[str, EventBatch], tuple[str, EventBatch]]:
    """Return the rows of the first and of the last cell of a trace.

    Raises:
        ConfigError: it has no two cells.
    """
    cells = np.unique(batch["cell"])
    cells = cells[cells >= 0]
    if len(cells) < 2:
        raise ConfigError(
            "a first run is compared with a second one, and this trace has no two cells: first.cache(second) compares"
            " two traces, %ior start traces several cells"
        )
    one, two = int(cells[0]), int(cells[-1])
    return (f"cell {one}", batch.take(batch["cell"] == one)), (f"cell {two}", batch.take(batch["cell"] == two))

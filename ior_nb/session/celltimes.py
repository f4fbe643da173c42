"""`CellTimes`: when which cell of the notebook ran, so that a row finds its cell by its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ior_nb.runtime.clock import FOR_EVER, boot_clock

__all__ = ["Cell", "CellTimes"]


@dataclass(slots=True)
class Cell:
    """One run of a cell."""

    number: int
    """Its execution count."""
    begin: int
    """When it began, on the boot clock, ns."""
    inside: bool
    """Whether another was still running then, as one that runs it."""
    end: int = FOR_EVER


class CellTimes:
    """The cells that ran, in the order in which they began."""

    def __init__(self) -> None:
        self._ran: list[Cell] = []
        self._running = 0

    def begin(self, number: int) -> Cell:
        """Rows from now on belong to this cell, until its `end`."""
        cell = Cell(number, boot_clock(), inside=self._running > 0)
        self._ran.append(cell)
        self._running += 1
        return cell

    def end(self, cell: Cell) -> None:
        """The cell has ended; rows from now on belong to the one it ran in, if any."""
        cell.end = boot_clock()
        self._running -= 1

    def ran(self) -> list[tuple[int, int, int]]:
        """Return execution count, begin and end of each."""
        return [(cell.number, cell.begin, cell.end) for cell in self._ran]

    def of(self, times: np.ndarray) -> np.ndarray | None:
        """Return the cell each row began in, the innermost, -1 for none: int32, shape (n,). None where none ran yet."""
        if not self._ran or not len(times):
            return None
        low, high = int(times.min()), int(times.max())
        cells = np.full(len(times), -1, np.int32)
        for cell in reversed(self._ran):
            if cell.begin <= high and cell.end > low:
                cells[(cells == -1) & (times >= cell.begin) & (times < cell.end)] = cell.number
            elif cell.end <= low and not cell.inside:  # all before it had ended when it began
                break
        return cells

    def told(self, pages: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
        """Return what is counted by file with the cells in which files were made dirty first and last."""
        found = {path: dict(row) for path, row in pages.items()}
        dirty = [row for row in found.values() if row.get("dirtied_bytes")]
        for when in ("first", "last"):
            cells = self.of(np.array([row[f"{when}_dirtied_ns"] for row in dirty], np.int64))
            for row, cell in zip(dirty, cells.tolist() if cells is not None else (), strict=False):
                if cell >= 0:
                    row[f"{when}_cell"] = cell
        return found

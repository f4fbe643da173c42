"""`CellTimes`: when which cell of the notebook ran, so that a row finds its cell by its time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ior_nb.runtime.clock import FOR_EVER, boot_clock

__all__ = ["CellTimes"]


class CellTimes:
    """Begin, end and execution count of cells, in order of time."""

    def __init__(self) -> None:
        self._ran: list[list[int]] = []

    def __len__(self) -> int:
        return len(self._ran)

    def begin(self, number: int) -> list[int]:
        """Rows from now on belong to this cell, until its `end`."""
        entry = [boot_clock(), FOR_EVER, number]
        self._ran.append(entry)
        return entry

    def end(self, entry: list[int]) -> None:
        """The cell has ended."""
        entry[1] = boot_clock()

    def ran(self) -> list[tuple[int, int, int]]:
        """Return execution count, begin and end of each."""
        return [(number, begin, end) for begin, end, number in self._ran]

    def of(self, times: np.ndarray) -> np.ndarray | None:
        """Return the cell each row began in, -1 for none: int32, shape (n,). None where no cell ran yet."""
        if not self._ran or not len(times):
            return None
        low, high = int(times.min()), int(times.max())
        cells = np.full(len(times), -1, np.int32)
        for begin, end, number in reversed(self._ran):
            if begin <= high and end > low:
                cells[(cells == -1) & (times >= begin) & (times < end)] = number
            elif end <= low:
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

"""What a line, a place or an import made, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.aggregate import WAITED, Sums, latencies, slept, wait_rows, waiting
from ior_nb.runtime import EventBatch
from ior_nb.runtime.schema import PARTS
from ior_nb.runtime.text import show_bytes, show_count, show_ns

__all__ = ["COSTS", "Cost", "Costs", "Packages", "margin_cells", "said"]

COSTS: Final = tuple(dict.fromkeys((*WAITED, *PARTS, "bytes", "is_error", "probe")))
"""The columns of `Costs`."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What was made."""

    calls: int = 0
    errors: int = 0
    bytes: int = 0
    time_ns: int = 0
    """In calls, and asleep in faults on mapped files."""
    waiting_ns: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.calls + other.calls,
            self.errors + other.errors,
            self.bytes + other.bytes,
            self.time_ns + other.time_ns,
            self.waiting_ns + other.waiting_ns,
        )


class Costs(Sums):
    """What was made, by the numbers of groups."""

    def __init__(self) -> None:
        super().__init__(("calls", "errors", "bytes", "time", "waiting"))  # as `Cost` has them

    def made(self, batch: EventBatch, at: np.ndarray) -> None:
        """Count rows of the groups `at`, for which there is room."""
        self.add("calls", at, 1)
        self.add("errors", at[batch.failed], 1)
        self.add("bytes", at, batch["bytes"].view(np.int64))
        self.add("time", at, latencies(batch)[0])
        faults, asleep = slept(batch)
        self.add("time", at[faults], asleep)
        self.add("waiting", at, waiting(batch, wait_rows(batch)))

    def of(self, which: np.ndarray) -> list[Cost]:
        """Return what groups made, by their numbers."""
        rows = zip(*(column[which].tolist() for column in self.columns.values()), strict=True)
        return [Cost(*row) for row in rows]


Packages = tuple[tuple[str, Cost], ...]
"""What the import of each package made, most time first."""


def margin_cells(cost: Cost) -> tuple[str, str, str, str]:
    """Return calls, bytes, time and waiting as text; nothing for none but of calls and time."""
    waiting = show_ns(cost.waiting_ns) if cost.waiting_ns else ""
    return f"{cost.calls:,}", show_bytes(cost.bytes) if cost.bytes else "", show_ns(cost.time_ns), waiting


def said(cost: Cost) -> list[str]:
    """Return calls, bytes, time and waiting as words of a sentence."""
    _, moved, time, waiting = margin_cells(cost)
    return [
        f"{show_count(cost.calls, 'call')},",
        *([f"{moved},"] if moved else []),
        time,
        *([f"({waiting} waiting)"] if waiting else []),
    ]

"""What is added up of the rows of a trace for its summary: while they come, or by one look at them when it is asked."""

from __future__ import annotations

from typing import Final

from ior_nb.real import Lock
from ior_nb.result.imports import ImportTally
from ior_nb.result.lines import LineTally
from ior_nb.result.tally import Tally
from ior_nb.runtime import EventBatch
from ior_nb.runtime.rows import Rows, read
from ior_nb.runtime.waiting import Waiting

__all__ = ["Tallies"]

_COLUMNS: Final = tuple(dict.fromkeys((*Tally.columns, *LineTally.columns, *ImportTally.columns)))
"""Those they look at."""


class Tallies:
    """The sums of a trace; any thread may ask for them.

    Args:
        rows: those to look at when somebody asks for the first time; without them they come by `add`.
    """

    def __init__(self, rows: Rows | None = None) -> None:
        self._rows = rows
        self._looking = Lock()
        self._tally, self._lines, self._imports = Tally(), LineTally(), ImportTally()
        self._waiting = Waiting(_COLUMNS)

    @property
    def there(self) -> bool:
        """Whether all rows have been looked at that are not to come."""
        return self._rows is None

    def add(self, batch: EventBatch) -> None:
        """Count rows, when there are enough of them or somebody asks."""
        with self._looking:
            if (enough := self._waiting.add(batch)) is not None:
                self._count(enough)

    def _count(self, batch: EventBatch) -> None:
        for tally in (self._tally, self._lines, self._imports):
            tally.add(batch)

    def of_all(self) -> tuple[Tally, LineTally, ImportTally]:
        """Return the sums."""
        with self._looking:
            if (waiting := self._waiting.taken()) is not None:
                self._count(waiting)
            if self._rows is not None:
                tallies = Tally(), LineTally(), ImportTally()
                for batch in read(self._rows, *_COLUMNS):
                    for one in tallies:
                        one.add(batch)
                self._tally, self._lines, self._imports = tallies
                self._rows = None
        return self._tally, self._lines, self._imports

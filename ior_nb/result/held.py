"""The rows a trace keeps in memory: bounded by what they really take, strings included."""

from __future__ import annotations

from typing import Final

from ior_nb.errors import ConfigError
from ior_nb.runtime import EventBatch
from ior_nb.runtime.memory import memory_limit
from ior_nb.runtime.rows import Rows, read
from ior_nb.runtime.schema import COLUMNS
from ior_nb.runtime.text import show_bytes

__all__ = ["ROW_BYTES", "Held", "in_memory", "most_bytes"]

_SMALL: Final = 4096
"""Batches of fewer rows are joined: each takes as much as 50 rows before it has any."""

ROW_BYTES: Final = sum(column.dtype.itemsize for column in COLUMNS)
"""What a row takes in memory, without its strings."""


def most_bytes() -> int:
    """Return what the rows of a trace may take: an eighth of the memory, for joining them takes as much again."""
    return memory_limit() // 8


def in_memory(rows: Rows, count: int) -> EventBatch:
    """Return rows that are elsewhere as one batch.

    Args:
        rows: the rows.
        count: how many.

    Raises:
        ConfigError: they would not fit.
    """
    needed, most = count * ROW_BYTES, most_bytes()
    if needed > most:
        raise ConfigError(
            f"the {count:,} rows of this trace would take {show_bytes(needed)} in memory, and there is room for "
            f"{show_bytes(most)}: ask its tables and figures, which need no rows, or narrow it with "
            "t.filter(...) or ior_nb.load(..., start=..., end=...)"
        )
    return EventBatch.concat(list(read(rows)))


class Held:
    """Batches in the order in which they came. One thread adds; any may read.

    Attributes:
        batches: the rows.
        rows: how many.
    """

    def __init__(self) -> None:
        self.batches: list[EventBatch] = []
        self.rows = 0
        self._most = most_bytes()
        self._bytes = 0  # of the rows alone
        self._tables: dict[int, list[int]] = {}  # by id of a string table: batches that need it, and its bytes

    @property
    def nbytes(self) -> int:
        """What they take; a string table counts once."""
        return self._bytes + sum(size for _, size in self._tables.values())

    def pieces(self) -> tuple[EventBatch, ...]:
        """Return the batches there are now: see `runtime.rows`."""
        return tuple(self.batches)

    def add(self, batch: EventBatch) -> int:
        """Keep a batch; return how many rows, the oldest, had to go for it."""
        self._count(batch, 1)
        self.batches.append(batch)
        while len(self.batches) > 1 and len(self.batches[-2]) <= 2 * len(self.batches[-1]) < 2 * _SMALL:
            self._replace(slice(-2, None))
        gone = 0
        while self.nbytes > self._most and len(self.batches) > 1:
            oldest = self.batches.pop(0)
            self._count(oldest, -1)
            gone += len(oldest)
        return gone

    def joined(self) -> EventBatch:
        """Return all rows as one batch."""
        if len(self.batches) != 1:
            self._replace(slice(None))
        return self.batches[0]

    def _replace(self, which: slice) -> None:
        """Put the batches of a slice together."""
        parts = self.batches[which]
        whole = EventBatch.concat(parts)
        self.batches[which] = [whole]  # at once, for whoever reads meanwhile
        for part in parts:
            self._count(part, -1)
        self._count(whole, 1)

    def _count(self, batch: EventBatch, by: int) -> None:
        self.rows += by * len(batch)
        self._bytes += by * batch.nbytes
        for table in {id(table): table for table in batch.tables.values()}.values():
            known = self._tables.setdefault(id(table), [0, 0])
            known[0] += by
            known[1] = table.nbytes
            if not known[0]:
                del self._tables[id(table)]

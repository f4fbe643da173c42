"""`EventBatch`: n events as equal-length numpy columns plus shared string tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, overload

import numpy as np

from ior_nb.runtime.schema import COLUMNS, NAMES, TEXT_COLUMNS, column
from ior_nb.runtime.strings import StringTable

__all__ = ["EventBatch", "Row", "new_tables"]


def new_tables() -> dict[str, StringTable]:
    """Return one empty string table for each text column; `file`, `old_file` and `path_arg` share theirs."""
    paths = StringTable()
    shared = {"file": paths, "old_file": paths, "path_arg": paths}
    return {name: shared.get(name) or StringTable() for name in TEXT_COLUMNS}


class EventBatch(Sequence["Row"]):
    """An immutable batch of events.

    Args:
        columns: one array for each column of the schema, all of one length, typed as the schema says. Text
            columns hold int32 codes. A missing column is filled with the schema's "does not apply" value.
        tables: the string table of each text column. Batches of one trace share them.

    Raises:
        ValueError: lengths differ, or a column is not in the schema.
    """

    __slots__ = ("_columns", "_length", "tables")

    def __init__(self, columns: Mapping[str, np.ndarray], tables: Mapping[str, StringTable]) -> None:
        lengths = {len(a) for a in columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: { {n: len(a) for n, a in columns.items()} }")
        unknown = set(columns) - set(NAMES)
        if unknown:
            raise ValueError(f"unknown columns {sorted(unknown)}; the schema has {', '.join(NAMES)}")
        self._length = lengths.pop() if lengths else 0
        self._columns: dict[str, np.ndarray] = {}
        for spec in COLUMNS:
            array = columns.get(spec.name)
            if array is None:
                array = np.broadcast_to(np.array(spec.absent, spec.dtype), (self._length,))
            elif array.dtype != spec.dtype:
                array = array.astype(spec.dtype)
            self._columns[spec.name] = array
        self.tables: Mapping[str, StringTable] = tables

    @classmethod
    def empty(cls, tables: Mapping[str, StringTable] | None = None) -> EventBatch:
        """Return a batch of no rows."""
        return cls({}, tables if tables is not None else new_tables())

    @classmethod
    def concat(cls, batches: Sequence[EventBatch]) -> EventBatch:
        """Return the rows of `batches`, in order, as one batch.

        Batches that share their tables are joined by column; others are re-coded into the first one's tables.
        """
        batches = [b for b in batches if len(b)] or list(batches[:1])
        if not batches:
            return cls.empty()
        if len(batches) == 1:
            return batches[0]
        tables = batches[0].tables
        parts = [b.recoded(tables) for b in batches]
        return cls({n: np.concatenate([p[n] for p in parts]) for n in NAMES}, tables)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"EventBatch({self._length} rows)"

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """All columns by name, in schema order; text columns as codes."""
        return MappingProxyType(self._columns)

    @overload
    def __getitem__(self, index: str) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> EventBatch: ...
    def __getitem__(self, index: str | int | slice) -> np.ndarray | Row | EventBatch:
        if isinstance(index, str):
            return self._columns[index]
        if isinstance(index, slice):
            return EventBatch({n: a[index] for n, a in self._columns.items()}, self.tables)
        at = range(self._length)[index]
        return Row(self, at)

    def __iter__(self) -> Iterator[Row]:
        return (Row(self, i) for i in range(self._length))

    def text(self, name: str) -> np.ndarray:
        """Return a text column as strings: object array, shape (n,)."""
        return self.tables[name].texts(self._columns[name])

    def take(self, which: np.ndarray) -> EventBatch:
        """Return the rows of a boolean mask, shape (n,), or of an array of row numbers."""
        return EventBatch({n: a[which] for n, a in self._columns.items()}, self.tables)

    def with_columns(self, **columns: np.ndarray) -> EventBatch:
        """Return the same rows with some columns replaced."""
        return EventBatch({**self._columns, **columns}, self.tables)

    def recoded(self, tables: Mapping[str, StringTable]) -> EventBatch:
        """Return the same rows with the text columns coded by `tables`."""
        if tables is self.tables:
            return self
        columns = dict(self._columns)
        for name in TEXT_COLUMNS:
            mine, theirs = self.tables[name], tables[name]
            if mine is not theirs:
                used, inverse = np.unique(columns[name], return_inverse=True)
                columns[name] = theirs.intern_many([mine[c] for c in used.tolist()])[inverse]
        return EventBatch(columns, tables)


class Row(Mapping[str, Any]):
    """One event: a view into its batch. Columns by name (`row["file"]`) or attribute (`row.file`)."""

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: EventBatch, index: int) -> None:
        self._batch = batch
        self._index = index

    def __getitem__(self, name: str) -> Any:
        value = self._batch[name][self._index].item()
        return self._batch.tables[name][value] if column(name).text else value

    def __getattr__(self, name: str) -> Any:
        if name in NAMES:
            return self[name]
        raise AttributeError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{n}={self[n]!r}' for n in ('seq', 'syscall', 'ret', 'file', 'comm', 'pid'))})"

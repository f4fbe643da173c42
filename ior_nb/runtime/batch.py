"""`EventBatch`: n events as equal-length numpy columns plus shared string tables."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, overload

import numpy as np

from ior_nb.runtime.index import is_nothing, occurring, rows_of
from ior_nb.runtime.schema import COLUMNS, NAMES, TEXT_COLUMNS, column
from ior_nb.runtime.strings import StringTable

__all__ = [
    "MOST_STRINGS",
    "ROWS_AT_ONCE",
    "EventBatch",
    "Row",
    "Source",
    "distinct",
    "is_one_value",
    "joined",
    "new_tables",
    "renewed",
    "repeated",
]


class Source(NamedTuple):
    """The recording that rows are of."""

    number: int = 0
    """Its place among those the rows are of."""
    boot: str = ""
    """Which run of its machine's kernel it is of, or of a container there, so that ids go on; empty if unknown."""
    since: int = 0
    """When it began, on the clock of the rows, ns; 0 where nobody knows."""
    overlaps: tuple[tuple[int, int], ...] = ()
    """Of a file that was made of several recordings: from when to when more than one of them ran."""

    @property
    def of_boot(self) -> str:
        """Its boot, if it is known when it began as well: only then one can tell which processes it saw begin."""
        return self.boot if self.since else ""

    def overlapped(self, time: int) -> bool:
        """Whether more than one of the recordings it was made of ran at that time, so that a row may be of any."""
        return any(start <= time <= end for start, end in self.overlaps)

    def born_after(self, time: int, last: int) -> int:
        """Return a time at which a process that was born while this recorded was not there yet.

        Args:
            time: when its first call began.
            last: when the last call ended of the process that had its id before; 0 without one.
        """
        return self.since if self.overlapped(time) else max(last, self.since)


ROWS_AT_ONCE: Final = 32_768
"""Rows of one step where many are worked off: short enough that other threads do not wait long for the GIL."""
MOST_STRINGS: Final = 1 << 17
"""Of a table that more rows are still coded by; beyond, another one is begun, and old batches keep the old one."""
_FRAME_BYTES: Final = 128 * len(COLUMNS)
"""What a batch takes before it has rows: an array of numpy for each column."""
_ABSENT: Final = {spec.name: np.array([spec.absent], spec.dtype) for spec in COLUMNS}
for _value in _ABSENT.values():
    _value.flags.writeable = False
_NONE: Final[Mapping[str, np.ndarray]] = MappingProxyType({})


def new_tables() -> dict[str, StringTable]:
    """Return one empty string table for each text column; paths share theirs, and so do the ends of sockets."""
    paths, ends = StringTable(), StringTable()
    shared = {"file": paths, "old_file": paths, "path_arg": paths, "peer": ends, "local": ends}
    return {name: shared.get(name) or StringTable() for name in TEXT_COLUMNS}


def renewed(tables: Mapping[str, StringTable], most: int) -> Mapping[str, StringTable]:
    """Return the tables, those of more than `most` strings begun anew: who reads without end must not keep all."""
    new = {id(table): StringTable() for table in tables.values() if len(table) > most}
    return {name: new.get(id(table), table) for name, table in tables.items()} if new else tables


class EventBatch(Sequence["Row"]):
    """An immutable batch of events: who has it can read its columns, and nobody can write into them through it.

    Args:
        columns: one array for each column of the schema, all of one length, typed as the schema says. Text
            columns hold int32 codes. A missing column is filled with the schema's "does not apply" value.
        tables: the string table of each text column. Batches of one trace share them.
        extras: columns the schema does not have, which a loaded recording does: they go where the rows go, and into
            every table and file made of them, but nothing here knows what they mean.

    Raises:
        ValueError: lengths differ, or a column is not in the schema.
    """

    __slots__ = ("_columns", "_length", "extras", "tables")

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        tables: Mapping[str, StringTable],
        extras: Mapping[str, np.ndarray] = _NONE,
    ) -> None:
        lengths = {len(a) for a in (*columns.values(), *extras.values())}
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: { {n: len(a) for n, a in columns.items()} }")
        unknown = set(columns) - set(NAMES)
        if unknown:
            raise ValueError(f"unknown columns {sorted(unknown)}; the schema has {', '.join(NAMES)}")
        self._length = lengths.pop() if lengths else 0
        self._columns: dict[str, np.ndarray] = {}
        for name, absent in _ABSENT.items():
            array = columns.get(name)
            if array is None:
                array = _absent(name, self._length)
            else:
                array = _read_only(array.astype(absent.dtype, copy=False).view())  # the caller's own stays as it is
            self._columns[name] = array
        self.tables: Mapping[str, StringTable] = tables
        self.extras: Mapping[str, np.ndarray] = extras

    @classmethod
    def _of(
        cls,
        columns: dict[str, np.ndarray],
        length: int,
        tables: Mapping[str, StringTable],
        extras: Mapping[str, np.ndarray] = _NONE,
    ) -> EventBatch:
        """Return a batch of columns that are typed already; those that are left out it has not."""
        batch = cls.__new__(cls)
        batch._columns, batch._length, batch.tables = columns, length, tables  # noqa: SLF001 - its own class
        batch.extras = extras
        return batch

    @classmethod
    def owning(cls, columns: dict[str, np.ndarray], length: int, tables: Mapping[str, StringTable]) -> EventBatch:
        """Return a batch of columns that nobody else has, all of that length; those left out are absent."""
        found: dict[str, np.ndarray] = {}
        for name, absent in _ABSENT.items():
            array = columns.get(name)
            if array is None:
                found[name] = _absent(name, length)
            else:
                found[name] = _read_only(array if array.dtype == absent.dtype else array.astype(absent.dtype))
        return cls._of(found, length, tables)

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
        runs = [cls._joined(list(run)) for _, run in itertools.groupby(batches, lambda batch: id(batch.tables))]
        return runs[0] if len(runs) == 1 else cls._joined(cls.alike(runs))

    @classmethod
    def alike(cls, batches: Sequence[EventBatch]) -> list[EventBatch]:
        """Return batches whose text is coded by the tables of the first; of none an empty one."""
        batches = batches or [cls.empty()]
        return [batch.recoded(batches[0].tables) for batch in batches]

    @classmethod
    def _joined(cls, batches: Sequence[EventBatch]) -> EventBatch:
        """Join batches that share their tables."""
        length = sum(map(len, batches))
        columns = {n: joined([b[n] for b in batches], length) for n in batches[0].columns}
        extras = {
            name: _others([b.extras.get(name, np.full(len(b), None)) for b in batches])
            for name in dict.fromkeys(name for b in batches for name in b.extras)
        }
        return cls._of(columns, length, batches[0].tables, extras or _NONE)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"EventBatch({self._length} rows)"

    @property
    def nbytes(self) -> int:
        """What the rows take, without their strings: those belong to the tables, which others have as well."""
        of_arrays = sum(0 if is_one_value(array) else array.nbytes for array in self._columns.values())
        return of_arrays + sum(array.nbytes for array in self.extras.values()) + _FRAME_BYTES

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
            length = len(range(self._length)[index])
            extras = {n: a[index] for n, a in self.extras.items()} if self.extras else _NONE
            return EventBatch._of({n: a[index] for n, a in self._columns.items()}, length, self.tables, extras)
        at = range(self._length)[index]
        return Row(self, at)

    def __iter__(self) -> Iterator[Row]:
        return (Row(self, i) for i in range(self._length))

    @property
    def done(self) -> np.ndarray:
        """Which calls have returned: bool, shape (n,). Only they have a latency."""
        return self.of_state("done")

    @property
    def in_flight(self) -> np.ndarray:
        """Which calls had begun and not ended when the trace ended: bool, shape (n,)."""
        return self.of_state("in flight")

    @property
    def failed(self) -> np.ndarray:
        """Which calls are errors: bool, shape (n,). A probe that got "no" for an answer is none, though `is_error`."""
        failed = self._columns["is_error"]
        probe = self._columns["probe"]
        return failed if is_nothing(probe) else failed & ~probe

    def of_state(self, name: str) -> np.ndarray:
        """Return which calls are in that state: bool, shape (n,)."""
        state, code = self._columns["state"], self.tables["state"].code(name)
        some = state[:1] if is_one_value(state) else state
        found = _read_only(np.asarray(some == (-1 if code is None else code)))
        return repeated(found, self._length) if is_one_value(state) else found

    def pieces(self) -> tuple[EventBatch]:
        """Return itself: see `runtime.rows`."""
        return (self,)

    def read(self, *columns: str) -> EventBatch:
        """Return these columns alone, of all rows; itself where none is named. None in those that nobody knows."""
        if not columns:
            return self
        mine = {name: self._columns[name] for name in columns if name in _ABSENT}
        others = [name for name in columns if name not in _ABSENT] if len(mine) < len(columns) else ()
        extras = {n: self.extras[n] if n in self.extras else np.full(self._length, None) for n in others}
        return EventBatch._of(mine, self._length, self.tables, extras or _NONE)

    def some(self, which: np.ndarray, *columns: str) -> EventBatch:
        """Return these columns of some rows, by their numbers."""
        return self.read(*columns).take(which)

    def size(self) -> int:
        """Return the number of rows."""
        return self._length

    def bounds(self, column: str) -> None:
        """Return None: to know it, one has to look."""

    def source(self) -> Source:
        """Return nothing: of rows in memory nobody knows it."""
        return Source()

    def text(self, name: str) -> np.ndarray:
        """Return a text column as strings: object array, shape (n,)."""
        return self.tables[name].texts(self._columns[name])

    def without(self, names: Collection[str]) -> EventBatch:
        """Return the rows without some of the columns that are not ours."""
        extras = {name: values for name, values in self.extras.items() if name not in names}
        return EventBatch._of(self._columns, self._length, self.tables, extras or _NONE)

    def words(self, name: str) -> tuple[list[str], np.ndarray]:
        """Return the texts of a column that is not ours, and which of them each row has. Null is the empty one."""
        values = self.extras.get(name)
        if values is None:
            return [""], np.zeros(self._length, np.intp)
        given = values.tolist()
        try:
            numbers = {value: number for number, value in enumerate(dict.fromkeys(given))}
        except TypeError:  # lists, say
            given = [None if value is None else str(value) for value in given]
            numbers = {value: number for number, value in enumerate(dict.fromkeys(given))}
        which = np.fromiter(map(numbers.__getitem__, given), np.intp, len(given))
        return ["" if value is None else str(value) for value in numbers], which

    def take(self, which: np.ndarray) -> EventBatch:
        """Return the rows of a boolean mask, shape (n,), or of an array of row numbers."""
        rows = rows_of(which) if which.dtype == np.bool_ else which
        count = len(rows)
        columns = {
            n: repeated(a[:1], count) if is_one_value(a) else _read_only(a.take(rows)) for n, a in self._columns.items()
        }
        extras = {n: a[rows] for n, a in self.extras.items()} if self.extras else _NONE
        return EventBatch._of(columns, count, self.tables, extras)

    def with_columns(self, **columns: np.ndarray) -> EventBatch:
        """Return the same rows with some columns replaced."""
        replaced = dict(self._columns)
        for name, array in columns.items():
            if name not in replaced or len(array) != self._length:
                raise ValueError(f"no column {name!r} of {len(array)} rows in a batch of {self._length}")
            replaced[name] = _read_only(array.astype(_ABSENT[name].dtype, copy=False).view())
        return EventBatch._of(replaced, self._length, self.tables, self.extras)

    def recoded(self, tables: Mapping[str, StringTable]) -> EventBatch:
        """Return the same rows with the text columns coded by `tables`."""
        if tables is self.tables:
            return self
        columns = dict(self._columns)
        for name in [name for name in TEXT_COLUMNS if name in columns]:
            mine, theirs = self.tables[name], tables[name]
            if mine is not theirs:
                used, codes = distinct(columns[name], len(mine))
                columns[name] = _read_only(theirs.intern_many(mine.at(used)).take(codes))
        return EventBatch._of(columns, self._length, tables, self.extras)


def distinct(codes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of codes below `size`, ascending, and of each code which of them it is, int32."""
    if is_one_value(codes) or (codes == codes[:1]).all():
        return codes[:1], np.zeros(len(codes), np.int32)
    if size > 8 * len(codes):
        used, at = np.unique(codes, return_inverse=True)
        return used, at.astype(np.int32)
    codes = codes.astype(np.intp)  # else both look-ups below convert them, slowly
    used = occurring(codes, size)
    numbers = np.zeros(size, np.int32)
    numbers[used] = np.arange(len(used))
    return used, numbers.take(codes)


def is_one_value(array: np.ndarray) -> bool:
    """Tell whether an array is one value, repeated without memory of its own: what a column that is absent is."""
    return array.strides == (0,)


def repeated(value: np.ndarray, count: int) -> np.ndarray:
    """Return an array of one value, shape (1,), that takes no memory. `np.broadcast_to` takes ten times as long."""
    return np.ndarray((count,), value.dtype, value, strides=(0,)) if len(value) else value


_MANY: Final = 1 << 20
_ABSENT_ROWS: Final = {name: repeated(value, _MANY) for name, value in _ABSENT.items()}


def _absent(name: str, count: int) -> np.ndarray:
    """Return a column of which there is nothing. A slice of one that is there is made sooner than another."""
    return _ABSENT_ROWS[name][:count] if count <= _MANY else repeated(_ABSENT[name], count)


def joined(parts: Sequence[np.ndarray], length: int, room: np.ndarray | None = None) -> np.ndarray:
    """Return arrays of one type one behind the other; of one value alone that value, repeated without memory.

    Args:
        parts: the arrays.
        length: of all.
        room: uint64, shape (length,): memory to put them in; by default their own.
    """
    if len(parts) == 1:
        return parts[0]
    if all(map(is_one_value, parts)) and len({part[0].item() for part in parts}) == 1:
        return repeated(parts[0][:1], length)
    if room is None:
        return _read_only(np.concatenate(parts))
    found = room.view(parts[0].dtype)[:length]
    memory, at = found.data, 0
    for part in parts:  # numpy lets other threads run at each, and has to wait for them then
        memory[at : at + len(part)] = part.data
        at += len(part)
    return _read_only(found)


def _others(parts: list[np.ndarray]) -> np.ndarray:
    """Return a column that is not ours, whose nulls are None: beside points in time they have a value of their own."""
    if times := [part.dtype for part in parts if part.dtype.kind in "mM"]:
        never = np.array("NaT", times[0])  # and numpy would make numbers of times, to set None beside them
        parts = [np.full(len(part), never) if part.dtype == object else part for part in parts]
    return np.concatenate(parts)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


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

"""Recordings read a piece at a time: batches of rows, those of a stretch of time only, never the whole file at once."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

import numpy as np

from ior_nb.aggregate import probe_rows
from ior_nb.errors import RecordingError
from ior_nb.runtime.batch import MOST_STRINGS, EventBatch, new_tables, renewed
from ior_nb.runtime.memory import memory_limit
from ior_nb.runtime.schema import NAMES, TEXT_COLUMNS
from ior_nb.runtime.strings import StringTable
from ior_nb.runtime.text import printable, show_bytes
from ior_nb.sinks.parquet.bounds import Bounds
from ior_nb.sinks.parquet.chain import links
from ior_nb.sinks.parquet.files import identity, parquet_file
from ior_nb.sinks.parquet.reader import CORE, checked, opened, reading, unfinished
from ior_nb.syscalls import SYSCALLS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Recording", "RowGroup", "between", "footer", "overlaps"]


class ToBatch(Protocol):
    """Makes a batch of Arrow rows: `ior_nb.export.arrow.event_batch`."""

    def __call__(
        self,
        rows: pa.Table | pa.RecordBatch,
        tables: Mapping[str, StringTable] | None = None,
        *,
        only: Collection[str] | None = None,
    ) -> EventBatch:
        """Return the rows."""


_NEVER_RETURN: Final = tuple(c.name for c in SYSCALLS if c.result == "none")
_HOSTS: Final = ("ior_nb.hostname", "ior.hostname")
_MANY_ROWS: Final = 4_000_000
_ROWS_A_BYTE: Final = 4
"""More rows are in no file: times and latencies differ, which takes a byte at the least. Ours have 15 bytes a row."""
_SHORT: Final = 32
"""Characters of a text that statistics have whole."""
_BROKEN: Final = (OSError, ValueError, RuntimeError, MemoryError, KeyError)  # pyarrow's own are among these


@dataclass(frozen=True, slots=True)
class _Piece:
    """A row group, and where it is."""

    begin: int
    """Place of the Parquet file it belongs to: of a link in a chain, else 0."""
    length: int
    group: int
    rows: int
    times: tuple[int, int] | None
    """Least and greatest `time_ns`; None where the file does not say."""


class Recording:
    """A recording on the disk: a published file, a temporary file (running, or left by a crash), or one of `ior`.

    Making one reads footers only. The file is opened anew for each reading, so it may still be growing or go away.

    Args:
        path: the file.

    Raises:
        RecordingError: the file is missing, damaged or no recording.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.metadata: dict[str, str] = {}
        """What the footer says."""
        self.columns: tuple[str, ...] = ()
        """Names of the columns it has."""
        self.foreign: dict[str, pa.DataType] = {}
        """Types of those that are not ours."""
        self.host = ""
        """Name of the machine it was made on, which `told_apart` may add to; empty where it does not say."""
        self.unfinished = False
        """Whether it has no footer at its end: it is being written, or was cut off."""
        self.footers: dict[int, Any] = {}
        """Those of its Parquet files as pyarrow has them, by the place where each begins."""
        self.places: dict[int, dict[str, int]] = {}
        """Of the columns in each of these, by name."""
        self.bounds = Bounds()
        self._pieces: list[_Piece] = []
        with opened(path) as file:
            self.identity = identity(file)
            found, end = links(file)
            self.unfinished = bool(found) and unfinished(file, end)
            if self.unfinished:
                self._read_chain(file, found)
            else:
                self._add(file, 0, os.fstat(file.fileno()).st_size)
        self._span: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"Recording({printable(str(self.path))}, {self.rows:,} rows)"

    @property
    def rows(self) -> int:
        """Rows it says it has."""
        return sum(p.rows for p in self._pieces)

    @property
    def own_host(self) -> str:
        """What the machine called itself."""
        return next((self.metadata[key] for key in _HOSTS if self.metadata.get(key)), "")

    @property
    def made_up(self) -> bool:
        """Whether it is of the demo engine, directly or played back."""
        return self.metadata.get("ior_nb.engine") == "demo" or "demo data" in self.metadata.get("ior_nb.title", "")

    def span(self) -> tuple[int, int]:
        """Return the least and the greatest `time_ns`; zeros without rows. Reads that column where no statistics are.

        Raises:
            RecordingError: the file went away or is damaged.
        """
        if self._span is None:
            known = [p.times for p in self._pieces if p.times is not None]
            if len(known) < len(self._pieces):
                known = self._times()
            self._span = (min(a for a, _ in known), max(b for _, b in known)) if known else (0, 0)
        return self._span

    def batches(
        self,
        to_batch: ToBatch,
        *,
        start: int | None = None,
        end: int | None = None,
        columns: Sequence[str] | None = None,
        tables: Mapping[str, StringTable] | None = None,
        rows_at_once: int = 131_072,
    ) -> Iterator[EventBatch]:
        """Yield its rows in their order. A chain that breaks off ends there; a published file that does is an error.

        A column the file lacks is absent; but `state` and `probe` follow from the call, and `host` is that of the
        footer. Columns that are not ours come along where all are wanted.

        Args:
            to_batch: makes a batch of Arrow rows; `ior_nb.export.arrow.event_batch`.
            start: only rows with `time_ns` from here on.
            end: only rows with `time_ns` before this.
            columns: names of the columns wanted; all by default, the others are absent.
            tables: string tables to code the text with; the batches share new ones by default. Tables that have
                become long are begun anew.
            rows_at_once: longest batch; a row group is not read at once either.

        Raises:
            RecordingError: (while iterating) the file went away or is damaged, or one of the columns does not exist.
        """
        wanted = NAMES if columns is None else tuple(columns)
        if unknown := set(wanted).difference(NAMES):
            raise RecordingError(f"cannot read {printable(str(self.path))}: no column is called {', '.join(unknown)}.")
        read = self._needed(wanted if start is None and end is None else (*wanted, "time_ns"), foreign=columns is None)
        tables = tables if tables is not None else new_tables()
        bounds = Bounds()
        parts = self._arrow([p for p in self._pieces if overlaps(p.times, start, end)], read, rows_at_once)
        for number, rows in enumerate(parts):
            tables = renewed(tables, MOST_STRINGS)
            try:
                batch = self._completed(to_batch(rows, tables), wanted)
                if start is not None or end is not None:
                    batch = between(batch, start, end)
                bounds.check(batch, number)
            except ValueError as error:  # a column holds something else than it should
                raise RecordingError(f"cannot read {printable(str(self.path))}: {printable(str(error))}") from error
            if len(batch):
                yield batch

    def groups(self) -> list[RowGroup]:
        """Return its row groups, each of which can be read by itself. Of a chain those that are whole: it is read once.

        Raises:
            RecordingError: the file went away.
        """
        pieces = self._pieces
        if self.unfinished:
            whole = itertools.takewhile(self._is_whole, pieces)
            pieces = list(whole)
        begins = itertools.accumulate((p.rows for p in pieces), initial=0)
        return [RowGroup(self, *about) for about in enumerate(zip(pieces, begins, strict=False))]

    def _is_whole(self, piece: _Piece) -> bool:
        with opened(self.path) as file:
            try:
                parquet = parquet_file(file, piece.begin, piece.length, [n for n in TEXT_COLUMNS if n in self.columns])
                for rows in parquet.iter_batches(row_groups=[piece.group]):
                    checked(rows)
            except _BROKEN:
                return False
        return True

    def _needed(self, wanted: Iterable[str], *, foreign: bool) -> list[str]:
        """Return the columns to read for those that are wanted."""
        needed = set(wanted)
        if {"state", "probe"}.intersection(needed).difference(self.columns):
            needed |= {"syscall", "ret", "is_error"}
        if foreign:
            needed |= set(self.columns).difference(NAMES)
        return [name for name in self.columns if name in needed] or ["time_ns"]

    def _arrow(self, pieces: list[_Piece], columns: list[str], size: int) -> Iterator[pa.RecordBatch]:
        if not pieces:
            return
        texts = [name for name in TEXT_COLUMNS if name in columns]
        with opened(self.path) as file:
            for (begin, length), those in itertools.groupby(pieces, lambda piece: (piece.begin, piece.length)):
                try:
                    parquet = parquet_file(file, begin, length, texts)
                    for rows in parquet.iter_batches(size, row_groups=[p.group for p in those], columns=columns):
                        yield checked(rows)
                except _BROKEN:
                    if self.unfinished:  # a power cut may leave a link of the right length that holds zeros
                        return
                    raise

    def _times(self) -> list[tuple[int, int]]:
        import pyarrow.compute as pc

        found = []
        for rows in self._arrow(self._pieces, ["time_ns"], 1 << 20):
            both = pc.min_max(rows.column(0)).as_py()
            if isinstance(both["min"], int) and isinstance(both["max"], int):
                found.append((both["min"], both["max"]))
        return found

    def _completed(self, batch: EventBatch, wanted: Iterable[str]) -> EventBatch:
        """Fill in what follows from the rest."""
        filled: dict[str, np.ndarray] = {}
        tables, count = batch.tables, len(batch)
        if "state" in wanted and "state" not in self.columns:
            done, never = tables["state"].intern_many(["done", "no return"])
            filled["state"] = np.where(tables["syscall"].among(_NEVER_RETURN).take(batch["syscall"]), never, done)
        if "probe" in wanted and "probe" not in self.columns:
            filled["probe"] = probe_rows(batch)
        if "host" in wanted and self.host:
            mine = np.int32(tables["host"].intern(self.host))
            given = batch["host"]
            others = (given != 0) & (given != tables["host"].intern(self.own_host))
            filled["host"] = np.where(others, given, mine) if others.any() else np.broadcast_to(mine, (count,))
        return batch.with_columns(**filled) if filled else batch

    def _read_chain(self, file: BinaryIO, found: list[tuple[int, int]]) -> None:
        for index, (begin, length) in enumerate(found):
            try:
                self._add(file, begin, length)
            except _BROKEN:
                if not index:
                    raise
                return  # what comes after a link that is torn is no safer

    def _add(self, file: BinaryIO, begin: int, length: int) -> None:
        """Take in the footer of a Parquet file."""
        parquet = parquet_file(file, begin, length)
        names = tuple(parquet.schema_arrow.names)
        if not CORE.issubset(names):
            raise RecordingError(f"it is no recording: it has no column {', '.join(sorted(CORE.difference(names)))}.")
        self.footers[begin] = parquet.metadata
        if not self.columns:
            self.columns = names
            self.foreign = {f.name: f.type for f in parquet.schema_arrow if f.name not in NAMES}
            pairs = parquet.metadata.metadata or {}
            self.metadata = {_text(k): _text(v) for k, v in pairs.items() if k != b"ARROW:schema"}
            self.host = self.own_host
        schema = parquet.metadata.schema
        places = {schema.column(i).path: i for i in range(parquet.metadata.num_columns)}
        self.places[begin], where = places, places["time_ns"]
        if parquet.metadata.num_rows > max(_MANY_ROWS, _ROWS_A_BYTE * length):
            raise RecordingError(
                f"it is no recording: it says it has {parquet.metadata.num_rows:,} rows in {length:,} bytes."
            )
        for group in range(parquet.metadata.num_row_groups):
            about = parquet.metadata.row_group(group)
            largest = max(about.column(i).total_uncompressed_size for i in range(about.num_columns))
            if largest > memory_limit() // 8:
                raise RecordingError(f"a column of it takes {show_bytes(largest)} at once, too much for this machine.")
            times = _range(about.column(where).statistics)
            self._pieces.append(_Piece(begin, length, group, about.num_rows, times))


class RowGroup:
    """A row group of a recording, which is read anew each time.

    Attributes:
        rows: how many it has.
        first: number of its first row in the recording, from 0 on.
    """

    def __init__(self, recording: Recording, number: int, about: tuple[_Piece, int]) -> None:
        self._recording, self._number = recording, number
        self._piece, self.first = about
        self.rows = self._piece.rows
        self._one: dict[str, int | str | None] = {}

    def read(
        self,
        to_batch: ToBatch,
        tables: Mapping[str, StringTable],
        columns: Sequence[str] | None = None,
        which: np.ndarray | None = None,
    ) -> EventBatch:
        """Return these columns of its rows alone; all by default, those too that are not ours.

        Args:
            to_batch: makes a batch of Arrow rows.
            tables: string tables to code the text with.
            columns: names of the columns.
            which: numbers of the rows, ascending, of which the others are not wanted.

        Raises:
            RecordingError: the file went away, is damaged, or is another one by now.
        """
        recording, piece = self._recording, self._piece
        wanted = NAMES if columns is None else tuple(columns)
        needed = recording._needed(wanted, foreign=columns is None)  # noqa: SLF001 - a part of it
        known = {} if columns is None else self._same(needed)
        needed = [name for name in needed if name not in known]
        with opened(recording.path) as file:
            if recording.identity != identity(file):
                raise RecordingError("it is another file than when it was loaded; load it again.")
            texts = [name for name in TEXT_COLUMNS if name in needed]
            parquet = parquet_file(file, piece.begin, piece.length, texts, recording.footers[piece.begin])
            rows = _rows(parquet, piece.group, needed or ["time_ns"], piece.rows if which is None else which)
            batch = to_batch(rows, tables, only=None if columns is None else {*wanted, *needed, *known})
            codes = {n: tables[n].intern(value) if isinstance(value, str) else value for n, value in known.items()}
            constants = {name: np.broadcast_to(np.array(value), len(batch)) for name, value in codes.items()}
            batch = recording._completed(batch.with_columns(**constants), wanted)  # noqa: SLF001
            recording.bounds.check(batch, self._number)
        return batch if columns is None else batch.read(*wanted)

    def _same(self, columns: Iterable[str]) -> dict[str, int | str]:
        """Return those of these columns that have one value in all rows, by what the file says, and that value."""
        with reading(self._recording.path):  # names and statistics are decoded when they are asked for
            for name in columns:
                if name not in self._one:
                    value = None if name in CORE or name not in NAMES else _one_value(self._about(name))
                    self._one[name] = value if isinstance(value, str) == (name in TEXT_COLUMNS) else None
        return {name: value for name in columns if (value := self._one[name]) is not None}

    def _about(self, column: str) -> Any:
        """Return what the file says of a column; None where it has none of that name."""
        piece, recording = self._piece, self._recording
        at = recording.places[piece.begin].get(column)
        return None if at is None else recording.footers[piece.begin].row_group(piece.group).column(at)

    def bounds(self, column: str) -> tuple[int, int] | None:
        """Return the least and the greatest value of a column of integers, where the file says it."""
        if column == "time_ns":
            return self._piece.times
        with reading(self._recording.path):
            about = self._about(column)
            return _range(about.statistics) if about is not None else None


def _rows(parquet: Any, group: int, columns: list[str], which: np.ndarray | int) -> pa.Table:
    """Return rows of a row group.

    Args:
        parquet: the file.
        group: number of the row group.
        columns: the columns wanted.
        which: a number is that of all its rows; else numbers of some, ascending, and none behind the last is read.
    """
    import pyarrow as pa

    if isinstance(which, int):
        rows = parquet.read_row_group(group, columns=columns, use_threads=False)
        for part in rows.to_batches():
            checked(part)
        return rows
    most = int(which[-1]) + 1 if len(which) else 0
    parts, count = [], 0
    for part in parquet.iter_batches(max(most, 1), row_groups=[group], columns=columns, use_threads=False):
        parts.append(checked(part))
        count += len(part)
        if count >= most:
            break
    return pa.Table.from_batches(parts).unify_dictionaries().take(pa.array(which))


def footer(path: str | Path) -> dict[str, str]:
    """Return the metadata of a recording, by key.

    Raises:
        RecordingError: the file is missing, damaged or no recording.
    """
    return Recording(path).metadata


def _range(statistics: Any) -> tuple[int, int] | None:
    if statistics is None or not statistics.has_min_max:
        return None
    low, high = statistics.min, statistics.max
    return (low, high) if isinstance(low, int) and isinstance(high, int) else None


def _one_value(about: Any) -> int | str | None:
    """Return the number or short text that all rows of a column have, None where nobody knows of one."""
    told = None if about is None else about.statistics
    if told is None or not told.has_min_max or not told.has_null_count or told.null_count:
        return None
    try:
        low, high = told.min, told.max
    except UnicodeDecodeError:
        return None
    # Statistics may have the begin of a long text instead of it.
    short = isinstance(low, int) or (isinstance(low, str) and len(low) <= _SHORT)
    return low if short and low == high else None


def overlaps(times: tuple[int, int] | None, start: int | None, end: int | None) -> bool:
    """Tell whether rows may begin in a stretch of time.

    Args:
        times: when the first and the last of them begin; None where nobody knows.
        start: its begin.
        end: its end, which is not in it.
    """
    return times is None or ((end is None or times[0] < end) and (start is None or times[1] >= start))


def between(batch: EventBatch, start: int | None, end: int | None) -> EventBatch:
    """Return the rows of a stretch of time, whose ends may be beyond all times."""
    times = batch["time_ns"]
    inside = np.ones(len(batch), bool)
    if start is not None and start > 0:
        inside &= times >= np.uint64(start) if start < 1 << 64 else np.False_
    if end is not None and end < 1 << 64:
        inside &= times < np.uint64(end) if end > 0 else np.False_
    return batch if inside.all() else batch.take(inside)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")

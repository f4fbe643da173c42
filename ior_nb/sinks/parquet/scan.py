"""Recordings read a piece at a time: batches of rows, those of a stretch of time only, never the whole file at once."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

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
from ior_nb.sinks.parquet.reader import CORE, checked, opened, unfinished
from ior_nb.syscalls import SYSCALLS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Recording", "find", "footer"]

ToBatch = Callable[["pa.RecordBatch", Mapping[str, StringTable]], EventBatch]

_NEVER_RETURN: Final = tuple(c.name for c in SYSCALLS if c.result == "none")
_HOSTS: Final = ("ior_nb.hostname", "ior.hostname")
_MANY_ROWS: Final = 4_000_000
_ROWS_A_BYTE: Final = 4
"""More rows are in no file: times and latencies differ, which takes a byte at the least. Ours have 15 bytes a row."""
_BROKEN: Final = (OSError, ValueError, RuntimeError, MemoryError, KeyError)  # pyarrow's own are among these


@dataclass(frozen=True, slots=True)
class _Piece:
    """A row group, and where it is."""

    begin: int
    """Place of the Parquet file it belongs to: of a link in a chain, else 0."""
    length: int
    group: int
    rows: int
    first_ns: int | None
    """Least `time_ns`; None where the file does not say."""
    last_ns: int | None


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
        self.unfinished = False
        """Whether it has no footer at its end: it is being written, or was cut off."""
        self._pieces: list[_Piece] = []
        with opened(path) as file:
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
    def host(self) -> str:
        """Name of the machine it was made on; empty where it does not say."""
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
            known = [(p.first_ns, p.last_ns) for p in self._pieces if p.first_ns is not None and p.last_ns is not None]
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
        needed = {*wanted, *(() if start is None and end is None else ("time_ns",))}
        if {"state", "probe"}.intersection(wanted).difference(self.columns):
            needed |= {"syscall", "ret", "is_error"}
        if columns is None:
            needed |= set(self.columns).difference(NAMES)
        read = [name for name in self.columns if name in needed] or ["time_ns"]
        tables = tables if tables is not None else new_tables()
        bounds = Bounds()
        for rows in self._arrow([p for p in self._pieces if _overlaps(p, start, end)], read, rows_at_once):
            tables = renewed(tables, MOST_STRINGS)
            try:
                batch = self._completed(to_batch(rows, tables), wanted)
                if start is not None or end is not None:
                    batch = _between(batch, start, end)
                bounds.check(batch)
            except ValueError as error:  # a column holds something else than it should
                raise RecordingError(f"cannot read {printable(str(self.path))}: {printable(str(error))}") from error
            if len(batch):
                yield batch

    def _arrow(self, pieces: list[_Piece], columns: list[str], size: int) -> Iterator[pa.RecordBatch]:
        if not pieces:
            return
        texts = [name for name in TEXT_COLUMNS if name in columns]
        with opened(self.path) as file:
            for (begin, length), those in itertools.groupby(pieces, lambda piece: (piece.begin, piece.length)):
                try:
                    parquet = _parquet(file, begin, length, texts)
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
            calls = [code for name in _NEVER_RETURN if (code := tables["syscall"].code(name)) is not None]
            filled["state"] = np.where(np.isin(batch["syscall"], calls), never, done)
        if "probe" in wanted and "probe" not in self.columns:
            filled["probe"] = probe_rows(batch)
        if "host" in wanted and self.host:
            mine = np.int32(tables["host"].intern(self.host))
            given = batch["host"]
            if "host" in self.columns and given.any():
                filled["host"] = np.where(given == 0, mine, given)
            else:
                filled["host"] = np.broadcast_to(mine, (count,))
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
        parquet = _parquet(file, begin, length)
        names = tuple(parquet.schema_arrow.names)
        if not CORE.issubset(names):
            raise RecordingError(f"it is no recording: it has no column {', '.join(sorted(CORE.difference(names)))}.")
        if not self.columns:
            self.columns = names
            pairs = parquet.metadata.metadata or {}
            self.metadata = {_text(k): _text(v) for k, v in pairs.items() if k != b"ARROW:schema"}
        where = [parquet.metadata.schema.column(i).path for i in range(parquet.metadata.num_columns)].index("time_ns")
        if parquet.metadata.num_rows > max(_MANY_ROWS, _ROWS_A_BYTE * length):
            raise RecordingError(
                f"it is no recording: it says it has {parquet.metadata.num_rows:,} rows in {length:,} bytes."
            )
        for group in range(parquet.metadata.num_row_groups):
            about = parquet.metadata.row_group(group)
            largest = max(about.column(i).total_uncompressed_size for i in range(about.num_columns))
            if largest > memory_limit() // 8:
                raise RecordingError(f"a column of it takes {show_bytes(largest)} at once, too much for this machine.")
            low, high = _range(about.column(where).statistics)
            self._pieces.append(_Piece(begin, length, group, about.num_rows, low, high))


def footer(path: str | Path) -> dict[str, str]:
    """Return the metadata of a recording, by key.

    Raises:
        RecordingError: the file is missing, damaged or no recording.
    """
    return Recording(path).metadata


def find(where: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return the files of a path, a pattern, a folder (every `.parquet` below it), or several of these, in order.

    Raises:
        RecordingError: nothing is there.
    """
    if not isinstance(where, str | Path):
        several = [path for one in where for path in find(one)]
        if not several:
            raise RecordingError("there is nothing to read: no path was given.")
        return several
    path = Path(where)
    with contextlib.suppress(RuntimeError):  # no home directory for ~
        path = path.expanduser()
    text = os.fspath(path)
    shown = printable(os.fspath(where))
    try:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*.parquet") if p.is_file() and not p.name.startswith("."))
            if not found:
                raise RecordingError(f"cannot read {shown}: no file in that folder ends in .parquet.")
            return found
        if any(sign in text for sign in "*?[") and not path.exists():
            root = Path(path.anchor)
            found = sorted(p for p in root.glob(str(path.relative_to(root))) if p.is_file())
            if not found:
                raise RecordingError(f"cannot read {shown}: no file matches.")
            return found
    except (OSError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(f"cannot read {shown}: {getattr(error, 'strerror', None) or error}.") from error
    return [path]


class _Slice(io.RawIOBase):
    """Part of a file, as a file that can be read."""

    def __init__(self, file: BinaryIO, begin: int, length: int) -> None:
        self._fd, self._begin, self._length, self._at = file.fileno(), begin, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if at < 0:
            raise ValueError("an offset in the file is negative")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        view = view[: max(min(len(view), self._length - self._at), 0)]
        count = os.preadv(self._fd, [view], self._begin + self._at) if len(view) else 0
        self._at += count
        return count


def _parquet(file: BinaryIO, begin: int, length: int, dictionaries: Sequence[str] = ()) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        io.BufferedReader(_Slice(file, begin, length), 1 << 16),
        read_dictionary=list(dictionaries),
        page_checksum_verification=True,
    )


def _range(statistics: Any) -> tuple[int | None, int | None]:
    if statistics is None or not statistics.has_min_max:
        return None, None
    low, high = statistics.min, statistics.max
    return (low, high) if isinstance(low, int) and isinstance(high, int) else (None, None)


def _overlaps(piece: _Piece, start: int | None, end: int | None) -> bool:
    if piece.first_ns is None or piece.last_ns is None:
        return True
    return (end is None or piece.first_ns < end) and (start is None or piece.last_ns >= start)


def _between(batch: EventBatch, start: int | None, end: int | None) -> EventBatch:
    times = batch["time_ns"]
    inside = np.ones(len(batch), bool)
    if start is not None and start > 0:
        inside &= times >= np.uint64(start) if start < 1 << 64 else np.False_
    if end is not None and end < 1 << 64:
        inside &= times < np.uint64(end) if end > 0 else np.False_
    return batch if inside.all() else batch.take(inside)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")

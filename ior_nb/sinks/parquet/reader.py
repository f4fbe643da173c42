"""Recordings read back: published ones, and what a crash left."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from ior_nb.errors import RecordingError
from ior_nb.runtime.memory import memory_limit
from ior_nb.runtime.schema import TEXT_COLUMNS
from ior_nb.runtime.text import printable, show_bytes
from ior_nb.sinks.parquet.chain import links

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CORE", "checked", "opened", "read", "read_chain", "reading", "unfinished"]

_LONGEST: Final = 1 << 16
"""Of a text, in bytes. Paths have 4,096 at most; two of them may be joined, and each byte be written as four."""
# Without these it is no recording; later columns may be missing in the files of older programs.
CORE: Final = frozenset({"seq", "time_ns", "latency_ns", "pid", "tid", "syscall", "ret"})


def read(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a recording: a published file, or the temporary file of one that is unfinished or was cut off by a crash.

    Text columns are dictionaries. The metadata of the recording is that of the table's schema.

    Args:
        path: the file.
        columns: names of the columns to read; all by default.

    Raises:
        RecordingError: the file is missing, damaged or no recording, or lacks one of the columns.
    """
    with opened(path) as file:
        found, end = links(file)
        if found and unfinished(file, end):
            return _joined(file, found, columns)
        return _table(file, columns)


def read_chain(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return what the temporary file of a recording holds, up to its last complete row group.

    Raises:
        RecordingError: the file is missing, is no such file, or lacks one of the columns.
    """
    with opened(path) as file:
        found, _ = links(file)
        if not found:
            raise RecordingError(f"cannot read {printable(str(path))}: it is not the temporary file of a recording.")
        return _joined(file, found, columns)


def unfinished(file: BinaryIO, end: int) -> bool:
    """Tell whether a chain lacks the footer right behind its last link that makes it one Parquet file."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(end, size - 8))
    tail = file.read(8)
    return tail[4:] != b"PAR1" or end + int.from_bytes(tail[:4], "little") + len(tail) != size


def _joined(file: BinaryIO, found: list[tuple[int, int]], columns: Sequence[str] | None) -> pa.Table:
    import pyarrow as pa

    tables: list[pa.Table] = []
    for begin, length in found:
        file.seek(begin)
        data = file.read(length)
        try:
            tables.append(_table(pa.BufferReader(data), columns))
        except (OSError, ValueError, pa.ArrowException):
            # After a power cut a link may have the right length and hold zeros; what comes after it is no safer.
            if not tables:
                raise
            break
    return pa.concat_tables([t.replace_schema_metadata(tables[0].schema.metadata) for t in tables])


def _table(source: Any, columns: Sequence[str] | None) -> pa.Table:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(source)
    there = file.schema_arrow.names
    if not CORE.issubset(there):
        raise RecordingError(f"it is no recording: it has no column {', '.join(sorted(CORE.difference(there)))}.")
    missing = [name for name in columns or () if name not in there]
    if missing:
        raise RecordingError(f"it has no column {', '.join(missing)}. It has {', '.join(there)}.")
    file = pq.ParquetFile(
        source,
        metadata=file.metadata,
        read_dictionary=[name for name in TEXT_COLUMNS if name in there],
        page_checksum_verification=True,
    )
    table = file.read(columns=None if columns is None else list(columns))
    for batch in table.to_batches():
        checked(batch)
    return table


def checked(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows just read; a checksum does not cover every page header, and what hangs on it must not be believed.

    Raises:
        ValueError: text points outside its dictionary, or is longer than any name.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        if pa.types.is_dictionary(column.type) and len(column):
            ends = pc.min_max(column.indices).as_py()
            if ends["max"] is not None and not 0 <= ends["min"] <= ends["max"] < len(column.dictionary):
                raise ValueError(f"the column {name} is damaged: its text points outside its dictionary")
            words = column.dictionary
            longest = pc.max(pc.binary_length(words)).as_py() if _is_text(words.type) else 0
            if (longest or 0) > _LONGEST:
                raise ValueError(f"the column {name} is damaged: a text in it has {longest:,} bytes")
            if words.nbytes > memory_limit() // 8:
                raise ValueError(f"the texts of the column {name} take {show_bytes(words.nbytes)} at once")
    return rows


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return any(test(kind) for test in (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string))


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file to read, and put what goes wrong inside into one error that names it."""
    path = Path(path)
    with reading(path):
        path = path.expanduser()
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise RecordingError("it is no regular file.")  # opening a pipe would wait for its other end
        with path.open("rb") as file:
            yield file


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Put what goes wrong with what a file says, or with the file, into one error that names it."""
    import pyarrow as pa

    try:
        yield
    # RuntimeError: no home directory for ~; MemoryError and KeyError: lengths and names in a damaged footer.
    except (OSError, ValueError, RuntimeError, MemoryError, KeyError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise RecordingError(f"cannot read {printable(str(path))}: {printable(reason)}") from error

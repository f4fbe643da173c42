"""The temporary file of a recording: a chain that can be read up to its last complete link after a crash.

    PAR1 | length, Parquet file without rows | length, Parquet file of one row group | ... | zeros, or a torn link

Each link is a complete Parquet file behind its length (8 bytes, little-endian); the first one has the schema and the
metadata known at the start. To publish, one more footer is written at the end. It lists the row groups of all links,
their offsets moved by the place of their link, which makes the whole file one Parquet file: no row is written twice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from ior_nb.real import Descriptor
from ior_nb.runtime.schema import PARTS
from ior_nb.sinks.parquet.thrift import Field, Items, Kind, Struct, decode, encode

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Chain", "link", "links"]

_MAGIC: Final = b"PAR1"
_LENGTH: Final = struct.Struct("<Q")
_TAIL: Final = struct.Struct("<I4s")  # length of the footer before it, magic
_SLACK: Final = 128 << 10  # room kept for the metadata that is only known at the end

# Columns that a dictionary does not suit. Bytes a row in groups of 262,144 rows, behind zstd. By bytes gap_ns would
# take 2.1, but DuckDB before 2.0, Polars before 1.0 and fastparquet refuse BYTE_STREAM_SPLIT of integers.
_PLAIN: Final = (
    "gap_ns",  # plain 2.4, in a dictionary 2.7
    "latency_ns",  # 1.8, 1.9
    "offset",  # of random reads 1.9, 1.2; of others a dictionary finds nothing, and takes longest to find that
    # Few calls fill these, or all alike: zstd makes nothing of them without a dictionary too, in half the time.
    *("ppid", "cell", "address_space_bytes", "requested_sleep_ns", "nfds", "timeout_ns", "old_offset"),
    *("epoll_target_fd", "epoll_events"),
)
# Columns that are differences of neighbours, where no reader gets these wrong: seq takes nothing instead of 1.0 plain,
# time_ns 2.0 instead of 2.2, each in half the time. wall_ns is a column of traces of clusters.
_DELTAS: Final = ("seq", "time_ns", "wall_ns")
_DELTA_BITS: Final = 28  # fastparquet 2026.9 reads wider ones wrong, without a word, or crashes; Polars 0.20 from 56 on
# A higher level takes longer and saves nothing, but here: 2.18 bytes at level 1, 2.04 at 3; at 5, 1.99 in 2.5 times the
# processor time.
_LEVELS: Final = {"offset": 3}
# Columns whose range differs from group to group, so that a query can skip groups; and those that often are the same in
# all rows, or were measured of none, which then need not be read.
_STATISTICS: Final = (
    *("seq", "time_ns", "latency_ns", "filter_epoch", "cell", "fetched_bytes", *PARTS),
    *("ppid", "is_error", "probe", "first_on_tid", "old_offset"),
)
# Of texts they cost more, and say nothing unless there is only one.
_ONE_TEXT: Final = ("state", "label", "host", "old_file", "opened_at")

# Fields of the footer, numbered as in https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
_FILE_ROWS, _FILE_GROUPS, _FILE_METADATA = 3, 4, 5
_GROUP_COLUMNS, _GROUP_OFFSET = 1, 5
_CHUNK_METADATA = 3
_CHUNK_OFFSETS: Final = (2, 4, 6)  # of the chunk, its offset index, its column index
_METADATA_OFFSETS: Final = (9, 10, 11, 14)  # of data, index and dictionary pages, of the Bloom filter


def link(rows: pa.RecordBatch, metadata: Mapping[bytes, bytes] | None = None) -> bytes:
    """Return rows as a complete Parquet file of one row group; no rows give a file without row groups.

    Args:
        rows: text columns as dictionaries that hold no more than these rows need.
        metadata: pairs for the footer.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    names = rows.schema.names
    with pq.ParquetWriter(
        sink,
        rows.schema,
        version="2.6",  # 1.0 has no unsigned numbers
        compression="zstd",
        compression_level={name: _LEVELS.get(name, 1) for name in names},
        use_dictionary=[name for name in names if name not in _PLAIN and name not in _DELTAS],
        dictionary_pagesize_limit=16 << 20,  # beyond it text is repeated in every row
        column_encoding={name: _encoding(rows, name) for name in names if name in _PLAIN or name in _DELTAS},
        data_page_version="1.0",  # in pages of version 2 booleans are RLE, which Polars 1.0 cannot read
        write_statistics=[name for name in names if name in _STATISTICS or _is_one_text(rows, name)],
        write_batch_size=1 << 15,  # of the default, a thousand values, each costs a call
        write_page_checksum=True,
        store_schema=False,  # it would make readers return dictionaries where text is expected, and lengthen each link
    ) as writer:
        if rows.num_rows:
            writer.write_batch(rows, row_group_size=rows.num_rows)
    data: bytes = sink.getvalue().to_pybytes()
    if not metadata:
        return data
    # Here, because without store_schema pyarrow leaves the schema's metadata out.
    footer = _footer(data)
    fields = decode(footer)
    pairs: list[Struct] = [{1: Field(Kind.BINARY, k), 2: Field(Kind.BINARY, v)} for k, v in metadata.items()]
    fields[_FILE_METADATA] = Field(Kind.LIST, Items(Kind.STRUCT, pairs))
    return data[: -len(footer) - _TAIL.size] + _closed(dict(sorted(fields.items())))


def _is_one_text(rows: pa.RecordBatch, name: str) -> bool:
    return name in _ONE_TEXT and len(rows.column(name).dictionary) == 1


class Chain:
    """Write side of a chain. One thread at a time.

    Args:
        file: an empty one.
        first: a link without rows, with the schema and the metadata known so far.

    Raises:
        OSError: the first link cannot be written.
    """

    def __init__(self, file: Descriptor, first: bytes) -> None:
        self._file = file  # asked for its number before each write: the traced program may have closed it
        self._groups: list[bytes] = []
        self._footers = 0  # bytes of the footers of all links, which is more than the last one will take
        self._allocated = 0
        self.rows = 0
        """Rows in complete links: these survive a crash of the program."""
        self.size = 0
        """Bytes up to the end of the last complete link."""
        self._write(_MAGIC)
        self.append(first)

    def append(self, data: bytes) -> None:
        """Append a link.

        Raises:
            OSError: it cannot be written, and the chain is as it was.
        """
        base = self.size + _LENGTH.size
        footer = _footer(data)
        try:
            # A full disk is noticed here, and never cuts a link or the footer that is to follow.
            self._allocate(base + len(data) + self._footers + len(footer) + _SLACK)
            self._write(_LENGTH.pack(len(data)), data)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fd, max(self.size, self._allocated))
            raise
        fields = decode(footer)
        for group in fields[_FILE_GROUPS].value.values:
            _move(group, base)
            self._groups.append(encode(group))
        self._footers += len(footer)
        self.rows += fields[_FILE_ROWS].value

    def finish(self, last: bytes) -> None:
        """Make the file one Parquet file.

        Args:
            last: a link without rows, with the schema and all metadata; its footer is the model of the file's.

        Raises:
            OSError: the footer cannot be written; the chain can still be read.
        """
        fields = decode(_footer(last))
        fields[_FILE_ROWS] = Field(Kind.I64, self.rows)
        fields[_FILE_GROUPS] = Field(Kind.LIST, Items(Kind.STRUCT, self._groups))
        self._write(_closed(fields))
        os.ftruncate(self._file.fd, self.size)

    def _allocate(self, size: int) -> None:
        try:
            os.posix_fallocate(self._file.fd, self.size, size - self.size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # the file system cannot do this
                raise
        else:
            self._allocated = size

    def _write(self, *parts: bytes) -> None:
        end = self.size
        for part in parts:
            rest = memoryview(part)
            while rest:
                written = os.pwrite(self._file.fd, rest, end)
                rest, end = rest[written:], end + written
        self.size = end


def links(file: BinaryIO) -> tuple[list[tuple[int, int]], int]:
    """Find the complete links of a chain.

    Returns:
        Their places and lengths, and where the last one ends. A file that is no chain has none.
    """
    size = os.fstat(file.fileno()).st_size
    found: list[tuple[int, int]] = []
    end = len(_MAGIC)
    file.seek(0)
    if file.read(end) != _MAGIC:
        return found, end
    while True:
        file.seek(end)
        head = file.read(_LENGTH.size + len(_MAGIC))
        if len(head) < _LENGTH.size + len(_MAGIC) or not head.endswith(_MAGIC):
            return found, end
        begin, length = end + _LENGTH.size, _LENGTH.unpack_from(head)[0]
        if length < 2 * len(_MAGIC) or begin + length > size:
            return found, end
        file.seek(begin + length - len(_MAGIC))
        if file.read(len(_MAGIC)) != _MAGIC:
            return found, end
        found.append((begin, length))
        end = begin + length


def _encoding(rows: pa.RecordBatch, name: str) -> str:
    """Return how a column without a dictionary is written, in these rows."""
    if name in _DELTAS:
        steps = np.diff(rows.column(name).to_numpy().view(np.int64))
        if not len(steps) or int(steps.max()) - int(steps.min()) < 1 << _DELTA_BITS:
            return "DELTA_BINARY_PACKED"
    return "PLAIN"


def _footer(data: bytes) -> bytes:
    """Return the encoded footer of a complete Parquet file."""
    length, magic = _TAIL.unpack_from(data, len(data) - _TAIL.size)
    assert magic == _MAGIC
    return data[len(data) - _TAIL.size - length : len(data) - _TAIL.size]


def _closed(footer: Struct) -> bytes:
    """Return the end of a Parquet file."""
    data = encode(footer)
    return data + _TAIL.pack(len(data), _MAGIC)


def _move(group: Struct, by: int) -> None:
    """Add to every file offset in the description of a row group."""
    _add(group, (_GROUP_OFFSET,), by)
    for chunk in group[_GROUP_COLUMNS].value.values:
        _add(chunk, _CHUNK_OFFSETS, by)
        _add(chunk[_CHUNK_METADATA].value, _METADATA_OFFSETS, by)


def _add(fields: Struct, numbers: tuple[int, ...], by: int) -> None:
    for number in numbers:
        # Older writers put 0 where they mean "none".
        if number in fields and fields[number].value > 0:
            fields[number] = Field(Kind.I64, fields[number].value + by)

"""A link of a chain: rows as a complete Parquet file of one row group.

Most columns of most groups are one value. What is written of such a column is the same in every group of as many rows,
so it is written once and kept.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ior_nb.runtime.schema import PARTS
from ior_nb.sinks.parquet.thrift import Field, Items, Kind, Struct, decode, encode

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FILE_GROUPS", "FILE_ROWS", "MAGIC", "closed", "footer_of", "link", "move"]

MAGIC: Final = b"PAR1"
_TAIL: Final = struct.Struct("<I4s")  # length of the footer before it, magic
_MANY: Final = 1 << 14
"""Rows from which on columns of one value are looked for: groups of fewer are of any number, and cost little."""

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
# Columns whose range differs from group to group, so that a query can skip groups; and those that often were measured
# of no row, which then need not be read.
_STATISTICS: Final = ("seq", "time_ns", "latency_ns", "filter_epoch", "cell", "fetched_bytes", *PARTS)

# Fields of the footer, numbered as in https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
FILE_ROWS, FILE_GROUPS, _FILE_METADATA = 3, 4, 5
_GROUP_COLUMNS, _GROUP_BYTES, _GROUP_OFFSET, _GROUP_COMPRESSED = 1, 2, 5, 6
_CHUNK_METADATA = 3
_CHUNK_OFFSETS: Final = (2, 4, 6)  # of the chunk, its offset index, its column index
_METADATA_BYTES, _METADATA_COMPRESSED = 6, 7
_METADATA_OFFSETS: Final = (9, 10, 11, 14)  # of data, index and dictionary pages, of the Bloom filter


def link(rows: pa.RecordBatch, metadata: Mapping[bytes, bytes] | None = None) -> bytes:
    """Return rows as a complete Parquet file of one row group; no rows give a file without row groups.

    Args:
        rows: text columns as dictionaries that hold no more than these rows need.
        metadata: pairs for the footer.
    """
    data = _spliced(rows) if rows.num_rows >= _MANY else _file(rows)
    if not metadata:
        return data
    # Here, because without store_schema pyarrow leaves the schema's metadata out.
    footer = footer_of(data)
    fields = decode(footer)
    pairs: list[Struct] = [{1: Field(Kind.BINARY, k), 2: Field(Kind.BINARY, v)} for k, v in metadata.items()]
    fields[_FILE_METADATA] = Field(Kind.LIST, Items(Kind.STRUCT, pairs))
    return data[: -len(footer) - _TAIL.size] + closed(dict(sorted(fields.items())))


def _spliced(rows: pa.RecordBatch) -> bytes:
    """Return the file of rows whose columns of one value were written before."""
    fields, count = list(rows.schema), rows.num_rows
    kept = {field.name: value for field in fields if (value := _one_value(rows.column(field.name), field)) is not None}
    varied = [field.name for field in fields if field.name not in kept]
    if not kept or not varied:
        return _file(rows)
    data = _file(rows.select(varied))
    ending = footer_of(data)
    group: Struct = decode(ending)[FILE_GROUPS].value.values[0]
    parts, end = [data[: len(data) - len(ending) - _TAIL.size]], len(data) - len(ending) - _TAIL.size
    chunks = dict(zip(varied, group[_GROUP_COLUMNS].value.values, strict=True))
    for name, value in kept.items():
        pages, description = _chunk_of(rows.schema.field(name), value, count)
        chunk = chunks[name] = decode(description)
        _move_chunk(chunk, end - len(MAGIC))
        about = chunk[_CHUNK_METADATA].value
        for whole, part in ((_GROUP_BYTES, _METADATA_BYTES), (_GROUP_COMPRESSED, _METADATA_COMPRESSED)):
            group[whole] = Field(Kind.I64, group[whole].value + about[part].value)
        parts.append(pages)
        end += len(pages)
    group[_GROUP_COLUMNS] = Field(Kind.LIST, Items(Kind.STRUCT, [chunks[field.name] for field in fields]))
    model = decode(_model(rows.schema))
    model[FILE_ROWS] = Field(Kind.I64, count)
    model[FILE_GROUPS] = Field(Kind.LIST, Items(Kind.STRUCT, [group]))
    return b"".join((*parts, closed(model)))


def _one_value(values: pa.Array, field: pa.Field) -> Any:
    """Return the value that all rows of a column have; None where they differ, or it may have nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if field.nullable:
        return None
    codes = values.indices if pa.types.is_dictionary(field.type) else values
    first = codes[0]
    if first != codes[len(codes) - 1] or first != codes[len(codes) // 2]:
        return None
    bounds = pc.min_max(codes)
    return values[0].as_py() if bounds["min"] == bounds["max"] else None


@functools.lru_cache(256)
def _chunk_of(field: pa.Field, value: Any, count: int) -> tuple[bytes, bytes]:
    """Return the pages of a column of one value, and their description as of a file that has nothing before them."""
    import pyarrow as pa

    if pa.types.is_dictionary(field.type):
        values = pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([value], field.type.value_type))
    else:
        values = pa.repeat(pa.scalar(value, field.type), count)
    data = _file(pa.RecordBatch.from_arrays([values], schema=pa.schema([field])))
    ending = footer_of(data)
    group = decode(ending)[FILE_GROUPS].value.values[0]
    return data[len(MAGIC) : len(data) - len(ending) - _TAIL.size], encode(group[_GROUP_COLUMNS].value.values[0])


@functools.lru_cache(8)
def _model(schema: pa.Schema) -> bytes:
    """Return the footer of a file without rows."""
    import pyarrow as pa

    return footer_of(_file(pa.RecordBatch.from_arrays([pa.array([], kind) for kind in schema.types], schema=schema)))


def _file(rows: pa.RecordBatch) -> bytes:
    """Return rows as a file that pyarrow has written."""
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
        write_statistics=[name for name in names if name in _STATISTICS],
        write_batch_size=1 << 15,  # of the default, a thousand values, each costs a call
        write_page_checksum=True,
        store_schema=False,  # it would make readers return dictionaries where text is expected, and lengthen each link
    ) as writer:
        if rows.num_rows:
            writer.write_batch(rows, row_group_size=rows.num_rows)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _encoding(rows: pa.RecordBatch, name: str) -> str:
    """Return how a column without a dictionary is written, in these rows."""
    if name in _DELTAS:
        steps = np.diff(rows.column(name).to_numpy().view(np.int64))
        if not len(steps) or int(steps.max()) - int(steps.min()) < 1 << _DELTA_BITS:
            return "DELTA_BINARY_PACKED"
    return "PLAIN"


def footer_of(data: bytes) -> bytes:
    """Return the encoded footer of a complete Parquet file."""
    length, magic = _TAIL.unpack_from(data, len(data) - _TAIL.size)
    assert magic == MAGIC
    return data[len(data) - _TAIL.size - length : len(data) - _TAIL.size]


def closed(footer: Struct) -> bytes:
    """Return the end of a Parquet file."""
    data = encode(footer)
    return data + _TAIL.pack(len(data), MAGIC)


def move(group: Struct, by: int) -> None:
    """Add to every file offset in the description of a row group."""
    _add(group, (_GROUP_OFFSET,), by)
    for chunk in group[_GROUP_COLUMNS].value.values:
        _move_chunk(chunk, by)


def _move_chunk(chunk: Struct, by: int) -> None:
    _add(chunk, _CHUNK_OFFSETS, by)
    _add(chunk[_CHUNK_METADATA].value, _METADATA_OFFSETS, by)


def _add(fields: Struct, numbers: tuple[int, ...], by: int) -> None:
    for number in numbers:
        # Older writers put 0 where they mean "none".
        if number in fields and fields[number].value > 0:
            fields[number] = Field(Kind.I64, fields[number].value + by)

"""The links of a chain: complete Parquet files of one row group, or of none."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from ior_nb.runtime.schema import PARTS
from ior_nb.sinks.parquet.pages import LEVEL, LONGEST, MAGIC, Chunk, Form, chunk
from ior_nb.sinks.parquet.thrift import Field, Items, Kind, Struct, decode, encode

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FILE_GROUPS", "FILE_ROWS", "Columns", "Link", "closed", "link", "move"]

_TAIL: Final = struct.Struct("<I4s")  # length of the footer before it, magic

# Columns that are differences of neighbours, where no reader gets these wrong: seq takes nothing instead of 1.0 byte a
# row, time_ns 2.0 instead of 2.2, each in half the time. wall_ns is a column of traces of clusters. To find the many
# offsets of a file that is read from end to end takes as long as to write all columns of one value.
_DELTAS: Final = ("seq", "time_ns", "wall_ns")
_FORMS: Final[dict[str, Form]] = {"offset": "plain", **dict.fromkeys(_DELTAS, "differences")}
_DELTA_BITS: Final = 28  # fastparquet 2026.9 reads wider ones wrong, without a word, or crashes; Polars 0.20 from 56 on
# Columns whose range differs from group to group, so that a query can skip groups; and those that often are the same in
# all rows, or were measured of none, which then need not be read.
_STATISTICS: Final = (
    *("seq", "time_ns", "latency_ns", "filter_epoch", "cell", "fetched_bytes", *PARTS),
    *("ppid", "is_error", "probe", "first_on_tid", "old_offset"),
)
# Of texts they cost more, and say nothing unless there is only one.
_ONE_TEXT: Final = ("state", "label", "host", "old_file", "opened_at")

# Fields of the footer, numbered as in https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
_FILE_COLUMNS, FILE_ROWS, FILE_GROUPS, _FILE_METADATA = 2, 3, 4, 5
_GROUP_COLUMNS, _GROUP_BARE, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_SIZE = 1, 2, 3, 5, 6
_CHUNK_OFFSET, _CHUNK_METADATA = 2, 3
_CHUNK_OFFSETS: Final = (_CHUNK_OFFSET, 4, 6)  # of the chunk, its offset index, its column index
_METADATA_PATH, _METADATA_BARE, _METADATA_SIZE = 3, 6, 7
_METADATA_OFFSETS: Final = (9, 10, 11, 14)  # of data, index and dictionary pages, of the Bloom filter


class Columns(Protocol):
    """Rows as they are written: a record batch is such, or what makes its columns when they are taken."""

    @property
    def schema(self) -> pa.Schema: ...  # noqa: D102
    @property
    def num_rows(self) -> int: ...  # noqa: D102
    @property
    def columns(self) -> Iterable[pa.Array]: ...  # noqa: D102


class Link(NamedTuple):
    """A complete Parquet file."""

    parts: list[Any]
    """Its bytes."""
    size: int
    footer: Struct
    """What its end says."""
    footer_size: int
    """Bytes of that."""


def link(rows: Columns, metadata: Mapping[bytes, bytes] | None = None) -> Link:
    """Return rows as a complete Parquet file of one row group; no rows give a file without row groups.

    Args:
        rows: text columns as dictionaries that hold no more than these rows need; columns of one value may be one run.
            A column is done with when the next one is taken.
        metadata: pairs for the footer.
    """
    footer = _footer_without_rows(rows.schema).copy()
    if metadata:  # without store_schema pyarrow leaves that of the schema out
        pairs: list[Struct] = [{1: Field(Kind.BINARY, k), 2: Field(Kind.BINARY, v)} for k, v in metadata.items()]
        footer[_FILE_METADATA] = Field(Kind.LIST, Items(Kind.STRUCT, pairs))
        footer = dict(sorted(footer.items()))
    parts: list[Any] = [MAGIC]
    if rows.num_rows:
        group = _group(rows, parts)
        footer[FILE_ROWS] = Field(Kind.I64, rows.num_rows)
        footer[FILE_GROUPS] = Field(Kind.LIST, Items(Kind.STRUCT, [group]))
    end = closed(footer)
    parts.append(end)
    return Link(parts, sum(map(len, parts)), footer, len(end))


def closed(footer: Struct) -> bytes:
    """Return the end of a Parquet file."""
    data = encode(footer)
    return data + _TAIL.pack(len(data), MAGIC)


def move(group: Struct, by: int) -> None:
    """Add to every file offset in the description of a row group."""
    _add(group, (_GROUP_OFFSET,), by)
    for column in group[_GROUP_COLUMNS].value.values:
        _add(column, _CHUNK_OFFSETS, by)
        _add(column[_CHUNK_METADATA].value, _METADATA_OFFSETS, by)


def _add(fields: Struct, numbers: tuple[int, ...], by: int) -> None:
    for number in numbers:
        # Older writers put 0 where they mean "none".
        if number in fields and fields[number].value > 0:
            fields[number] = Field(Kind.I64, fields[number].value + by)


def _group(rows: Columns, parts: list[Any]) -> Struct:
    """Append the columns of rows to a file of which the first part is there; return what its end says of them."""
    at = len(MAGIC)
    columns: list[Struct] = []
    # Here and in the footer in one order: Spark takes a row group to be where its first column is.
    for field, values in zip(rows.schema, rows.columns, strict=True):
        for found in _written(field, values):
            _add(found.about, _METADATA_OFFSETS, at - len(MAGIC))
            columns.append({_CHUNK_OFFSET: Field(Kind.I64, 0), _CHUNK_METADATA: Field(Kind.STRUCT, found.about)})
            parts += found.data
            at += found.about[_METADATA_SIZE].value
    bare, size = (
        sum(about[_CHUNK_METADATA].value[n].value for about in columns) for n in (_METADATA_BARE, _METADATA_SIZE)
    )
    return {
        _GROUP_COLUMNS: Field(Kind.LIST, Items(Kind.STRUCT, columns)),
        _GROUP_BARE: Field(Kind.I64, bare),
        _GROUP_ROWS: Field(Kind.I64, rows.num_rows),
        _GROUP_OFFSET: Field(Kind.I64, len(MAGIC)),
        _GROUP_SIZE: Field(Kind.I64, size),
    }


def _written(field: pa.Field, values: pa.Array) -> Iterable[Chunk]:
    """Return a column as it is written: one that is no list, and has no fields, is one chunk."""
    import pyarrow as pa

    form, told = _FORMS.get(field.name, "dictionary"), field.name in _STATISTICS or field.name in _ONE_TEXT
    ours = None if field.nullable else chunk(values, form=form, statistics=told)
    if ours is not None:
        return [_named(ours, field.name)]
    column = pa.RecordBatch.from_arrays([values], schema=pa.schema([field.with_type(values.type)]))
    return _chunks(_by_pyarrow(column))


def _named(found: Chunk, name: str) -> Chunk:
    path = Field(Kind.LIST, Items(Kind.BINARY, [name.encode()]))
    return found._replace(about=dict(sorted({**found.about, _METADATA_PATH: path}.items())))


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the columns of a complete Parquet file of one row group."""
    (group,) = decode(_footer(data))[FILE_GROUPS].value.values
    for column in group[_GROUP_COLUMNS].value.values:
        about = column[_CHUNK_METADATA].value
        begin = min(about[number].value for number in _METADATA_OFFSETS if number in about and about[number].value > 0)
        _add(about, _METADATA_OFFSETS, len(MAGIC) - begin)
        yield Chunk([memoryview(data)[begin : begin + about[_METADATA_SIZE].value]], about)


@functools.lru_cache(maxsize=8)
def _footer_without_rows(schema: pa.Schema) -> Struct:
    """Return what the end of a file of no rows says."""
    import pyarrow as pa

    fields = [f.with_type(f.type.value_type) if pa.types.is_run_end_encoded(f.type) else f for f in schema]
    footer = decode(_footer(_by_pyarrow(pa.schema(fields).empty_table())))
    columns = [encode(column) for column in footer[_FILE_COLUMNS].value.values]
    return footer | {_FILE_COLUMNS: Field(Kind.LIST, Items(Kind.STRUCT, columns))}


def _by_pyarrow(rows: pa.RecordBatch | pa.Table) -> bytes:
    """Return rows as a complete Parquet file, as pyarrow writes it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    deltas = [name for name in rows.schema.names if name in _DELTAS]
    with pq.ParquetWriter(
        sink,
        rows.schema,
        version="2.6",  # 1.0 has no unsigned numbers
        compression="zstd",
        compression_level=LEVEL,
        use_dictionary=[name for name in rows.schema.names if name not in deltas],
        dictionary_pagesize_limit=LONGEST,  # beyond it text is repeated in every row
        column_encoding={name: _encoding(rows, name) for name in deltas},
        data_page_version="1.0",  # in pages of version 2 booleans are RLE, which Polars 1.0 cannot read
        write_statistics=[name for name in rows.schema.names if name in _STATISTICS],
        write_batch_size=1 << 15,  # of the default, a thousand values, each costs a call
        write_page_checksum=True,
        store_schema=False,  # it would make readers return dictionaries where text is expected, and lengthen each link
    ) as writer:
        if rows.num_rows:
            writer.write_batch(rows, row_group_size=rows.num_rows)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _encoding(rows: pa.RecordBatch, name: str) -> str:
    """Return how a column of ascending numbers is written, in these rows."""
    steps = np.diff(rows.column(name).to_numpy().view(np.int64))
    if not len(steps) or int(steps.max()) - int(steps.min()) < 1 << _DELTA_BITS:
        return "DELTA_BINARY_PACKED"
    return "PLAIN"


def _footer(data: bytes) -> bytes:
    """Return the encoded footer of a complete Parquet file."""
    length, magic = _TAIL.unpack_from(data, len(data) - _TAIL.size)
    assert magic == MAGIC
    return data[len(data) - _TAIL.size - length : len(data) - _TAIL.size]

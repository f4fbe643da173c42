"""Arrow tables from event batches, and back.

Numeric columns are handed over without copying. Text columns become dictionary<int32, string> whose dictionary holds
only the strings the batch uses: a trace's shared string table may be a thousand times longer than a batch, and Parquet
writes a dictionary whole into every row group.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ior_nb.errors import ConfigError
from ior_nb.runtime.batch import EventBatch, distinct, is_one_value, joined, new_tables
from ior_nb.runtime.index import rows_of
from ior_nb.runtime.schema import COLUMNS, NAMES, Column
from ior_nb.runtime.strings import StringTable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Columns",
    "columns",
    "compact",
    "encodable",
    "event_batch",
    "foreign_column",
    "foreign_types",
    "record_batch",
    "schema",
    "table",
]

_FEW = 4
"""Rows for each string of a dictionary: of fewer only the strings are looked at that they use."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def schema(foreign: Mapping[str, pa.DataType] | None = None) -> pa.Schema:
    """Return the Arrow schema of event batches: every column of ours, in order, none nullable, then those that are not.

    Args:
        foreign: the types of the latter.
    """
    import pyarrow as pa

    fields = [pa.field(c.name, _arrow_type(c), nullable=False) for c in COLUMNS]
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in (foreign or {}).items())])


def foreign_types(batches: Iterable[EventBatch]) -> dict[str, pa.DataType]:
    """Return the types of all columns of batches that are not ours; text where nothing but nulls is known of one."""
    import pyarrow as pa

    found: dict[str, pa.DataType] = {}
    for batch in batches:
        for name, values in batch.extras.items():
            if name not in found or pa.types.is_null(found[name]):
                found[name] = _foreign(values).type
    return {name: pa.string() if pa.types.is_null(kind) else kind for name, kind in found.items()}


class Columns(NamedTuple):
    """Rows on their way to a file, a column at a time."""

    schema: pa.Schema
    num_rows: int
    columns: Iterator[pa.Array]
    """In the schema's order, but for those of one value as that value and how often it comes (run-end encoded).

    Numbers share one piece of memory: each is good until the next is taken.
    """


def columns(batches: Sequence[EventBatch], *, host: str = "", wanted: pa.Schema | None = None) -> Columns:
    """Return the rows of batches as columns that are joined when they are taken.

    A column alone fits into a processor's caches, where who takes it finds it; all of them do not.

    Args:
        batches: the rows.
        host: name of the machine of rows that do not say theirs; a file says it in every row.
        wanted: as of `record_batch`.
    """
    batches = EventBatch.alike(batches)
    wanted = wanted or schema(foreign_types(batches))
    return Columns(wanted, sum(map(len, batches)), _columns(batches, encodable(host), wanted))


def _columns(batches: Sequence[EventBatch], host: str, wanted: pa.Schema) -> Iterator[pa.Array]:
    import pyarrow as pa

    count = sum(map(len, batches))
    room = np.empty(count, np.uint64)  # memory that is new takes the kernel three times as long to give as a copy does
    for column in COLUMNS:
        values = joined([batch[column.name] for batch in batches], count, room)
        array = _array(values, column, batches[0].tables, host)
        yield array if len(array) == count else pa.RunEndEncodedArray.from_arrays([count], array)
    for field in list(wanted)[len(COLUMNS) :]:
        yield pa.concat_arrays([foreign_column(batch, field.name, field.type) for batch in batches])


def _array(values: np.ndarray, column: Column, tables: Mapping[str, StringTable], host: str = "") -> pa.Array:
    """Return a column; where it is known to be one value, that value once."""
    import pyarrow as pa

    one = bool(len(values)) and is_one_value(values)
    values = values[:1] if one else values
    if not column.text:
        return pa.array(values)
    codes, texts = compact(values, tables[column.name], host if column.name == "host" else "")
    codes = codes[:1] if len(texts) == 1 else codes
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(texts, pa.string()), safe=False)


def record_batch(batch: EventBatch, *, wanted: pa.Schema | None = None) -> pa.RecordBatch:
    """Return the rows as an Arrow record batch with dictionaries of its own.

    Text that UTF-8 cannot encode (lone surrogates) is escaped, a byte as backslash, x and two hex digits.

    Args:
        batch: the rows.
        wanted: the schema, where the rows are part of others that all have one; by default that of these rows.
    """
    import pyarrow as pa

    wanted = wanted or schema(foreign_types([batch]))
    same: dict[tuple[str, int], pa.Array] = {}  # columns of one value share their memory

    def repeat(value: pa.Array) -> pa.Array:
        if len(value) == len(batch):
            return value
        if pa.types.is_dictionary(value.type):
            return pa.DictionaryArray.from_arrays(repeat(value.indices), value.dictionary)
        key = str(value.type), value[0].as_py()
        if key not in same:
            same[key] = pa.repeat(value[0], len(batch))
        return same[key]

    arrays = [repeat(_array(batch[column.name], column, batch.tables)) for column in COLUMNS]
    arrays += [foreign_column(batch, field.name, field.type) for field in list(wanted)[len(COLUMNS) :]]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def foreign_column(batch: EventBatch, name: str, kind: pa.DataType) -> pa.Array:
    """Return a column that is not ours; nulls where a batch lacks it."""
    import pyarrow as pa

    given = batch.extras.get(name)
    return pa.nulls(len(batch), kind) if given is None else _foreign(given, kind)


def table(
    batches: Iterable[EventBatch],
    metadata: Mapping[str, str] | None = None,
    foreign: Mapping[str, pa.DataType] | None = None,
) -> pa.Table:
    """Return the rows of all batches as one Arrow table; its chunks share one dictionary per text column.

    Args:
        batches: the rows; a column that is not ours is null in those that lack it.
        metadata: what the schema says of them.
        foreign: the types of columns that are not ours, where they are known better than by the values.
    """
    import pyarrow as pa

    several = list(batches)
    wanted = schema(foreign_types(several) if foreign is None else foreign)
    rows = pa.Table.from_batches([record_batch(b, wanted=wanted) for b in several], schema=wanted).unify_dictionaries()
    return rows.replace_schema_metadata({k: encodable(v) for k, v in metadata.items()} if metadata else None)


def event_batch(
    rows: pa.Table | pa.RecordBatch,
    tables: Mapping[str, StringTable] | None = None,
    *,
    only: Collection[str] | None = None,
) -> EventBatch:
    """Return the rows of an Arrow table or record batch.

    Missing columns and nulls get the schema's "does not apply" value; columns that are not ours are the batch's extras.
    Text may be dictionary-coded or plain; invalid UTF-8 is escaped.

    Args:
        rows: for example a recording that was read.
        tables: string tables to code the text with; new ones by default.
        only: the columns that the batch has then, and nothing else; by default all there are. One that is not ours
            and is not there has None in every row.

    Raises:
        ConfigError: a column has values its type cannot hold, such as text in a column of numbers.
    """
    import pyarrow as pa

    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    tables = tables if tables is not None else new_tables()
    columns: dict[str, np.ndarray] = {}
    for column in COLUMNS:
        there = rows.schema.get_all_field_indices(column.name)
        if not there or (only is not None and column.name not in only):
            continue
        values = rows.column(there[0])
        try:
            if len(there) > 1:
                raise pa.ArrowInvalid("there are several columns of that name")
            columns[column.name] = _codes(values, tables[column.name]) if column.text else _numbers(values, column)
        except pa.ArrowException as error:
            wanted = "text" if column.text else column.dtype
            raise ConfigError(
                f"cannot use column {column.name!r}: expected {wanted}, got {values.type} ({error})"
            ) from error
    foreign = [name for name in (rows.schema.names if only is None else only) if name not in NAMES]
    there = set(rows.schema.names)
    extras = {n: _as_numpy(rows.column(n)) if n in there else np.full(rows.num_rows, None) for n in foreign}
    found = EventBatch(columns, tables, extras)
    if not columns:
        found = EventBatch({"seq": np.zeros(rows.num_rows)}, tables, found.extras)
    return found if only is None else found.read(*only)


def compact(codes: np.ndarray, table: StringTable, empty: str = "") -> tuple[np.ndarray, list[str]]:
    """Renumber the codes of a text column over the strings it uses.

    Args:
        codes: int32, shape (n,).
        table: the strings the codes point at.
        empty: what stands for an empty text.

    Returns:
        The new codes, int32, shape (n,), and the distinct strings they point at, ready for UTF-8.
    """
    used, codes = distinct(codes, len(table))
    texts = table.at(used)
    try:
        "".join(texts).encode()
        unchanged = not empty
    except UnicodeEncodeError:
        unchanged = False
    if not unchanged:
        # Two strings may become equal, and a dictionary holds each value once.
        numbered: dict[str, int] = {}
        escaped = [numbered.setdefault(encodable(text) or empty, len(numbered)) for text in texts]
        codes = np.array(escaped, dtype=np.int32)[codes]
        texts = list(numbered)
    return codes, texts


def encodable(text: str) -> str:
    """Return the text with what UTF-8 cannot encode, lone surrogates, as escapes."""
    return _SURROGATE.sub(_escape, text)


def _arrow_type(column: Column) -> pa.DataType:
    import pyarrow as pa

    return pa.dictionary(pa.int32(), pa.string()) if column.text else pa.from_numpy_dtype(column.dtype)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    # Python keeps an undecodable byte as U+DC00 + byte (PEP 383); any other surrogate has three bytes of its own.
    data = bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else match[0].encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)


def _foreign(values: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    """Return a column that is not ours as Arrow has it."""
    import pyarrow as pa

    if values.dtype.kind in "mM":  # whose unit and time zone need not be those of the values
        return pa.array(values) if kind is None else pa.array(values).cast(kind)
    return pa.array(values, kind, from_pandas=False) if values.dtype != object else pa.array(values.tolist(), kind)


def _as_numpy(values: pa.ChunkedArray) -> np.ndarray:
    """Return a column that is not ours: of its own type where numpy has it and its nulls, else of objects."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    points = pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_date(kind)
    if points or (not values.null_count and pa.types.is_primitive(kind) and not pa.types.is_time(kind)):
        numbers: np.ndarray = values.to_numpy()
        return numbers
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):  # each text once, and looked up
        coded = values.dictionary_encode().unify_dictionaries().combine_chunks()
        texts = np.array([None, *_texts(coded.dictionary)], object)
        known: np.ndarray = texts[coded.indices.cast(pa.int64()).fill_null(-1).to_numpy() + 1]
        return known
    objects = np.empty(len(values), object)
    objects[:] = values.to_pylist()
    return objects


def _numbers(values: pa.ChunkedArray, column: Column) -> np.ndarray:
    """Return numbers as the schema's dtype; a view where there is one chunk of that type and nothing is null."""
    import pyarrow as pa

    if values.type != _arrow_type(column):
        values = values.cast(_arrow_type(column))
    if values.null_count:
        values = values.fill_null(pa.scalar(column.absent, values.type))
    parts = [chunk.to_numpy(zero_copy_only=False) for chunk in values.chunks]
    numbers: np.ndarray = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, column.dtype), *parts])
    return numbers


def _codes(values: pa.ChunkedArray, table: StringTable) -> np.ndarray:
    """Return text as codes into `table`; of one string alone that code, repeated without memory of its own."""
    import pyarrow as pa

    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    dictionary, codes = None, np.empty(0, np.int32)  # behind those of its strings one for nulls
    parts = []
    for chunk in values.chunks:
        words, indices = chunk.dictionary, chunk.indices
        if indices.null_count:
            indices = indices.cast(pa.int64()).fill_null(len(words))
        at = indices.to_numpy()
        if len(at) < _FEW * len(words):
            dictionary, codes = None, np.zeros(len(words) + 1, np.int32)
            codes[at] = -1
            used = rows_of(codes[:-1])
            codes[-1] = 0
            codes[used] = table.intern_many(_texts(words.take(pa.array(used))))
        elif dictionary is None or not words.equals(dictionary):
            dictionary, codes = words, np.append(table.intern_many(_texts(words)), np.int32(0))
        one = len(words) == 1 and not chunk.null_count
        parts.append(np.broadcast_to(codes[0], len(at)) if one else codes.take(at))
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.int32), *parts])


def _texts(values: pa.Array) -> list[str]:
    """Return the distinct strings of a dictionary. Parquet readers do not check that text is UTF-8."""
    import pyarrow as pa

    if not values.null_count and pa.types.is_string(values.type):
        with contextlib.suppress(UnicodeDecodeError, pa.ArrowException):  # a third of what the way below costs
            texts: list[str] = values.to_numpy(zero_copy_only=False).tolist()
            return texts
    binary = values.cast(pa.binary()).to_pylist()
    return [b.decode("utf-8", "backslashreplace") if b else "" for b in binary]

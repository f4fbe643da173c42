"""Columns as they stand in a Parquet file, made of whole arrays; pyarrow's writer, value by value, takes twice as long.

A column is one page of values, or of their places in a dictionary, which is the page before it. A place has a bit, half
a byte, one or two, where fewer bits might do: numpy has them that way, and zstd is none the worse for it.
"""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from ior_nb.runtime.index import occurring
from ior_nb.sinks.parquet.thrift import Field, Items, Kind, Struct, encode, unsigned, zigzag

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LEVEL", "LONGEST", "MAGIC", "Chunk", "Form", "chunk"]

MAGIC: Final = b"PAR1"
"""How a Parquet file begins and ends."""
LEVEL: Final = 1
"""Of zstd: a higher one takes longer and saves nothing."""
_BLOCK, _PARTS = 128, 4  # differences, and shares of these with a width of their own
_WIDTHS: Final = (1, 4, 8, 16)
"""Bits of a place in a dictionary."""
_BYTE, _TWO_BYTES = 1 << 8, 1 << 16  # so many values
LONGEST: Final = 16 << 20
"""Bytes of a dictionary of texts."""
_LONGEST_TOLD: Final = 4096
"""Bytes of a text in statistics."""
_LENGTH: Final = 4
"""Bytes before a text that say how long it is."""
_TABLE: Final = 4
"""Places a row of a table by which numbers are looked up, at most."""
_SAMPLE: Final = 1 << 14
"""Rows that are looked at before all are."""
_ROWS_A_NUMBER: Final = 6
"""Of a dictionary; of fewer the numbers themselves are shorter."""

# Numbers of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
_BOOLEAN, _INT32, _INT64, _BYTE_ARRAY = 0, 1, 2, 6
_PLAIN, _RLE, _DELTAS, _RLE_DICTIONARY = 0, 3, 5, 8
_DATA, _DICTIONARY = 0, 2
_ABOUT: Final = {_DATA: 5, _DICTIONARY: 7}  # field of a page's header
_UNCOMPRESSED, _ZSTD = 0, 6

Form = Literal["dictionary", "plain", "differences"]


class Chunk(NamedTuple):
    """A column of a row group."""

    data: list[Any]
    """Its bytes, in pieces."""
    about: Struct
    """What the footer says of it, but its name; as if it were the file's first column."""


class _Coded(NamedTuple):
    """Values as places in a dictionary."""

    places: np.ndarray
    words: Any
    """The values of the dictionary, as they are written."""
    size: int
    """How many these are."""


def chunk(values: pa.Array, *, form: Form, statistics: bool) -> Chunk | None:
    """Return a column as it is written; None where it is of another kind than ours, which pyarrow writes.

    Args:
        values: booleans, integers of 32 or 64 bits, or text in a dictionary, without nulls.
        form: of numbers. Differences of neighbours that are not all the same are pyarrow's work.
        statistics: whether the least and the greatest value are told; of text only where there is one alone.
    """
    import pyarrow as pa

    rows = len(values)
    if pa.types.is_run_end_encoded(values.type):
        values = values.values
    kind = values.type
    if values.null_count or not len(values):
        return None
    if pa.types.is_dictionary(kind):
        return _of_texts(values, rows, statistics) if kind == pa.dictionary(pa.int32(), pa.string()) else None
    number = _kinds().get(kind)
    if number is None:
        return None
    numbers: np.ndarray = values.to_numpy(zero_copy_only=False)
    low, high = numbers.min(), numbers.max()
    ends = (low.tobytes(), high.tobytes()) if statistics else None
    if low == high:
        return _of_one(number, rows, low.tobytes(), ends)
    if kind == pa.bool_():
        return _chunk(_BOOLEAN, rows, np.packbits(numbers, bitorder="little"), ends)
    if form == "differences":
        body = _stepwise(numbers)
        return None if body is None else _chunk(number, rows, body, ends, _DELTAS)
    coded = _coded(values, numbers, int(low), int(high)) if form == "dictionary" else None
    return _chunk(number, rows, numbers if coded is None else coded, ends)


def _of_texts(values: pa.Array, rows: int, statistics: bool) -> Chunk | None:
    words = values.dictionary
    if words.null_count or words.nbytes > LONGEST or len(words) > _TWO_BYTES:
        return None
    if len(words) > 1:
        return _chunk(_BYTE_ARRAY, rows, _Coded(values.indices.to_numpy(), _with_lengths(words), len(words)), None)
    one = words[0].as_buffer().to_pybytes()
    ends = (one, one) if statistics and len(one) <= _LONGEST_TOLD else None
    return _of_one(_BYTE_ARRAY, rows, len(one).to_bytes(_LENGTH, "little") + one, ends)


def _stepwise(numbers: np.ndarray) -> bytes | None:
    """Return numbers as the differences of neighbours; None where these are not the same everywhere."""
    steps = numbers[1:] - numbers[:-1]
    if (steps != steps[:1]).any():
        return None
    block = zigzag(int(steps[0].astype(np.int64))) + bytes(_PARTS)  # the differences from this one take no bits
    head = unsigned(_BLOCK) + unsigned(_PARTS) + unsigned(len(numbers)) + zigzag(int(numbers[0].astype(np.int64)))
    return head + block * -(-len(steps) // _BLOCK)


def _coded(values: pa.Array, numbers: np.ndarray, low: int, high: int) -> _Coded | None:
    """Return numbers as places in a dictionary; None where there are too many different ones."""
    most = min(_TWO_BYTES, len(numbers) // _ROWS_A_NUMBER)
    if high - low < _BYTE:  # the dictionary of all there
        words = numbers.dtype.type(low) + np.arange(high - low + 1).astype(numbers.dtype)
        return _Coded(numbers.astype(np.uint8) - words[:1].astype(np.uint8), words, len(words))  # modulo 256
    if high - low < _TABLE * len(numbers):
        return _looked_up(numbers, low, high - low + 1, most)
    sample = values[:_SAMPLE]
    if 2 * len(sample.unique()) > len(sample):
        return None
    found = values.dictionary_encode()
    words = found.dictionary.to_numpy()
    return _Coded(found.indices.to_numpy(), words, len(words)) if len(words) <= most else None


def _looked_up(numbers: np.ndarray, low: int, span: int, most: int) -> _Coded | None:
    """Return numbers from `low` on as places in a dictionary, which a table of so many numbers gives; or None."""
    above = numbers - numbers.dtype.type(low)
    above = above.view(np.intp) if above.itemsize == np.dtype(np.intp).itemsize else above.astype(np.intp)
    used = occurring(above, span)
    if len(used) > most:
        return None
    table = np.zeros(span, np.uint8 if len(used) <= _BYTE else np.uint16)
    table[used] = np.arange(len(used))
    return _Coded(table.take(above), numbers.dtype.type(low) + used.astype(numbers.dtype), len(used))


def _with_lengths(words: pa.Array) -> Any:
    """Return texts one behind the other, each with its length before it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pa.Array.from_buffers(pa.binary(_LENGTH), len(words), [None, pc.binary_length(words).buffers()[1]])
    joined = pc.binary_join_element_wise(lengths.cast(pa.binary()), words.cast(pa.binary()), b"")
    return joined.buffers()[2][: int(np.frombuffer(joined.buffers()[1], np.int32)[len(words)])]


@functools.lru_cache(maxsize=256)
def _of_one(kind: int, rows: int, word: bytes, ends: tuple[bytes, bytes] | None) -> Chunk:
    """Return a column of one value: most columns of most row groups, which mostly have as many rows."""
    if kind == _BOOLEAN:
        return _chunk(kind, rows, (b"\xff" if any(word) else b"\0") * -(-rows // 8), ends)
    return _chunk(kind, rows, _Coded(np.zeros(0, np.uint8), word, 1), ends)


def _chunk(
    kind: int, rows: int, values: np.ndarray | bytes | _Coded, ends: tuple[bytes, bytes] | None, encoding: int = _PLAIN
) -> Chunk:
    """Return a column.

    Args:
        kind: number of the type of its values.
        rows: how many there are.
        values: as they are written, or in a dictionary.
        ends: the least and the greatest of them.
        encoding: of those that are in no dictionary.
    """
    dictionary: Struct = {}
    if isinstance(values, _Coded):
        pages = _Pages(zstd=values.size > 1)
        pages.add(_DICTIONARY, values.words, {1: _i32(values.size), 2: _i32(_PLAIN)})
        dictionary = {11: _i64(len(MAGIC))}
        encoding = _RLE_DICTIONARY
        body: Any = _packed(values.places, values.size, rows)
    else:
        pages = _Pages(zstd=True)
        body = values
    at = len(MAGIC) + pages.size
    pages.add(_DATA, body, {1: _i32(rows), 2: _i32(encoding), 3: _i32(_RLE), 4: _i32(_RLE)})
    about: Struct = {
        1: _i32(kind),
        2: Field(Kind.LIST, Items(Kind.I32, sorted({_RLE, *(page[2].value for page in pages.kinds)}))),
        4: _i32(_ZSTD if pages.zstd else _UNCOMPRESSED),
        5: _i64(rows),
        6: _i64(pages.bare),
        7: _i64(pages.size),
        9: _i64(at),
        **dictionary,
    }
    if ends is not None:
        about[12] = Field(Kind.STRUCT, {3: _i64(0), 5: Field(Kind.BINARY, ends[1]), 6: Field(Kind.BINARY, ends[0])})
    about[13] = Field(Kind.LIST, Items(Kind.STRUCT, pages.kinds))
    return Chunk(pages.parts, about)


def _packed(places: np.ndarray, size: int, rows: int) -> bytes:
    """Return places in a dictionary of this size as a page has them: in runs, of which one is enough."""
    if size == 1:
        return b"\1" + unsigned(rows << 1) + b"\0"
    width = next(width for width in _WIDTHS if size <= 1 << width)
    eights = -(-rows // 8)
    padded = np.zeros(eights * 8, np.uint8 if width <= 8 else "<u2")
    padded[:rows] = places
    match width:
        case 1:
            padded = np.packbits(padded, bitorder="little")
        case 4:
            padded = padded[::2] | padded[1::2] << 4
    return b"".join([bytes([width]), unsigned(eights << 1 | 1), padded.data])


class _Pages:
    """The pages of a column, one after the other."""

    def __init__(self, *, zstd: bool) -> None:
        self.zstd = zstd
        self.parts: list[Any] = []
        self.kinds: list[Struct] = []
        self.size = 0
        """Bytes of the pages there are."""
        self.bare = 0
        """Bytes they would have without zstd."""

    def add(self, kind: int, body: Any, about: Struct) -> None:
        """Add a page.

        Args:
            kind: dictionary or data.
            body: what is in it.
            about: what its header says that no other kind's does: number and encoding of its values.
        """
        packed = _codec().compress(body, asbytes=True) if self.zstd else body
        head = encode(
            {
                1: _i32(kind),
                2: _i32(memoryview(body).nbytes),
                3: _i32(len(packed)),
                4: _i32(_signed(zlib.crc32(packed))),
                _ABOUT[kind]: Field(Kind.STRUCT, about),
            }
        )
        self.parts += [head, packed]
        self.kinds.append({1: _i32(kind), 2: about[2], 3: _i32(1)})
        self.size += len(head) + len(packed)
        self.bare += len(head) + memoryview(body).nbytes


@functools.cache
def _kinds() -> dict[Any, int]:
    """Return the numbers of the types of values that numpy has as a file does."""
    import pyarrow as pa

    return (
        {pa.bool_(): _BOOLEAN}
        | dict.fromkeys((pa.int32(), pa.uint32()), _INT32)
        | dict.fromkeys((pa.int64(), pa.uint64()), _INT64)
    )


@functools.cache
def _codec() -> Any:
    import pyarrow as pa

    return pa.Codec("zstd", compression_level=LEVEL)


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number


def _i32(value: int) -> Field:
    return Field(Kind.I32, value)


def _i64(value: int) -> Field:
    return Field(Kind.I64, value)

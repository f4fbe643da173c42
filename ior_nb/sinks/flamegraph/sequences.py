"""Values and combinations of values as numbers: each distinct one is looked at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ior_nb.runtime import StringTable
from ior_nb.runtime.index import Index, claimed, grown, rows_of

__all__ = ["Combinations", "Sequences", "powers"]

_WORD: Final = 64
_NUMBER: Final = 32  # bits of a number, or of a column of numbers
_FACTOR: Final = np.uint64(int.from_bytes(os.urandom(8)) | 1)
_ROOM: Final = 4  # bits a string table may grow by before its codes need more of them
_DENSE: Final = 21
"""Bits of the codes of all columns but the longest, at most, that stand in such a table too."""
_NOWHERE: Final = np.zeros(0, np.intp)
_DIRECT: Final = 1 << 23
"""Places of a table without hashes at most. Those never used take no memory."""


def powers(exponents: np.ndarray) -> np.ndarray:
    """Return powers of a random odd number modulo 2**64: uint64, shape (n,)."""
    count = int(exponents.max(initial=0)) + 1
    table = np.full(count, _FACTOR)
    table[0] = 1
    return table.cumprod().take(exponents)


class Combinations:
    """Numbers of the combinations of several columns, and what is in them.

    While the longest string table and the combinations of the other columns are few enough, a number stands in a table
    of both: half the time of a hash map that is larger than the caches.

    Args:
        tables: of each column its string table, None for a column of numbers. Tables that outgrow the room their codes
            were given make these numbers worthless; `valid` tells.
        dtypes: of each column.

    Attributes:
        count: how many there are.
        values: of each column the values, by number.
    """

    def __init__(self, tables: Sequence[StringTable | None], dtypes: Sequence[np.dtype[np.generic]]) -> None:
        self._tables = tables
        self._bits = [_NUMBER if table is None else len(table).bit_length() + _ROOM for table in tables]
        self._indexes = [Index() for _ in range(2 * len(tables))]
        # Numbers of the combinations of all columns but the longest: from a table where they fit, else by hash.
        self._rests, self._dense, self._rest_count = Index(), np.zeros(0, np.intp), 0
        self._longest = max(range(len(tables)), key=lambda i: len(tables[i] or ()))
        self._direct: np.ndarray | None = np.zeros((1, 0), np.int32)  # one more than the number
        if not tables[self._longest]:
            self._direct = None
        self.count = 0
        self.values = [np.zeros(0, dtype) for dtype in dtypes]

    def __len__(self) -> int:
        return max(self.count, *map(len, self._indexes))

    @property
    def valid(self) -> bool:
        """Whether every code of the tables has room."""
        return not any(len(t) >> bits for t, bits in zip(self._tables, self._bits, strict=True) if t is not None)

    def numbers(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Return the number of each row: integers, shape (n,)."""
        known = self.count
        found = self._directly(columns)
        numbers, new = found or self._indexes[0].number(self._keys(columns, self._indexes[1:], self._bits), known)
        if len(new):
            self.count += len(new)
            self.values = [grown(values, self.count) for values in self.values]
            for values, column in zip(self.values, columns, strict=True):
                values[known : self.count] = column[new]
        return numbers

    def _keys(self, columns: Sequence[np.ndarray], others: list[Index], widths: Sequence[int]) -> np.ndarray:
        """Return one key for each row; `others` number what does not fit into it."""
        key, used = _key(columns[0], others), widths[0]
        for column, bits in zip(columns[1:], widths[1:], strict=True):
            part = _key(column, others)
            if used + bits > _WORD:
                key, used = _numbered(key, others.pop()), _NUMBER
            key = key << np.uint64(bits) | part
            used += bits
        return key

    def _directly(self, columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
        """Return what `Index.number` does, from the table; None where there is none, or none any more."""
        table = self._tables[self._longest]
        if self._direct is None or table is None:
            return None
        others = [c for i, c in enumerate(columns) if i != self._longest]
        rests = self._rest_numbers(others) if others else np.zeros(len(columns[0]), np.intp)
        height, width = self._direct.shape
        while height < max(len(self._rests), self._rest_count):
            height *= 2
        if width < len(table):
            width = 2 * len(table)
        if height * width > _DIRECT:
            self._direct = None
            values = [values[: self.count] for values in self.values]
            self._indexes[0].number(self._keys(values, self._indexes[1:], self._bits), 0, np.arange(self.count))
            return None
        if (height, width) != self._direct.shape:
            larger = np.zeros((height, width), np.int32)
            larger[: self._direct.shape[0], : self._direct.shape[1]] = self._direct
            self._direct = larger
        places = rests * width
        places += columns[self._longest]
        return _from_table(self._direct.reshape(-1), places, self.count)

    def _rest_numbers(self, columns: list[np.ndarray]) -> np.ndarray:
        """Return the number of the combination of all columns but the longest in each row: int64, shape (n,)."""
        bits = [bits for i, bits in enumerate(self._bits) if i != self._longest]
        if sum(bits) > _DENSE:
            keys = self._keys(columns, self._indexes[1:], bits)
            return self._rests.number(keys, len(self._rests))[0].astype(np.intp)
        places = columns[0].astype(np.intp)
        for column, width in zip(columns[1:], bits[1:], strict=True):
            places <<= width
            places |= column
        self._dense = grown(self._dense, 1 << sum(bits))
        numbers, new = _from_table(self._dense, places, self._rest_count)
        self._rest_count += len(new)
        return numbers


def _from_table(table: np.ndarray, places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what `Index.number` does, from a table of numbers plus one by key."""
    numbers, new = table.take(places), _NOWHERE
    if not numbers.min():
        missing = rows_of(numbers == 0)
        wanted = places.take(missing)
        first = claimed(wanted, table)
        table[wanted.take(first)] = np.arange(count + 1, count + 1 + len(first))
        numbers[missing] = table.take(wanted)
        new = missing.take(first)
    numbers = numbers.astype(np.intp, copy=False)
    numbers -= 1
    return numbers, new


def _key(column: np.ndarray, indexes: list[Index]) -> np.ndarray:
    """Return a column as uint64 of at most 32 bits."""
    if column.dtype.itemsize == 8:
        return _numbered(column.view(np.uint64), indexes.pop())
    return column.view(np.uint32).astype(np.uint64)


def _numbered(keys: np.ndarray, index: Index) -> np.ndarray:
    return index.number(keys, len(index))[0].astype(np.uint64)


class Sequences:
    """The frames of every value of one field.

    Args:
        frames: from a value to its frames.
        field: place of the field: frames of different fields are different, also of the same name.
        names: where frames get their numbers.
        dense: whether values are small, as the codes of a string table are.

    Attributes:
        flat: the numbers of all frames, value after value.
        hashes: of each frame and those before it in its value: the hashes of their names, each times the power of its
            place, added up.
        starts: where those of a value begin, by the value's number.
        lengths: how many they are.
    """

    def __init__(self, frames: Callable[[int], list[str]], field: int, names: StringTable, *, dense: bool) -> None:
        self._frames = frames
        self._salt = np.uint64(hash((field, int(_FACTOR))) & (1 << 64) - 1)
        self._names = names
        self._index = None if dense else Index()
        self._after = np.zeros(0, np.int32)  # by small value: one more than its number
        self._used = 0
        self._count = 0
        self.flat = np.zeros(64, np.int32)
        self.hashes = np.zeros(64, np.uint64)
        self.starts = np.zeros(64, np.int64)
        self.lengths = np.zeros(64, np.int64)

    def __len__(self) -> int:
        return self._used + self._count

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Return the number of each value: int32, shape (n,)."""
        if self._index is not None:
            numbers, new = self._index.number(values.astype(np.int64).view(np.uint64), self._count)
            self._learn(values[new])
            return numbers
        self._after = grown(self._after, int(values.max(initial=0)) + 1)
        after = self._after.take(values)
        if not after.all():
            fresh = np.unique(values[after == 0])
            self._after[fresh] = np.arange(self._count, self._count + len(fresh)) + 1
            self._learn(fresh)
            after = self._after.take(values)
        return after - 1

    def _learn(self, values: np.ndarray) -> None:
        """Divide values that get the next numbers."""
        if not len(values):
            return
        known, self._count = self._count, self._count + len(values)
        frames = list(map(self._frames, values.tolist()))
        lengths = np.array(list(map(len, frames)), np.int64)
        ends = lengths.cumsum()
        starts, count = ends - lengths, int(ends[-1])
        texts = [name for part in frames for name in part]
        used, self._used = self._used, self._used + count
        self.flat, self.hashes = grown(self.flat, self._used), grown(self.hashes, self._used)
        self.flat[used : self._used] = self._names.intern_many(texts)
        depths = np.arange(count) - starts.repeat(lengths)
        sums = np.zeros(count + 1, np.uint64)
        sums[1:] = (np.fromiter(map(hash, texts), np.int64, count).view(np.uint64) ^ self._salt) * powers(depths)
        np.cumsum(sums, out=sums)
        self.hashes[used : self._used] = sums[1:] - sums[starts].repeat(lengths)
        self.starts, self.lengths = grown(self.starts, self._count), grown(self.lengths, self._count)
        self.starts[known : self._count] = starts + used
        self.lengths[known : self._count] = lengths

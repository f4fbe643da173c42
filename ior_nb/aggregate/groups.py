"""Rows put together by equal keys, batch after batch; and how many different values each group has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ior_nb.aggregate.columns import Columns, objects
from ior_nb.runtime import EventBatch, Recoder
from ior_nb.runtime.index import Index
from ior_nb.runtime.schema import column

__all__ = ["HALF", "ByText", "Distinct", "Groups", "Numbers", "Pairs", "pairs"]

HALF: Final = np.uint64(32)
"""Bits of one of the two numbers of a pair."""


_MOST_PLACES: Final = 1 << 22
"""Of a table: 16 MiB, of which few places are met often. A hash costs four times as much a row."""


class Numbers:
    """Numbers of integer keys, from 0 on as they come."""

    def __init__(self) -> None:
        self._index = Index()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, keys: np.ndarray, ranks: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each key, and for each new number in order the first row that holds its key.

        Args:
            keys: the keys.
            ranks: of new keys those of the lowest rank get the lowest numbers; by default any.
        """
        numbers, first = self._index.number(keys.astype(np.uint64), self._count, ranks)
        self._count += len(first)
        return numbers, first


class Pairs:
    """Numbers of pairs of numbers, from 0 on as they come: looked up in a table while that is small."""

    def __init__(self) -> None:
        self._table: np.ndarray | None = np.full((1, 16), -1, np.int32)
        self._numbers = Numbers()
        self._known: list[np.ndarray] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each pair, and for each new number in order the first row that holds its pair.

        Args:
            one: from 0 on, below 2**31.
            two: of at most 32 bits.
        """
        if self._table is not None and len(one):
            self._make_room(one, two)
        if self._table is None or not len(one):
            numbers, first = self._numbers.of(pairs(one, two))
        else:
            flat = self._table.reshape(-1)
            places = two.astype(np.intp)
            if len(self._table) > 1:
                places += one.astype(np.intp) * self._table.shape[1]
            numbers, first = flat.take(places), np.zeros(0, np.intp)
            if int(numbers.min()) < 0:
                new = np.flatnonzero(numbers < 0)
                first = new[np.sort(np.unique(places[new], return_index=True)[1])]
                flat[places[first]] = np.arange(self._count, self._count + len(first), dtype=np.int32)
                numbers = flat.take(places)
            self._known.append(pairs(one.take(first), two.take(first)))
        self._count += len(first)
        return numbers, first

    def _make_room(self, one: np.ndarray, two: np.ndarray) -> None:
        """Make the table large enough; where that would be too large, go on without it."""
        assert self._table is not None
        low, high = int(two.min()), int(two.max())
        rows, columns = self._table.shape
        rows, columns = max(rows, 1 << int(one.max()).bit_length()), max(columns, 1 << high.bit_length())
        if low < 0 or rows * columns > _MOST_PLACES:
            self._table = None
            known = np.concatenate([np.zeros(0, np.uint64), *self._known])
            self._numbers.of(known, np.arange(len(known)))  # they keep their numbers
            self._known = []
        elif (rows, columns) != self._table.shape:
            larger = np.full((rows, columns), -1, np.int32)
            larger[: self._table.shape[0], : self._table.shape[1]] = self._table
            self._table = larger


class Groups:
    """Rows put together by equal values of some columns. Groups are numbered from 0 on as they come.

    Args:
        *names: the columns.
    """

    def __init__(self, *names: str) -> None:
        self._recoders = {name: Recoder() for name in names if column(name).text}
        self._names = names
        self._wide = {name: Numbers() for name in names if column(name).dtype.itemsize > 4}
        self._numbers = [Pairs() for _ in names]
        self._keys: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def __len__(self) -> int:
        return len(self._numbers[-1])

    def of(self, batch: EventBatch) -> np.ndarray:
        """Return the group of each row of a batch that has the columns."""
        columns = {name: batch[name] for name in self._names}
        for name, recoder in self._recoders.items():
            columns[name] = recoder.codes(columns[name], batch.tables[name])
        at, first = np.broadcast_to(np.int32(0), len(batch)), np.zeros(0, np.intp)
        for name, numbers in zip(self._names, self._numbers, strict=True):
            wide = self._wide.get(name)
            at, first = numbers.of(at, columns[name] if wide is None else wide.of(columns[name])[0])
        for name, values in columns.items():
            self._keys[name].append(values.take(first))
        return at.astype(np.intp)

    def keys(self) -> Columns:
        """Return the values of the columns of each group; text as strings."""
        found: Columns = {}
        for name, parts in self._keys.items():
            values = np.concatenate(parts) if parts else np.zeros(0, column(name).dtype)
            known = self._recoders.get(name)
            found[name] = objects(known.own.at(values)) if known is not None else values.astype(np.int64)
        return found

    def values(self, name: str) -> tuple[Sequence[Any], np.ndarray]:
        """Return the distinct values of a column, and for each group which of them it has."""
        parts = self._keys[name]
        used, which = np.unique(np.concatenate(parts) if parts else np.zeros(0, np.int32), return_inverse=True)
        known = self._recoders.get(name)
        return (known.own.at(used) if known is not None else used.tolist()), which

    def order(self) -> np.ndarray:
        """Return the groups in ascending order of their keys, that of text as it came."""
        parts = [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in self._keys.values()]
        return np.lexsort(parts[::-1])


class ByText:
    """Groups of equal text in one column: their numbers are codes, 0 for the empty text."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._recoder = Recoder()

    def __len__(self) -> int:
        return len(self._recoder.own)

    def of(self, batch: EventBatch) -> np.ndarray:
        """Return the group of each row."""
        return self.coded(batch, batch[self._name])

    def coded(self, batch: EventBatch, codes: np.ndarray) -> np.ndarray:
        """Return the groups of codes of the batch's table of that column."""
        return self._recoder.codes(codes, batch.tables[self._name])

    def names(self, which: np.ndarray) -> np.ndarray:
        """Return the texts of groups."""
        return objects(self._recoder.own.at(which))


class Distinct:
    """How many different values each group has."""

    def __init__(self) -> None:
        self._numbers = Pairs()
        self._groups: list[np.ndarray] = []

    def add(self, at: np.ndarray, values: np.ndarray) -> None:
        """Take in values of at most 32 bits, one a row, of the groups `at`."""
        _, first = self._numbers.of(at, values)
        self._groups.append(at.take(first))

    def counts(self, size: int) -> np.ndarray:
        """Return the numbers of the groups below `size`."""
        return np.bincount(np.concatenate([np.zeros(0, np.intp), *self._groups]), minlength=size)


def pairs(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return two columns of at most 32 bits as one of 64."""
    return np.asarray((one.astype(np.uint64) << HALF) | two.astype(np.uint32))

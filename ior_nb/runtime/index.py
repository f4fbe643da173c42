"""A hash map from integer keys to integers, over whole numpy arrays."""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["HALF", "Index", "claimed", "grown", "is_nothing", "occurring", "once", "pairs", "rows_of"]

_FACTORS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))  # odd, and their bits well mixed
HALF: Final = np.uint64(32)
"""Bits of one of the two numbers of `pairs`."""
_SMALLEST: Final = 1024
_FREE: Final = -1
_DEAD: Final = -2
"""Number of a forgotten key: searches go on behind it, and a new key may take its place."""
_SPARSE: Final = 2
"""Places for a key at least."""
_AT_ONCE: Final = 1 << 18
"""Keys that move into a larger index at once: what a step needs beside them goes with their number."""
_NOWHERE: Final = np.zeros(0, np.intp)


def grown(array: np.ndarray, size: int) -> np.ndarray:
    """Return the array, or a copy at least twice as long, zeros behind, when it has less than `size` places."""
    if size <= len(array):
        return array
    larger = np.zeros(max(size, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger


def is_nothing(array: np.ndarray) -> bool:
    """Tell whether it is known at a glance that an array holds nothing but zeros: one, repeated without memory."""
    return array.strides == (0,) and not (len(array) and array[0])


def rows_of(mask: np.ndarray) -> np.ndarray:
    """Return where a mask, shape (n,), is true. `np.flatnonzero` does the same by way of four functions of Python."""
    if is_nothing(mask):
        return _NOWHERE
    # Of numbers `nonzero` is made of branches, which are mispredicted: five times as slow.
    rows: np.ndarray = (mask if mask.dtype == np.bool_ else mask != 0).nonzero()[0]
    return rows


def occurring(places: np.ndarray, size: int) -> np.ndarray:
    """Return the distinct places, below `size`, ascending, without sorting."""
    seen = np.zeros(size, bool)
    seen[places] = True
    return rows_of(seen)


def pairs(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return two columns of at most 32 bits as one of 64."""
    return np.asarray((one.astype(np.uint64) << HALF) | two.astype(np.uint32))


def claimed(places: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the number of one row for each distinct place, ascending: without sorting, by a table as scratch paper.

    Args:
        places: of the rows, shape (n,).
        table: of signed numbers, with all these places; what stands there is overwritten.
    """
    claims = np.arange(-2, -2 - len(places), -1).astype(table.dtype)
    table[places] = claims  # of several rows of one place the last is written, and stands for all
    return rows_of(table.take(places) == claims)


def once(places: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the distinct places, ascending; the table is written over there, as by `claimed`."""
    return np.sort(places[claimed(places, table)])


class Index:
    """Numbers of keys: open addressing, every round of probes over all rows at once.

    In a round all rows are the same way from their homes, so only rows of one home want the same place. New keys are
    sorted by their hash, which finds equal ones and puts those of one home side by side.
    """

    def __init__(self) -> None:
        self._clear(0)

    def _clear(self, keys: int) -> None:
        places = max(_SMALLEST, 1 << (_SPARSE * keys).bit_length())
        self._filled = 0
        self._mask = places - 1
        self._shift = np.uint64(65 - places.bit_length())
        self._keys = np.zeros(places, np.uint64)
        self._numbers = np.full(places, _FREE, np.int32)

    def __len__(self) -> int:
        return self._filled

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return the number of each key, uint64, shape (n,); a negative one where it has none."""
        return self._find(keys, _mixed(keys))

    def _find(self, keys: np.ndarray, mixed: np.ndarray) -> np.ndarray:
        places = (mixed >> self._shift).view(np.int64)
        numbers = self._numbers.take(places)
        rows = rows_of(self._keys.take(places) != keys)
        rows = rows[numbers.take(rows) != _FREE]
        places, keys, step = places.take(rows), keys.take(rows), 0
        while len(rows):
            step += 1
            places += step
            places &= self._mask
            found = self._numbers.take(places)
            numbers[rows] = found
            wrong = rows_of((self._keys.take(places) != keys) & (found != _FREE))
            rows, places, keys = rows.take(wrong), places.take(wrong), keys.take(wrong)
        return numbers

    def number(self, keys: np.ndarray, first: int, ranks: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each key; new keys get the next ones from `first` on.

        Args:
            keys: uint64, shape (n,).
            first: the first new number.
            ranks: of new keys those of the lowest rank get the lowest numbers; by default any.

        Returns:
            The numbers, and for each new number in order the first row that holds its key.
        """
        mixed = _mixed(keys)
        numbers = self._find(keys, mixed)
        missing = rows_of(numbers < 0)
        if not len(missing):
            return numbers, missing
        mixed = mixed.take(missing)
        order = mixed.argsort()
        missing, mixed = missing.take(order), mixed.take(order)
        is_first = np.concatenate([[True], mixed[1:] != mixed[:-1]])  # the hash is one-to-one
        at = rows_of(is_first)
        new = np.minimum.reduceat(missing, at)
        order = np.arange(len(new)) if ranks is None else ranks.take(new).argsort(kind="stable")
        given = np.empty(len(new), np.int32)
        given[order] = np.arange(first, first + len(new))
        numbers[missing] = given.take(is_first.cumsum() - 1)
        self._enter(keys.take(new), mixed.take(at), given)
        return numbers, new.take(order)

    def renumber(self, numbers: np.ndarray) -> None:
        """Give every number another one, by the old one; -1 forgets its key."""
        # From the end of the array, _FREE and _DEAD find themselves.
        self._numbers = np.append(np.where(numbers < 0, _DEAD, numbers), (_DEAD, _FREE)).astype(np.int32)[self._numbers]

    def _enter(self, keys: np.ndarray, mixed: np.ndarray, numbers: np.ndarray) -> None:
        """Enter distinct new keys, in the order of their hashes."""
        if _SPARSE * (self._filled + len(keys)) > len(self._keys):
            used = self._numbers >= 0
            old_keys, old = self._keys[used], self._numbers[used]
            self._clear(len(old) + len(keys))
            for at in range(0, len(old), _AT_ONCE):
                some, numbered = old_keys[at : at + _AT_ONCE], old[at : at + _AT_ONCE]
                again = _mixed(some)
                order = again.argsort(kind="stable")  # nearly sorted as they stand, which is what this kind is good at
                self._enter(some.take(order), again.take(order), numbered.take(order))
        places, step = (mixed >> self._shift).view(np.int64), 0
        while len(places):
            there = self._numbers.take(places)
            is_free = there < 0
            is_free[1:] &= places[1:] != places[:-1]
            free, rest = rows_of(is_free), rows_of(~is_free)
            self._filled += int(np.count_nonzero(there.take(free) == _FREE))
            taken = places.take(free)
            self._keys[taken] = keys.take(free)
            self._numbers[taken] = numbers.take(free)
            step += 1
            places, keys, numbers = places.take(rest), keys.take(rest), numbers.take(rest)
            places += step
            places &= self._mask


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Return the hash of each key; no two keys have the same. The upper bits are the home."""
    mixed: np.ndarray = keys * _FACTORS[0]
    mixed ^= mixed >> HALF
    mixed *= _FACTORS[1]
    return mixed

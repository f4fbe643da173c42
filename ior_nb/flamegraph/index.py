"""A hash map from integer keys to integers, over whole numpy arrays."""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["Index", "grown"]

_FACTORS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))  # odd, and their bits well mixed
_SMALLEST: Final = 1024
_FEW: Final = 8
"""So few rows are brought home one by one: a round over arrays costs as much for one row as for hundreds."""


def grown(array: np.ndarray, size: int) -> np.ndarray:
    """Return the array, or a copy at least twice as long when it has less than `size` places."""
    if size <= len(array):
        return array
    larger = np.zeros(max(size, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger


class Index:
    """Numbers of keys: open addressing, every round of probes over all rows at once.

    Sorting a batch to find its distinct keys costs 170 ns a row; a look-up here costs 20 to 40.

    Args:
        words: 64-bit words of a key. Keys are uint64 arrays of shape (words, n).
    """

    def __init__(self, words: int = 1) -> None:
        self._keys = np.zeros((words, 0), np.uint64)
        self._clear(0)

    def _clear(self, keys: int) -> None:
        """Make room for that many keys, and at most half full."""
        slots = max(_SMALLEST, 1 << (2 * keys - 1).bit_length())
        self._count = 0
        self._mask = slots - 1
        self._shift = np.uint64(64 - self._mask.bit_length())
        self._keys = np.zeros((len(self._keys), slots), np.uint64)
        self._numbers = np.full(slots, -1, np.int32)

    def __len__(self) -> int:
        return self._count

    def _home(self, keys: np.ndarray) -> np.ndarray:
        mixed: np.ndarray = keys[0] * _FACTORS[0]
        for word in keys[1:]:
            mixed ^= mixed >> np.uint64(29)
            mixed += word
            mixed *= _FACTORS[0]
        mixed ^= mixed >> np.uint64(32)
        mixed *= _FACTORS[1]
        mixed >>= self._shift
        return mixed.view(np.int64)

    def _differ(self, slots: np.ndarray, keys: np.ndarray) -> np.ndarray:
        result: np.ndarray = self._keys[0].take(slots) != keys[0]
        for mine, word in zip(self._keys[1:], keys[1:], strict=True):
            result |= mine.take(slots) != word
        return result

    def _seek(self, key: list[int], slot: int, step: int) -> int:
        """Return the first slot, from the next step on, that holds the key or is free."""
        while True:
            step += 1
            slot = (slot + step) & self._mask
            if self._numbers.item(slot) < 0 or [mine.item(slot) for mine in self._keys] == key:
                return slot

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return the number of each key, -1 where it has none."""
        slots = self._home(keys)
        numbers = self._numbers.take(slots)
        rows = np.flatnonzero(self._differ(slots, keys) & (numbers >= 0))
        slots = slots[rows]
        step = 0
        while len(rows) > _FEW:
            step += 1
            slots = (slots + step) & self._mask
            found = self._numbers.take(slots)
            numbers[rows] = found
            wrong = np.flatnonzero(self._differ(slots, keys[:, rows]) & (found >= 0))
            rows, slots = rows[wrong], slots[wrong]
        for row, slot in zip(rows.tolist(), slots.tolist(), strict=True):
            numbers[row] = self._numbers[self._seek(keys[:, row].tolist(), slot, step)]
        return numbers

    def number(self, keys: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each key; new keys get the next ones from `first` on.

        Returns:
            The numbers, and for each new number in order a row that holds its key.
        """
        numbers = self.find(keys)
        missing = np.flatnonzero(numbers < 0)
        if not len(missing):
            return numbers, missing
        if 2 * (self._count + len(missing)) > self._mask + 1:
            used = np.flatnonzero(self._numbers >= 0)
            old = self._keys[:, used], self._numbers[used]
            self._clear(2 * (self._count + len(missing)))
            self._refill(*old)
        numbers[missing], new = self._enter(keys[:, missing], first)
        return numbers, missing[new]

    def replace(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        """Forget everything; hold these distinct keys with these numbers instead."""
        self._clear(len(numbers))
        self._refill(keys, numbers)

    def _refill(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        if len(numbers):
            _, rows = self._enter(keys, 0)
            used = np.flatnonzero(self._numbers >= 0)
            self._numbers[used] = numbers[rows][self._numbers[used]]

    def _enter(self, keys: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Give new keys, one at least, a slot each; those equal to each other share one. Return as `number` does."""
        given = np.empty(keys.shape[1], np.int32)
        entered: list[np.ndarray] = []
        rows = np.arange(keys.shape[1], dtype=np.int32)
        slots = self._home(keys)
        before, step = first - self._count, 0
        while True:
            free = np.flatnonzero(self._numbers[slots] < 0)
            places, winners = slots[free], rows[free]
            self._numbers[places] = winners  # of several that claim one slot the last is written, and wins
            won = self._numbers[places] == winners
            places, winners = places[won], winners[won]
            for mine, word in zip(self._keys, keys, strict=True):
                mine[places] = word[winners]
            self._numbers[places] = np.arange(len(winners)) + (before + self._count)
            self._count += len(winners)
            entered.append(winners)
            other = self._differ(slots, keys[:, rows])
            given[rows[~other]] = self._numbers[slots[~other]]
            rows, slots = rows[other], slots[other]
            if len(rows) <= _FEW:
                break
            step += 1
            slots = (slots + step) & self._mask
        last: list[int] = []
        for row, slot in zip(rows.tolist(), slots.tolist(), strict=True):
            key = keys[:, row].tolist()
            place = self._seek(key, slot, step)
            if self._numbers[place] < 0:
                self._keys[:, place] = key
                self._numbers[place] = before + self._count
                self._count += 1
                last.append(row)
            given[row] = self._numbers[place]
        return given, np.concatenate([*entered, np.array(last, np.int32)])

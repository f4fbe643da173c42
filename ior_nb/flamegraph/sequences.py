"""The frames of values, as numbers: each distinct value is divided once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ior_nb.flamegraph.index import Index, grown
from ior_nb.runtime import StringTable

__all__ = ["Sequences"]


class Sequences:
    """The frames of every value of one field.

    Args:
        frames: from a value to its frames.
        names: where frames get their numbers.

    Attributes:
        flat: the numbers of all frames, value after value.
        starts: where those of a value begin, by the value's number.
        lengths: how many they are.
    """

    def __init__(self, frames: Callable[[int], list[str]], names: StringTable) -> None:
        self._frames = frames
        self._names = names
        self._index = Index()
        self._used = 0
        self.flat = np.zeros(64, np.int32)
        self.starts = np.zeros(64, np.int64)
        self.lengths = np.zeros(64, np.int64)

    def __len__(self) -> int:
        return self._used + len(self._index)

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Return the number of each value: int32, shape (n,)."""
        known = len(self._index)
        numbers, new = self._index.number(values.astype(np.int64).view(np.uint64)[None], known)
        if len(new):
            frames = list(map(self._frames, values[new].tolist()))
            lengths = np.array(list(map(len, frames)), np.int64)
            ends = self._used + lengths.cumsum()
            used, count = int(ends[-1]), len(self._index)
            self.flat = grown(self.flat, used)
            self.flat[self._used : used] = self._names.intern_many([name for part in frames for name in part])
            self.starts, self.lengths = grown(self.starts, count), grown(self.lengths, count)
            self.starts[known:count] = ends - lengths
            self.lengths[known:count] = lengths
            self._used = used
        return numbers

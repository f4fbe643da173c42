"""`Places`: dense places in arrays for ids that are not dense."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.runtime.index import Index, grown, rows_of

__all__ = ["Places"]

_NEAR: Final = 1 << 19
"""Ids below have a table of their own, which takes 1 ns a row; the hash map takes 7."""


class Places:
    """Where the values of an id stand in dense arrays. Ids are any 32-bit numbers, and most are soon used no more.

    The kernel program numbers names a processor at a time, so that with 128 processors one id in 128 is in use.

    Attributes:
        used: places given out; 0 is that of id 0 and of every unknown one.
    """

    def __init__(self) -> None:
        self._near = np.zeros(1024, np.intp)
        self._far = Index()
        self.used = 1

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Return the place of each id, intp, shape (n,)."""
        if int(ids.max(initial=0)) < len(self._near):
            return self._near.take(ids)
        places: np.ndarray = np.maximum(self._far.find(ids.astype(np.uint64)), 0).astype(np.intp)
        near = rows_of(ids < len(self._near))
        places[near] = self._near.take(ids[near])
        return places

    def give(self, ids: np.ndarray) -> np.ndarray:
        """Return the place of each id; new ones get the next."""
        places = self.find(ids)
        rows = rows_of((places == 0) & (ids > 0))
        if not len(rows):
            return places
        new, which = np.unique(ids[rows], return_inverse=True)
        places[rows] = self.used + which
        near = int(np.searchsorted(new, _NEAR))
        if near:
            self._near = grown(self._near, int(new[near - 1]) + 1)[:_NEAR]
            self._near[new[:near]] = np.arange(self.used, self.used + near)
        far = new[near:].astype(np.uint64)
        self._far.number(far, self.used + near, np.arange(len(far)))
        self.used += len(new)
        return places

    def keep(self, places: np.ndarray) -> None:
        """Forget the ids of all places but these, ascending, the first of them 0; they become 0, 1, 2 and so on."""
        numbers = np.full(self.used, -1, np.int32)
        numbers[places] = np.arange(len(places))
        self._near = np.maximum(numbers, 0).astype(np.intp).take(self._near)
        self._far.renumber(numbers)
        self.used = len(places)

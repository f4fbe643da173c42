"""Sums by string: what a tally, its lines and its processes keep, as long as there are distinct strings."""

from __future__ import annotations

import numpy as np

from ior_nb.runtime.index import grown

__all__ = ["Sums"]


class Sums:
    """Equal-length int64 columns indexed by the code of a string, grown as codes appear.

    Args:
        names: of the columns.

    Attributes:
        columns: the sums by name; what is written to them stays.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.columns = {name: np.zeros(64, np.int64) for name in names}

    def grow(self, size: int) -> None:
        """Make room for codes below `size`."""
        self.columns = {name: grown(column, size) for name, column in self.columns.items()}

    def keep(self, kept: np.ndarray, codes: np.ndarray) -> None:
        """Forget all but the sums at `kept`, which are at `codes` from now on."""
        for name, column in self.columns.items():
            fresh = np.zeros_like(column)
            fresh[codes] = column[kept]
            self.columns[name] = fresh

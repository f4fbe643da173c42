"""What the client calls its work: rows on all hosts stand below the shared labels of its process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ior_nb.runtime.clock import moment

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Above"]

_HALF: Final = 32


@dataclass(frozen=True, slots=True)
class Above:
    """The labels that were everybody's in the process of the client; none is in force before the first."""

    times: tuple[int, ...] = ()
    """When each began, on the scheduler's wall clock, in order."""
    texts: tuple[str, ...] = ()
    """What each says; empty where one ended."""
    machine: str = ""
    """Where the client is, as far as numbers of processes go."""
    pid: int = 0
    """Its process: those that come from it have its labels already."""

    @classmethod
    def of(cls, said: Sequence[tuple[int, str]], offset_ns: int, machine: str, pid: int) -> Above:
        """Return it.

        Args:
            said: as `labels.follow` tells it.
            offset_ns: what is to be added to the wall clock here.
            machine: where this is.
            pid: this process.
        """
        if not any(text for _, text in said):
            return cls()
        now = moment()
        ahead = now.wall - now.boot + offset_ns
        times, texts = zip(*sorted((at + ahead if at else 0, text) for at, text in said), strict=True)
        return cls(times, texts, machine, pid)

    def __bool__(self) -> bool:
        return bool(self.texts)

    def over(self, labels: pa.DictionaryArray, wall_ns: np.ndarray, whose: np.ndarray) -> pa.DictionaryArray:
        """Return a column of labels with these above them, in the rows that are somebody's who has them."""
        import pyarrow as pa

        which = np.where(whose, np.searchsorted(np.array(self.times), wall_ns, side="right"), 0)
        if not which.any():
            return labels
        outer, inner = ["", *self.texts], labels.dictionary.to_pylist()
        codes = labels.indices.to_numpy(zero_copy_only=False)
        keys, at = np.unique(which.astype(np.int64) << _HALF | codes, return_inverse=True)
        pairs = [(outer[key >> _HALF], inner[key & (1 << _HALF) - 1]) for key in keys.tolist()]
        texts = ["/".join(filter(None, pair)) for pair in pairs]
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        coded = np.array([numbers[text] for text in texts], np.int32)[at.reshape(-1)]
        return pa.DictionaryArray.from_arrays(pa.array(coded), pa.array(list(numbers), pa.string()))

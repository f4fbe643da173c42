"""The fields of raw ring records, as arrays: a whole batch is turned over at once, and fields none of it has are told.

What a field means is said by `roles` and done by `decode`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.engine.roles import ANY_PATH, CLASS, POSITIONED, RESULT_FD, ROLE, elsewhere, has
from ior_nb.runtime.index import rows_of
from ior_nb.runtime.schema import column
from ior_nb.syscalls import BY_NAME

__all__ = ["EVENT", "NO_ROWS", "OF_SIZE", "PAGE_FAULT", "Records"]

EVENT: Final = np.dtype(
    [("len", "<u4"), ("page", "<u4"), *((n, "<u8", (6,)) if t == "<6u8" else (n, t) for n, t in wire.EVENT)]
)

OF_SIZE: Final = has("size") | has("msghdr")
PAGE_FAULT: Final = BY_NAME["page_fault"].number
NO_ROWS: Final = np.empty(0, np.int64)
_SIZED: Final = OF_SIZE & (CLASS > 0)
_WORDS: Final = EVENT.itemsize // 8
_NAMED: Final = EVENT.fields["names"][1] // 8 if EVENT.fields else 0
_BLOCK: Final = 512
"""Records turned to columns at once: they and their columns fit into the nearest caches, a frame does not."""


class Kinds:
    """What can be said of records by the system calls they are of; frames of the same calls have one.

    Args:
        present: which calls there are: bool, by number.
    """

    def __init__(self, present: np.ndarray) -> None:
        numbers = rows_of(present)
        self.page_faults = bool(present[PAGE_FAULT])
        self.paths, self.positions, self.descriptors, self.sized = (
            bool(table[numbers].any()) for table in (ANY_PATH, POSITIONED, RESULT_FD, _SIZED)
        )
        self.arguments = {
            role: indexes for role, table in ROLE.items() if (indexes := set(table[numbers].tolist()) - {-1})
        }
        """By role: which arguments play it. Roles that none plays are left out."""


@functools.lru_cache(256)
def _kinds(present: bytes) -> Kinds:
    return Kinds(np.frombuffer(present, bool))


class Records:
    """Records on their way to columns.

    Args:
        payloads: those of frames.
        room: memory for the words of their columns; what is to outlive the records has to be copied.
    """

    def __init__(self, payloads: Sequence[bytes], room: np.ndarray) -> None:
        frames = [np.frombuffer(payload, "<u8").reshape(-1, _WORDS) for payload in payloads]
        self.count, at = sum(map(len, frames)), 0
        words = room[: self.count * _WORDS].reshape(_WORDS, self.count)
        for block in (frame[i : i + _BLOCK] for frame in frames for i in range(0, len(frame), _BLOCK)):
            words[1:, at : at + len(block)] = block.T[1:]  # the first is the ring's own
            at += len(block)
        self.raw = {name: _field(words, *place[:2]) for name, place in (EVENT.fields or {}).items()}
        bits = np.zeros(_WORDS, "<u8")
        bits[_NAMED:] = [np.bitwise_or.reduce(word) for word in words[_NAMED:]]
        self.bits = bits.view(EVENT)[0]
        """One record with the bits that any has: a field from `names` on that is 0 in it is 0 in all."""
        # Index arrays of the machine's own width: `take` then needs no conversion.
        self.nr = np.minimum(self.raw["nr"], wire.SPECS - 1).astype(np.intp)
        self.kinds = _kinds((np.bincount(self.nr, minlength=wire.SPECS) > 0).tobytes())
        self.ret = self.raw["ret"].copy()
        self.extra = self.raw["extra"]
        self.columns: dict[str, np.ndarray] = {}

    def any(self, role: str) -> bool:
        """Whether any record is of a call that has an argument of that role."""
        return role in self.kinds.arguments

    def words(self, role: str, dtype: str = "<i8") -> tuple[np.ndarray, np.ndarray]:
        """Return the rows whose call has an argument of that role, and its value in each."""
        if not self.any(role):
            return NO_ROWS, NO_ROWS
        index = ROLE[role]
        rows = rows_of(has(role).take(self.nr))
        return rows, self.raw["args"][rows, index.take(self.nr.take(rows))].astype(dtype)

    def column(self, role: str, dtype: str) -> np.ndarray:
        """Return the argument of that role as a whole column, -1 where a call has none."""
        found = []
        for index in self.kinds.arguments.get(role, ()):
            values = elsewhere(role, index, dtype).take(self.nr)
            values |= self.raw["args"][:, index].view(dtype)[:: 8 // values.itemsize]
            found.append(values)
        return functools.reduce(np.bitwise_and, found) if found else np.full(self.count, -1, dtype)

    def fill(self, name: str, rows: np.ndarray, values: np.ndarray) -> None:
        """Write values into some rows of a column; the others keep what the schema says for "does not apply"."""
        if len(rows):
            spec = column(name)
            if name not in self.columns:
                self.columns[name] = np.full(self.count, spec.absent, spec.dtype)
            self.columns[name][rows] = values


def _field(words: np.ndarray, dtype: np.dtype[np.generic], offset: int) -> np.ndarray:
    """Return a field of all records, shape (n,) or, of an array, (n, its length)."""
    word, size = offset // 8, dtype.base.itemsize
    if dtype.shape:
        return words[word : word + dtype.shape[0]].T
    field: np.ndarray = words[word].view(dtype)[offset % 8 // size :: 8 // size]
    return field

"""String tables: text columns are int32 codes into one of these."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final, overload

import numpy as np

from ior_nb.real import Lock
from ior_nb.runtime.index import once, rows_of

__all__ = ["Recoder", "StringTable"]

_INT_BYTES: Final = sys.getsizeof(1 << 20)


class StringTable(Sequence[str]):
    """An append-only list of distinct strings. Code 0 is always the empty string.

    Reading needs no lock; `intern` and `intern_many` may be called from any thread.
    """

    __slots__ = ("__weakref__", "_bytes", "_codes", "_lock", "_texts", "_weighed")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts: list[str] = [""]
        self._codes: dict[str, int] = {"": 0}
        self._bytes = self._weighed = 0  # of so many strings alone
        self._lock = Lock()
        self.intern_many(texts)

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._texts[index]

    def __repr__(self) -> str:
        return f"StringTable({len(self)} strings)"

    @property
    def nbytes(self) -> int:
        """What it takes, strings and all."""
        with self._lock:
            count = len(self._texts)
            self._bytes += sum(map(sys.getsizeof, self._texts[max(self._weighed, 1) : count]))
            self._weighed = count
        numbers = _INT_BYTES * len(self._texts)
        return self._bytes + numbers + sys.getsizeof(self._texts) + sys.getsizeof(self._codes)

    def intern(self, text: str) -> int:
        """Return the code of `text`, giving it the next one when it is new."""
        code = self._codes.get(text)
        if code is None:
            with self._lock:
                code = self._codes.get(text)
                if code is None:
                    code = len(self._texts)
                    self._texts.append(text)
                    self._codes[text] = code
        return code

    def intern_many(self, texts: Iterable[str]) -> np.ndarray:
        """Return the codes of `texts`, int32, shape (n,). Known strings cost one C-level dictionary look-up each."""
        texts = texts if isinstance(texts, list) else list(texts)
        codes = list(map(self._codes.get, texts))
        if None in codes:
            with self._lock:
                new = dict.fromkeys([text for text in texts if text not in self._codes])
                first = len(self._texts)
                self._texts.extend(new)  # first: whoever finds the code must find the text
                self._codes.update(zip(new, range(first, first + len(new)), strict=True))
            if len(new) == len(texts):
                return np.arange(first, first + len(new), dtype=np.int32)
            codes = list(map(self._codes.__getitem__, texts))
        return np.array(codes, dtype=np.int32)

    def code(self, text: str) -> int | None:
        """Return the code of `text`, None when the table has never seen it."""
        return self._codes.get(text)

    def among(self, texts: Iterable[str]) -> np.ndarray:
        """Return which codes stand for one of these texts: bool, shape (strings,)."""
        codes = [code for text in texts if (code := self._codes.get(text)) is not None]
        found = np.zeros(len(self), bool)
        found[codes] = True
        return found

    def at(self, codes: np.ndarray) -> list[str]:
        """Return the strings of `codes`."""
        return list(map(self._texts.__getitem__, codes.tolist()))

    def texts(self, codes: np.ndarray) -> np.ndarray:
        """Return the strings of `codes` as an object array of the same shape."""
        if not len(codes):
            return np.empty(0, dtype=object)
        used, inverse = np.unique(codes, return_inverse=True)
        values = np.empty(len(used), dtype=object)
        values[:] = self.at(used)
        result: np.ndarray = values[inverse]
        return result


class Recoder:
    """Codes of one own table for strings that come with tables of others: a long trace changes its tables.

    Attributes:
        own: the table whose codes these are.
    """

    def __init__(self) -> None:
        self.own = StringTable()
        self._table: StringTable | None = None
        self._known = np.zeros(0, np.intp)  # by code of that table; -1 for strings nobody asked for

    def codes(self, codes: np.ndarray, table: StringTable) -> np.ndarray:
        """Return the own codes of another table's, shape (n,). Costs one array index where they are known.

        They are as wide as what looks up and adds up by them needs it, else it converts them.
        """
        if table is not self._table:
            self._table, self._known = table, np.full(1024, -1, np.intp)
        if len(self._known) < len(table):
            more = np.full(max(len(table), 2 * len(self._known)) - len(self._known), -1, np.intp)
            self._known = np.concatenate([self._known, more])
        own = self._known.take(codes)
        if own.min(initial=0) < 0:
            rows = rows_of(own < 0)
            fresh = codes.take(rows)
            new = once(fresh, self._known)
            self._known[new] = self.own.intern_many(table.at(new))
            own[rows] = self._known.take(fresh)
        return own

    def keep(self, codes: np.ndarray) -> np.ndarray:
        """Drop all own strings but these; return their new codes. The empty string is 0 before and after."""
        texts = self.own.at(codes)
        self.own, self._table = StringTable(), None
        return self.own.intern_many(texts)

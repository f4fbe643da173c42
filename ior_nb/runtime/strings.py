"""String tables: text columns are int32 codes into one of these."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np

__all__ = ["StringTable"]


class StringTable(Sequence[str]):
    """An append-only list of distinct strings. Code 0 is always the empty string.

    Reading needs no lock; `intern` and `intern_many` may be called from any thread.
    """

    __slots__ = ("__weakref__", "_codes", "_lock", "_texts")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts: list[str] = [""]
        self._codes: dict[str, int] = {"": 0}
        self._lock = threading.Lock()
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
                for text in [t for t, code in zip(texts, codes, strict=True) if code is None]:
                    if text not in self._codes:
                        self._texts.append(text)  # first: whoever finds the code must find the text
                        self._codes[text] = len(self._texts) - 1
            codes = list(map(self._codes.__getitem__, texts))
        return np.array(codes, dtype=np.int32)

    def code(self, text: str) -> int | None:
        """Return the code of `text`, None when the table has never seen it."""
        return self._codes.get(text)

    def texts(self, codes: np.ndarray) -> np.ndarray:
        """Return the strings of `codes` as an object array of the same shape."""
        if not len(codes):
            return np.empty(0, dtype=object)
        used, inverse = np.unique(codes, return_inverse=True)
        values = np.empty(len(used), dtype=object)
        values[:] = [self._texts[c] for c in used.tolist()]
        result: np.ndarray = values[inverse]
        return result

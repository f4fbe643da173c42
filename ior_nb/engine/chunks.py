"""Chunks of names as the collector sends them, and the texts in them.

Of most chunks nobody needs more than the head and the words of the text, so these are taken out of the frames; whole
chunks are copied only where the rest of them says something.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.engine.spelling import absolute, readable
from ior_nb.runtime import StringTable
from ior_nb.runtime.index import HALF, Index, grown, once, rows_of

__all__ = ["CHUNK", "Chunks", "Texts"]

CHUNK: Final = np.dtype([("len", "<u4"), ("page", "<u4"), *wire.CHUNK])
_HEAD: Final = np.dtype(CHUNK.descr[:10])  # up to `base`
_WORDS: Final = wire.CHUNK_TEXT // 8
_FRAME: Final = np.dtype(
    [
        ("head", f"V{_HEAD.itemsize}"),
        ("rest", f"V{CHUNK.itemsize - _HEAD.itemsize - wire.CHUNK_TEXT}"),
        ("words", "<u8", (_WORDS,)),
    ]
)
_WHOLE: Final = np.dtype(f"V{CHUNK.itemsize}")  # copied as it is, not field by field
_DISCARDED: Final = 1 << 30
_REMEMBERED: Final = 1 << 20

# The keyed hash of `Texts`: odd 64-bit multipliers, and masks for words by how many bytes of them are the text's.
_BEFORE, _BEHIND = (np.frombuffer(os.urandom(8 * (_WORDS + 1)), "<u8") | np.uint64(1) for _ in range(2))
_ENDS: Final = np.array([(1 << 8 * min(max(n, 0), 8)) - 1 for n in range(-wire.CHUNK_TEXT, wire.CHUNK_TEXT + 1)], "<u8")


class Chunks:
    """The chunks of some frames.

    Args:
        payloads: those of the frames.

    Attributes:
        heads: the fields of each before `dev`, shape (n,).
    """

    def __init__(self, payloads: Sequence[bytes]) -> None:
        self._frames = [np.frombuffer(payload, _FRAME) for payload in payloads]
        self.heads = self._heads()
        if np.bitwise_or.reduce(self.heads["len"]) & _DISCARDED:
            self._frames = [frame[frame.view(CHUNK)["len"] & _DISCARDED == 0] for frame in self._frames]
            self.heads = self._heads()

    def _heads(self) -> np.ndarray:
        return np.concatenate([frame["head"] for frame in self._frames]).view(_HEAD)

    def __len__(self) -> int:
        return len(self.heads)

    def take(self, which: np.ndarray) -> np.ndarray:
        """Return the whole chunks of a mask, shape (n,), as an array of `CHUNK`."""
        if not which.any():
            return np.empty(0, CHUNK)
        found, at = [], 0
        for frame in self._frames:
            found.append(frame.view(_WHOLE).take(rows_of(which[at : at + len(frame)])))
            at += len(frame)
        return np.concatenate(found).view(CHUNK)

    def words(self) -> np.ndarray:
        """Return as many words of the texts as the longest has: shape (words, n). What is behind their ends is old."""
        count = min((int(self.heads["bytes"].max(initial=0)) + 7) // 8, _WORDS)
        words, at = np.empty((count, len(self)), "<u8"), 0
        for frame in self._frames:
            words[:, at : at + len(frame)] = frame["words"][:, :count].T
            at += len(frame)
        return words


class Texts:
    """The codes of texts that fit into one chunk, and the paths they mean as arguments of calls.

    A text is recognised by a 64-bit hash of its words, keyed with random numbers of this process, so that nobody can
    choose texts that collide; only one never seen before becomes a Python string.

    Args:
        table: where they are interned.
    """

    def __init__(self, table: StringTable) -> None:
        self._table = table
        self._by_hash = Index()
        self._hashed = np.zeros(1024, np.int32)  # string codes by number of the hash
        self._absolute = np.zeros(1024, np.int32)  # by string code: that of the path it means; 0 unknown, -1 relative

    def codes(self, sizes: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return string codes.

        Args:
            sizes: bytes of each text: intp, shape (n,).
            words: those of the texts, shape (as many as the longest has, n). What is behind a text's end is cleared.
        """
        if not len(sizes):
            return np.empty(0, np.int32)
        for j in range(int(sizes.min()) // 8, len(words)):
            words[j] &= _ENDS.take(sizes + (wire.CHUNK_TEXT - 8 * j))
        hashes = sizes.astype(np.uint64) * _BEFORE[_WORDS]
        for word, before, behind in zip(words, _BEFORE, _BEHIND, strict=False):
            mixed = word * before  # first: what a shift does to bits of the word itself, those of the next could undo
            mixed ^= mixed >> HALF
            mixed *= behind
            hashes += mixed
        known = len(self._by_hash)
        if known > _REMEMBERED:
            self._by_hash, known = Index(), 0
        # New names in the order they came: neighbours are alike, and so shrink in a recording.
        numbers, rows = self._by_hash.number(hashes, known, np.arange(len(hashes)))
        if len(rows):
            raw, step, lengths = words.T[rows].tobytes(), 8 * len(words), sizes[rows].tolist()
            if raw.isascii():  # one text is sooner cut than many are decoded
                whole = raw.decode()
                new = [whole[k * step : k * step + length] for k, length in enumerate(lengths)]
            else:
                new = [readable(raw[k * step : k * step + length]) for k, length in enumerate(lengths)]
            codes = self._table.intern_many(new)
            self._hashed = grown(self._hashed, known + len(rows))
            self._hashed[known : known + len(rows)] = codes
            self._absolute = grown(self._absolute, len(self._table))
            plain = [text[:1] == "/" != text[-1:] and "//" not in text and "/." not in text for text in new]
            self._absolute[codes[plain]] = codes[plain]  # now, while they are in a cache
        return self._hashed.take(numbers)

    def absolute(self, codes: np.ndarray) -> np.ndarray:
        """Return the paths that absolute path arguments mean; -1 for relative ones. An empty one is 0."""
        self._absolute = grown(self._absolute, len(self._table))
        paths: np.ndarray = self._absolute.take(codes)
        rows = rows_of((paths == 0) & (codes != 0))
        if len(rows):
            new = once(codes.take(rows), self._absolute)
            found = self._table.intern_many([absolute("", t) if t[:1] == "/" else "" for t in self._table.at(new)])
            self._absolute[new] = np.where(found == 0, -1, found)
            paths = self._absolute.take(codes)
        return paths

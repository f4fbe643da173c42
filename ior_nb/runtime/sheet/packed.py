"""Named arrays and texts as bytes, and back: what a host sends. Nothing that is read is believed.

A head of ten bytes (`IORM`, the version, what it is, the length), then zlib: a JSON object with the texts and the
shapes of the arrays, a zero byte, and the arrays as little-endian int64, first all lowest bytes, then the next ones.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from ior_nb.errors import SourceError

__all__ = ["Contents", "pack", "unpack"]

T = TypeVar("T")

VERSION: Final = 1
_MAGIC: Final = b"IORM"
_HEAD: Final = struct.Struct("<4sBBI")
_MOST: Final = 1 << 26
"""Bytes when unpacked."""
_MOST_TEXT: Final = 1 << 14
_LARGEST: Final = 1 << 62
_LARGEST_SUM: Final = 2.0**60


def pack(kind: int, texts: Mapping[str, Sequence[str]], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return texts and whole numbers as bytes."""
    flat = [np.ascontiguousarray(array, "<i8").reshape(-1) for array in arrays.values()]
    body = np.concatenate([np.zeros(0, "<i8"), *flat]).view(np.uint8).reshape(-1, 8).T.tobytes()
    head = json.dumps({"texts": texts, "shapes": {name: array.shape for name, array in arrays.items()}})
    raw = head.encode() + b"\0" + body
    return _HEAD.pack(_MAGIC, VERSION, kind, len(raw)) + zlib.compress(raw)


class Contents:
    """What `pack` was given, as long as it is asked for what it is.

    All its methods raise ValueError where that is not there.
    """

    def __init__(self, texts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._texts, self._arrays = texts, arrays

    def texts(self, name: str, count: int | None = None) -> tuple[str, ...]:
        """Return texts, so many of them."""
        found = self._texts.get(name)
        if not isinstance(found, list) or not all(isinstance(t, str) and len(t) <= _MOST_TEXT for t in found):
            raise ValueError(f"{name} is no list of texts")
        if count is not None and len(found) != count:
            raise ValueError(f"{name} has {len(found)} texts, not {count}")
        return tuple(found)

    def sums(self, name: str, *shape: int) -> np.ndarray:
        """Return amounts, which may be added up."""
        values = self.numbers(name, *shape)
        if values.size and float(values.reshape(len(values), -1).sum(axis=0, dtype=np.float64).max()) >= _LARGEST_SUM:
            raise ValueError(f"{name} is too large to be added up")
        return values

    def numbers(self, name: str, *shape: int, least: int = 0, most: int = _LARGEST) -> np.ndarray:
        """Return whole numbers: int64, read-only; -1 in a shape stands for any length."""
        values = self._arrays.get(name)
        if values is None or values.ndim != len(shape):
            raise ValueError(f"{name} is not there")
        if any(wanted not in (length, -1) for length, wanted in zip(values.shape, shape, strict=True)):
            raise ValueError(f"{name} has the shape {values.shape}, not {shape}")
        if values.size and (int(values.min()) < least or int(values.max()) > most):
            raise ValueError(f"{name} has a value beyond {least} to {most}")
        return values


def unpack(kind: int, data: bytes, made: Callable[[Contents], T]) -> T:
    """Return what is made of what was packed; to make it may raise ValueError.

    Raises:
        SourceError: these bytes are nothing of that kind, of another version, too large, or say what cannot be.
    """
    try:
        contents = _unpacked(kind, data)
    except (ValueError, KeyError, RecursionError, OverflowError, zlib.error, struct.error) as error:
        raise _unreadable(error) from error
    try:
        return made(contents)
    except ValueError as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> SourceError:
    return SourceError(f"what a host sent cannot be read: {error}; does it run the same version of ior-nb?")


def _unpacked(kind: int, data: bytes) -> Contents:
    if len(data) < _HEAD.size:
        raise ValueError(f"{len(data)} bytes are not even a head")
    magic, version, what, size = _HEAD.unpack_from(data)
    if magic != _MAGIC or what != kind:
        raise ValueError("it is something else")
    if version != VERSION:
        raise ValueError(f"it is of version {version}, this is version {VERSION}")
    if size > _MOST:
        raise ValueError(f"it has {size:,} bytes, more than {_MOST:,}")
    stream = zlib.decompressobj()
    raw = stream.decompress(data[_HEAD.size :], size + 1)
    if len(raw) != size or not stream.eof or stream.unused_data:
        raise ValueError("its length is not what it says")
    head, zero, body = raw.partition(b"\0")
    known = json.loads(head)
    if not zero or not isinstance(known, dict) or {"texts", "shapes"} != known.keys() or len(body) % 8:
        raise ValueError("it has no head")
    texts, shapes = known["texts"], known["shapes"]
    if not isinstance(texts, dict) or not isinstance(shapes, dict) or not all(map(_is_shape, shapes.values())):
        raise ValueError("its head says nothing of that kind")
    sizes = [math.prod(shape) for shape in shapes.values()]
    if 8 * sum(sizes) != len(body):
        raise ValueError("its arrays are not of the shapes it says")
    flat = np.frombuffer(body, np.uint8).reshape(8, -1).T.copy().view("<i8").reshape(-1).astype(np.int64)
    flat.setflags(write=False)
    starts = np.cumsum([0, *sizes]).tolist()
    return Contents(
        texts,
        {
            name: flat[start : start + size].reshape(shape)
            for (name, shape), start, size in zip(shapes.items(), starts[:-1], sizes, strict=True)
        },
    )


def _is_shape(shape: object) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) in (1, 2)
        and all(type(length) is int and 0 <= length <= _MOST for length in shape)
    )

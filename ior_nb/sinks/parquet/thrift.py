"""Thrift's compact protocol, as far as Parquet footers need it: read a struct, change it, write it back.

Nothing here knows what the fields mean, so a footer keeps also those that a newer pyarrow adds.
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, NamedTuple

__all__ = ["Field", "Items", "Kind", "Struct", "decode", "encode", "unsigned", "zigzag"]


class Kind(enum.IntEnum):
    """Type of a value on the wire. Maps are missing: Parquet has none."""

    TRUE = 1
    FALSE = 2
    BYTE = 3
    I16 = 4
    I32 = 5
    I64 = 6
    DOUBLE = 7
    BINARY = 8
    LIST = 9
    SET = 10
    STRUCT = 12


class Field(NamedTuple):
    """One field of a struct."""

    kind: int
    value: Any
    """bool, int, bytes (also of a double), `Items` or `Struct`, as the kind says.

    For `encode`, bytes may stand for a struct that is encoded already.
    """


class Items(NamedTuple):
    """A list or set."""

    kind: int
    values: list[Any]


Struct = dict[int, Field]
"""Fields by their number, in the order of the wire."""


def decode(data: bytes) -> Struct:
    """Return the struct at the beginning of `data`.

    Raises:
        ValueError: the bytes are no struct, or end in the middle of it.
    """
    try:
        return _Reader(data).struct()
    except IndexError:
        raise ValueError("thrift: the data ends in the middle of a struct") from None


def encode(struct: Struct) -> bytes:
    """Return the bytes of a struct."""
    out = []
    last = 0
    for number, (kind, value) in struct.items():
        is_bool = 0 < kind <= Kind.FALSE  # whose value is its kind
        head = (Kind.TRUE if value else Kind.FALSE) if is_bool else kind
        step = number - last
        out.append(_BYTES[step << 4 | head] if 0 < step < 16 else _BYTES[head] + zigzag(number))
        if not is_bool:
            out.append(_WRITERS[kind](value))
        last = number
    out.append(b"\0")
    return b"".join(out)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def bytes(self, length: int) -> bytes:
        self.at += length
        if self.at > len(self.data):
            raise IndexError
        return self.data[self.at - length : self.at]

    def unsigned(self) -> int:
        value = shift = 0
        while (byte := self.byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def signed(self) -> int:
        value = self.unsigned()
        return value >> 1 ^ -(value & 1)

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self.byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self.signed()
            value = kind == Kind.TRUE if kind in (Kind.TRUE, Kind.FALSE) else self.value(kind)
            fields[number] = Field(kind, value)
        return fields

    def value(self, kind: int) -> Any:
        match kind:
            case Kind.I16 | Kind.I32 | Kind.I64:
                return self.signed()
            case Kind.BINARY:
                return self.bytes(self.unsigned())
            case Kind.STRUCT:
                return self.struct()
            case Kind.LIST | Kind.SET:
                head = self.byte()
                length, kind = head >> 4, head & 15
                length = self.unsigned() if length == 15 else length
                return Items(kind, [self.value(kind) for _ in range(length)])
            case Kind.BYTE:
                return self.byte()
            case Kind.TRUE | Kind.FALSE:  # in a list, where a boolean has a byte of its own
                return self.byte() == Kind.TRUE
            case Kind.DOUBLE:
                return self.bytes(8)
        raise ValueError(f"thrift: unknown type {kind} at byte {self.at}")


def zigzag(value: int) -> bytes:
    """Return a number that may be negative, its sign in the lowest bit."""
    return unsigned(value << 1 ^ value >> 63)


def unsigned(value: int) -> bytes:
    """Return a number in seven bits a byte, the lowest first."""
    if value <= 0x7F:
        return _BYTES[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _binary(value: bytes) -> bytes:
    return unsigned(len(value)) + value


def _struct(value: Any) -> bytes:
    return value if isinstance(value, bytes) else encode(value)


def _items(value: Items) -> bytes:
    length = len(value.values)
    head = bytes([length << 4 | value.kind]) if length < 15 else bytes([0xF0 | value.kind]) + unsigned(length)
    return head + b"".join([_WRITERS[value.kind](item) for item in value.values])  # an empty one may be of any kind


class _Writers(dict[int, Callable[[Any], bytes]]):
    def __missing__(self, kind: int) -> Callable[[Any], bytes]:
        raise ValueError(f"thrift: unknown type {kind}")


_BYTES: Final = [bytes([value]) for value in range(256)]
_WRITERS: Final = _Writers(
    {
        **dict.fromkeys((Kind.TRUE, Kind.FALSE), lambda value: _BYTES[Kind.TRUE if value else Kind.FALSE]),  # in a list
        **dict.fromkeys((Kind.I16, Kind.I32, Kind.I64), zigzag),
        **dict.fromkeys((Kind.LIST, Kind.SET), _items),
        Kind.BYTE: _BYTES.__getitem__,
        Kind.DOUBLE: bytes,
        Kind.BINARY: _binary,
        Kind.STRUCT: _struct,
    }
)

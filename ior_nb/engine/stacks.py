"""What Python stacks are: code objects and stacks, learned from the facts ring as they come.

The collector says a stack once. Python statements run once for each distinct stack, never for an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.runtime import StringTable
from ior_nb.runtime.index import grown
from ior_nb.runtime.stacks import CUT, Frame, is_cell, is_machinery, own_frame, place_of, written

__all__ = ["TEXTS", "Stacks", "line_of"]

_CODES: Final = 1 << 16  # remembered; the kernel program knows the last 16,384 it was asked for
_NUMBERS: Final = 1 << 28  # the arrays of what stacks are have a place for each number up to the highest
_MOST: Final = 1 << 17  # texts in a table before a new one is begun
_ALIVE: Final = 1 << 16  # stacks that are taken over; the kernel program knows half as many
_ENCODINGS: Final = {0: "ascii", 1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
TEXTS: Final = {"texts": "stack", "files": "py_file", "functions": "py_func", "places": "opened_at"}
"""Attributes of `Stacks` -> the columns whose string codes they are."""
_BEFORE_ALL: Final = 1 << 31  # an offset beyond: the instruction pointer stands before the code


class _Code(NamedTuple):
    file: str
    function: str
    table: bytes
    first: int
    begins: int
    """Offset of the first instruction that is the function's own."""
    lines: dict[int, int]
    """Offset -> line, as far as asked for."""


class Stacks:
    """Everything learned about one collector's stacks. One thread at a time uses it.

    Args:
        tables: the string tables.

    Attributes:
        texts, files, functions, places: string codes by id of the stack; a place is its line with its file.
        lines: numbers by id of the stack.
        own: whether it is the tracer's or the notebook's machinery at work.
    """

    def __init__(self, tables: Mapping[str, StringTable]) -> None:
        self._tables = tables
        self._codes: dict[int, _Code] = {}
        self.texts = np.zeros(1024, np.int32)
        self.files = np.zeros(1024, np.int32)
        self.functions = np.zeros(1024, np.int32)
        self.places = np.zeros(1024, np.int32)
        self.lines = np.zeros(1024, np.int32)
        self.own = np.zeros(1024, bool)
        self._used = np.zeros(1024, np.int64)  # when an id was last asked for
        self._now = 0

    @property
    def full(self) -> bool:
        """Whether it is time for other tables."""
        return len(self._tables["stack"]) > _MOST

    def learn(self, payload: bytes) -> None:
        """Take in a FACTS frame."""
        at = 0
        while at < len(payload):
            length = int.from_bytes(payload[at : at + 4], "little") & 0x3FFFFFFF
            at += wire.HEADER_BYTES
            match int.from_bytes(payload[at : at + 4], "little"):
                case wire.FACT_CODE:
                    self._learn_code(payload, at)
                case wire.FACT_MORE:
                    self._learn_more(payload, at)
                case _:
                    self._learn_stack(payload, at)
            at += length + 7 & ~7

    def _learn_code(self, payload: bytes, at: int) -> None:
        _, first, number, begins, flags, *sizes, _ = wire.CODE.unpack_from(payload, at)
        at += wire.CODE.size
        parts: list[bytes] = []
        for size in sizes:
            parts.append(payload[at : at + size])
            at += size
        file, function, table = parts
        cut = bool(flags & wire.FACT_LONG)
        self._codes[number] = _Code(
            _text(file, flags >> 4 & 15, cut=cut), _text(function, flags & 15, cut=cut), table, first, 2 * begins, {}
        )
        while len(self._codes) > _CODES:
            del self._codes[next(iter(self._codes))]

    def _learn_more(self, payload: bytes, at: int) -> None:
        _, _, number, _, _, _, _, size, _ = wire.CODE.unpack_from(payload, at)
        at += wire.CODE.size
        code = self._codes.get(number)
        if code is not None:
            self._codes[number] = code._replace(table=code.table + payload[at : at + size])

    def _learn_stack(self, payload: bytes, at: int) -> None:
        _, number, count, flags = wire.STACK.unpack_from(payload, at)
        cut = bool(flags & wire.STACK_CUT)
        at += wire.STACK.size
        if number >= _NUMBERS:
            raise ValueError(f"no stack has the number {number}")
        frames: list[Frame] = []
        for code_id, offset, _ in wire.FRAME_OF_STACK.iter_unpack(payload[at : at + count * wire.FRAME_OF_STACK.size]):
            code = self._codes.pop(code_id, None)
            if code is None:
                return  # without it another function would look as if it made the call
            self._codes[code_id] = code  # those used last are kept longest
            if not code.begins <= offset < _BEFORE_ALL:
                continue  # a frame that is being made: its function has not begun
            line = code.lines.get(offset)
            if line is None:
                line = code.lines[offset] = line_of(code.table, code.first, offset)
            frames.append(Frame(code.function, code.file, line))
        outermost = max((i for i, frame in enumerate(frames) if is_cell(frame.file)), default=None)
        if outermost is not None:  # what runs a cell is the notebook's machinery
            frames, cut = frames[: outermost + 1], False
        frames.reverse()
        own = own_frame(frames)
        for name in ("texts", "files", "functions", "places", "lines", "own", "_used"):
            setattr(self, name, grown(getattr(self, name), number + 1))
        self.texts[number] = self._tables["stack"].intern(written(frames, cut=cut))
        self.files[number] = self._tables["py_file"].intern(own.file)
        self.functions[number] = self._tables["py_func"].intern(own.function)
        self.places[number] = self._tables["opened_at"].intern(place_of(own))
        self.lines[number] = own.line
        self.own[number] = bool(flags & wire.STACK_OWNERS) and is_machinery(frames, cut=cut)
        self._used[number] = self._now

    def known(self, ids: np.ndarray) -> np.ndarray:
        """Return ids, those beyond what is known as 0, which stands for no stack."""
        self._now += 1
        ids = np.where(ids < len(self.texts), ids, 0).astype(np.intp)
        self._used[ids] = self._now
        return ids

    def renew(self, tables: Mapping[str, StringTable]) -> None:
        """Go on with other tables; the stacks used last are taken over."""
        old, self._tables = self._tables, tables
        there = np.flatnonzero(self.texts)
        there = there[np.argsort(-self._used[there], kind="stable")][:_ALIVE]
        for name, column in TEXTS.items():
            before = getattr(self, name)
            after = np.zeros_like(before)
            after[there] = tables[column].intern_many(old[column].at(before[there]))
            setattr(self, name, after)
        lines = np.zeros_like(self.lines)
        lines[there] = self.lines[there]
        self.lines = lines


def _text(data: bytes, kind: int, *, cut: bool) -> str:
    """Return a str of the traced program; what no UTF-8 can hold becomes an escape.

    Args:
        data: as it is in memory.
        kind: bytes a character.
        cut: whether it is not whole if it is as long as can be.
    """
    encoding = _ENCODINGS.get(kind, "latin-1")
    try:
        text = data.decode(encoding, "surrogatepass" if kind > 1 else "strict")
    except UnicodeDecodeError:
        text = data.decode(encoding, "backslashreplace")
    more = CUT if cut and len(data) == wire.LONGEST_NAME else ""
    return text.encode("utf-8", "backslashreplace").decode() + more


def line_of(table: bytes, first: int, offset: int) -> int:
    """Return the line of an instruction, 0 where it has none or the table is damaged.

    Args:
        table: `co_linetable`; its format is told in Objects/locations.md of CPython.
        first: `co_firstlineno`.
        offset: of the instruction, in bytes.
    """
    at, line, begin = 0, first, 0
    try:
        while at < len(table):
            head = table[at]
            at += 1
            kind, end = head >> 3 & 15, begin + 2 * ((head & 7) + 1)
            if kind in (13, 14):
                delta, at = _varint(table, at)
                line += -(delta >> 1) if delta & 1 else delta >> 1
                for _ in range(3 if kind == 14 else 0):
                    _, at = _varint(table, at)
            elif kind < 10:
                at += 1
            elif kind < 13:
                line += kind - 10
                at += 2
            if begin <= offset < end:
                return 0 if kind == 15 else max(line, 0)
            begin = end
    except IndexError:
        return 0
    return 0


def _varint(table: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = table[at]
        at += 1
        value |= (byte & 63) << shift
        shift += 6
        if not byte & 64:
            return value, at

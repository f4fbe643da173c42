"""What the running kernel says of itself: its BTF, read in plain Python (about 0.1 s).

With offsets of struct members as #defines one program text reads the structs of any kernel, without kernel headers and
without CO-RE; and what a kernel does not have (a helper, a hook) is known before it is used. Format:
Documentation/bpf/btf.rst of the Linux source.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["NEEDED_HELPERS", "VMLINUX", "Btf", "constants"]

VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")
# BPF helpers without which there is no tracing; each with the Linux it came with.
NEEDED_HELPERS: Final = {"probe_read_kernel": "5.5", "ktime_get_boot_ns": "5.8", "ringbuf_reserve": "5.8"}

_POINTER, _STRUCT, _UNION, _ENUM, _TYPEDEF, _VAR = 2, 4, 5, 6, 8, 14
_HEAD = struct.Struct("<III")  # name, info, size or type
# Bytes after a type's 12-byte head, by kind: a fixed number, and a number for each member.
_TAIL = {1: 4, 3: 12, 14: 4, 17: 4}
_PER_MEMBER = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}


class Btf:
    """A BTF blob.

    Args:
        data: the blob, as in /sys/kernel/btf/vmlinux.

    Raises:
        ValueError: it is not BTF.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < 24 or struct.unpack_from("<H", data)[0] != 0xEB9F:
            raise ValueError("not a BTF blob")
        _magic, _version, _flags, header, type_at, type_len, str_at, str_len = struct.unpack_from("<HBBIIIII", data)
        self._data = data
        self._strings = data[header + str_at : header + str_at + str_len]
        self._where = where = [0]  # type id -> position
        self._by_name: dict[int, list[int]] = {}
        by_name = self._by_name
        unpack = _HEAD.unpack_from
        at, end = header + type_at, header + type_at + type_len
        while at < end:
            name, info, _ = unpack(data, at)
            if name:
                by_name.setdefault(name, []).append(len(where))
            where.append(at)
            kind = (info >> 24) & 0x1F
            at += 12 + _TAIL.get(kind, 0) + _PER_MEMBER.get(kind, 0) * (info & 0xFFFF)

    def offsets(self, wanted: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], int]:
        """Look up members of structs.

        Args:
            wanted: struct name -> member names. The member "" stands for the struct's size. A dotted member
                ("thread_info.status") looks into the member's own struct. Of members with a bar between them
                ("ancestors|ancestor_ids") the first that is there counts.

        Returns:
            (struct, member) -> offset in bytes.

        Raises:
            LookupError: a struct or member is missing; the message names it.
        """
        return {
            (name, member): bits // 8
            for name, members in wanted.items()
            for choice in members
            for member, bits in [self._member(name, choice)]
        }

    def has(self, wanted: Mapping[str, Sequence[str]]) -> bool:
        """Tell whether all these members are there, as `offsets` takes them."""
        try:
            self.offsets(wanted)
        except LookupError:
            return False
        return True

    def bit(self, struct_name: str, member: str) -> int:
        """Return the offset of a member in bits, for one that has less than a byte.

        Raises:
            LookupError: it is missing.
        """
        return self._member(struct_name, member)[1]

    def variable(self, name: str) -> int | None:
        """Return the type id of a variable (those of each CPU have one), None where there is none."""
        return next(iter(self._ids(name, _VAR)), None)

    def has_hook(self, tracepoint: str) -> bool:
        """Tell whether the kernel has a raw tracepoint."""
        return bool(self._ids(f"btf_trace_{tracepoint}", _TYPEDEF))

    def hands_over_pointer(self, tracepoint: str, index: int) -> bool:
        """Tell whether a raw tracepoint has an argument of that number, from 0 on, and it is a pointer."""
        for number in self._ids(f"btf_trace_{tracepoint}", _TYPEDEF):
            pointer = _HEAD.unpack_from(self._data, self._where[number])[2]
            function = self._where[_HEAD.unpack_from(self._data, self._where[pointer])[2]]
            count = _HEAD.unpack_from(self._data, function)[1] & 0xFFFF
            place = index + 1  # the first is the tracepoint's own
            if place < count:
                _, kind = struct.unpack_from("<II", self._data, function + 12 + 8 * place)
                return self._kind(kind) == _POINTER
        return False

    def helpers(self) -> dict[str, int]:
        """Return the BPF helpers the kernel has: name ("probe_read_kernel") -> number; empty where it does not say."""
        return {name.removeprefix("BPF_FUNC_"): value for name, value in self.values("bpf_func_id").items()}

    def values(self, enum: str) -> dict[str, int]:
        """Return the names of an enumeration and their values; empty where there is none."""
        for number in self._ids(enum, _ENUM):
            at = self._where[number]
            count = _HEAD.unpack_from(self._data, at)[1] & 0xFFFF
            pairs = struct.iter_unpack("<Ii", self._data[at + 12 : at + 12 + 8 * count])
            return {self._text(name): value for name, value in pairs}
        return {}

    def _member(self, name: str, choice: str) -> tuple[str, int]:
        """Return which of the choices is there, and its offset in bits."""
        for member in choice.split("|"):
            for number in self._ids(name, _STRUCT):
                found = self._find(self._where[number], member)
                if found is not None:
                    return member, found
        raise LookupError(f"this kernel's BTF has no {name}.{choice}" if choice else f"no struct {name}")

    def _ids(self, name: str, kind: int) -> list[int]:
        """Return the ids of the types of a name and a kind."""
        found: list[int] = []
        wanted = b"\0" + name.encode() + b"\0"
        start = self._strings.find(wanted)
        while start >= 0:
            found += [n for n in self._by_name.get(start + 1, ()) if self._kind(n) == kind]
            start = self._strings.find(wanted, start + 1)
        return found

    def _kind(self, number: int) -> int:
        info: int = _HEAD.unpack_from(self._data, self._where[number])[1]
        return (info >> 24) & 0x1F

    def _text(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(b"\0", offset)].decode()

    def _find(self, position: int, member: str, base: int = 0) -> int | None:
        unpack, data, where = _HEAD.unpack_from, self._data, self._where
        first, _, rest = member.partition(".")
        _, info, size = unpack(data, position)
        if not member:
            return 8 * int(size)
        for i in range(info & 0xFFFF):
            m_name, m_type, m_offset = unpack(data, position + 12 + 12 * i)
            m_offset = base + (m_offset & 0xFFFFFF if info >> 31 else m_offset)
            inner = where[m_type] if m_type < len(where) and m_type else 0
            is_struct = bool(inner) and (unpack(data, inner)[1] >> 24) & 0x1F in (_STRUCT, _UNION)
            if m_name and self._text(m_name) == first:
                return self._find(inner, rest, m_offset) if rest and is_struct else m_offset
            if not m_name and is_struct:  # anonymous struct or union: its members are ours
                found = self._find(inner, member, m_offset)
                if found is not None:
                    return found
        return None


def constants(layout: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Return offsets by the names the program's text has for them, `O_STRUCT_MEMBER`; sizes are left out."""
    return {f"O_{name}_{member.replace('.', '_')}": at for (name, member), at in layout.items() if member}

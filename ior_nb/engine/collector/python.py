"""Where CPython keeps its frames: offsets by version, and how an interpreter is found in a file and in a process.

The offsets are those of the interpreters' own headers, for x86-64 with the global lock, release and debug builds alike.
From 3.13 on an interpreter says most of them itself (`_Py_DebugOffsets`), and then its word counts. What is not known
for sure has no layout: no stack is better than a wrong one.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import platform
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = [
    "BINARY",
    "LAYOUT",
    "PYTHON",
    "STACKS_HERE",
    "WHY_ELSEWHERE",
    "Elsewhere",
    "File",
    "Found",
    "Unknown",
    "candidates",
    "inspect",
    "layout_row",
    "mapped",
    "why_unknown",
]

LAYOUT: Final = struct.Struct("<29I")  # struct layout of bpf/python.c
PYTHON: Final = struct.Struct("<QQqQII")  # struct python of bpf/python.h
BINARY: Final = struct.Struct("<QQQqII")  # struct binary of bpf/python.c
_FIELDS: Final = (
    "key_at most t_thread t_frame t_chunk t_status cframe direct t_depth "
    "f_code f_previous f_instr f_owner shim tag plain "
    "c_line c_file c_name c_table c_traceable c_code versioned s_ascii s_compact "
    "counter counter_bytes counter_global counts"
).split()

_COMMON: Final = (
    {"t_thread": 152, "t_frame": 72, "t_chunk": 232, "t_status": 32, "cframe": 0, "direct": 1, "t_depth": 0}
    | {"f_code": 0, "f_previous": 8, "f_instr": 56, "f_owner": 70, "shim": 3, "tag": 0}
    | {"c_line": 68, "c_file": 112, "c_name": 128, "c_table": 136, "c_traceable": 184, "c_code": 200, "versioned": 1}
    | {"s_ascii": 40, "s_compact": 56, "counter": 0, "counter_bytes": 8, "counter_global": 0, "counts": 0}
)
# Minor version -> what is different there. `counter`: 3.13 has one of code objects made (`counts`: their versions are
# below it, which is looked after), later ones of those freed; in 3.12 it is a static variable; 3.11 has none. `key_at`:
# 3.15 has a variable of the thread instead. `t_status`: in 3.11 no word of a state tells whether pthread_getspecific
# gives this one.
TABLE: Final[dict[int, dict[str, int]]] = {
    11: _COMMON
    | {"key_at": 592, "t_frame": 56, "t_chunk": 296, "t_status": 0, "cframe": 8, "direct": 0}
    | {"f_code": 32, "f_previous": 48, "f_owner": 69, "shim": 127}
    | {"c_line": 72, "c_traceable": 168, "c_code": 184, "versioned": 0, "s_ascii": 48, "s_compact": 72},
    12: _COMMON
    | {"key_at": 1544, "t_thread": 136, "t_frame": 56, "t_status": 24, "direct": 0, "c_traceable": 176, "c_code": 192},
    13: _COMMON | {"key_at": 2160, "counter": 17000, "counter_bytes": 4, "counts": 1, "t_depth": 44},
    14: _COMMON | {"key_at": 2336, "counter": 7992, "f_owner": 74, "tag": 3, "c_traceable": 192, "c_code": 208},
    15: _COMMON
    | {"key_at": 0, "counter": 7944, "t_chunk": 256, "t_thread": 176, "f_owner": 74, "tag": 3}
    | {"c_traceable": 192, "c_code": 208},
}
# Place in _Py_DebugOffsets, in words of 8 bytes from its cookie on: each version's own, for it grows in the middle.
_TOLD: Final[dict[int, dict[str, int]]] = {
    13: {"t_frame": 23, "t_thread": 24, "f_previous": 29, "f_code": 30, "f_instr": 31, "f_owner": 33}
    | {"c_file": 35, "c_name": 37, "c_table": 38, "c_line": 39, "c_code": 43},
    14: {"counter": 20, "t_frame": 26, "t_thread": 27, "f_previous": 32, "f_code": 33, "f_instr": 34, "f_owner": 36}
    | {"c_file": 40, "c_name": 42, "c_table": 43, "c_line": 44, "c_code": 48},
    15: {"counter": 20, "t_frame": 26, "t_thread": 30, "f_previous": 40, "f_code": 41, "f_instr": 42, "f_owner": 44}
    | {"c_file": 48, "c_name": 50, "c_table": 51, "c_line": 52, "c_code": 56},
}
STACKS_HERE: Final = platform.machine().lower() in ("x86_64", "amd64")
"""Whether frames can be found on this machine."""
WHY_ELSEWHERE: Final = (
    "Python stacks are read on x86-64; elsewhere the kernel notes where a thread has its state only when it leaves its"
    " processor"
)
_FINAL: Final = 15  # release level
_PAGE_MASK: Final = ~4095
_SYMBOLS: Final = re.compile(
    rb"(_PyRuntime|PyGILState_GetThisThreadState|Py_Version|_Py_next_func_version|_PyCode_New)\0"
)
_LOAD_FROM_FS: Final = b"\x64\x48\x8b\x04\x25"  # mov %fs:disp32,%rax
_LOAD_OR_ADDRESS: Final = re.compile(rb"(?:[\x48\x4c]\x8d|\x8b)[\x05\x0d\x15\x1d\x25\x2d\x35\x3d](....)", re.DOTALL)
_MOST_FROZEN: Final = 1 << 16
_STORE_VERSION: Final = re.compile(rb"\x89[\x40-\x7f]\x5c")  # mov %reg,0x5c(%reg): co_version of 3.12


class Unknown(Exception):
    """No interpreter whose stacks can be read; says why."""


class Elsewhere(Unknown):
    """Its interpreter is in a library, which is mapped later."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a file says of the interpreter in it. Addresses are those of the file."""

    version: str
    layout: tuple[tuple[str, int], ...]
    runtime: int
    """Of _PyRuntime."""
    segment: int
    """Of the segment that holds it."""
    segment_offset: int
    """Where in the file that one is."""
    start: int
    """Of the first code."""
    tls: int
    """Of the thread's state from its FS base on; 0 where it is asked of pthread_getspecific."""


def layout_row(found: Found, frames: int) -> bytes:
    """Return a row of `layouts`, for so many frames at most."""
    values = {**dict(found.layout), "most": frames}
    values["plain"] = (values["f_code"], values["f_previous"], values["f_instr"]) == (0, 8, 56)  # as `scan` has them
    return LAYOUT.pack(*(values[name] & 0xFFFFFFFF for name in _FIELDS))


def _parse(fd: int) -> tuple[list[tuple[int, int, int, int, int, int]], dict[str, int]]:
    head = os.pread(fd, 64, 0)
    if head[:5] != b"\x7fELF\x02" or len(head) < 64:
        raise Unknown("it is no 64-bit ELF file")
    segments_at, sections_at = struct.unpack_from("<QQ", head, 32)
    segment_size, segment_count, section_size, section_count = struct.unpack_from("<4H", head, 54)
    raw = os.pread(fd, segment_size * segment_count, segments_at)
    segments = []
    for i in range(segment_count):
        kind, flags, offset, start, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", raw, segment_size * i)
        segments.append((kind, flags, offset, start, in_file, in_memory))
    raw = os.pread(fd, section_size * section_count, sections_at)
    sections = [struct.unpack_from("<IIQQQQIIQQ", raw, section_size * i) for i in range(section_count)]
    symbols: dict[str, int] = {}
    for section in sections:
        if section[1] not in (2, 11):  # SYMTAB, DYNSYM
            continue
        names_at, names_size = sections[section[6]][4:6]
        names = os.pread(fd, names_size, names_at)
        if b"\0libpython3" in names:  # it needs one
            symbols["libpython"] = 0
        wanted = {at.start(): at[1].decode() for at in _SYMBOLS.finditer(names)}
        table = os.pread(fd, section[5], section[4])
        for name, _, _, where, value, _ in struct.iter_unpack("<IBBHQQ", table[: len(table) // 24 * 24]):
            if name in wanted and where:
                symbols[wanted[name]] = value
    return segments, symbols


def inspect(fd: int) -> Found:
    """Return what an open file says of the interpreter in it.

    Raises:
        Unknown: there is none whose stacks can be read; the message says why.
        OSError: the file cannot be read.
    """
    try:
        return _inspect(fd)
    except (struct.error, IndexError, ValueError) as error:
        raise Unknown(f"its ELF headers are damaged ({error})") from error


def _inspect(fd: int) -> Found:
    segments, symbols = _parse(fd)

    def at(address: int, size: int) -> bytes:
        for kind, _, offset, start, in_file, _ in segments:
            if kind == 1 and start <= address and address + size <= start + in_file:
                return os.pread(fd, size, offset + address - start)
        return b""

    if "_PyRuntime" not in symbols and "libpython" in symbols:
        raise Elsewhere("its interpreter is in a library")
    if "_PyRuntime" not in symbols:
        raise Unknown("it has no symbol _PyRuntime: it was stripped of them, or is another Python than CPython")
    if "Py_Version" not in symbols:
        raise Unknown("it is older than Python 3.11, which has a symbol Py_Version")
    runtime = symbols["_PyRuntime"]
    version = int.from_bytes(at(symbols["Py_Version"], 8), "little")
    major, minor, micro, level = version >> 24 & 255, version >> 16 & 255, version >> 8 & 255, version >> 4 & 15
    if major != 3 or minor not in TABLE:
        raise Unknown(f"the frames of Python {major}.{minor} are not known, only those of 3.11 to 3.15")
    if level != _FINAL:
        raise Unknown(f"Python {major}.{minor}.{micro} is no final release: where its frames are is not known for sure")
    layout = dict(TABLE[minor])
    if minor in _TOLD:
        words = struct.unpack("<64Q", at(runtime, 8 * 64))
        if words[0].to_bytes(8, "little") != b"xdebugpy" or words[1] != version:
            raise Unknown(f"Python {major}.{minor}.{micro} says nothing of its frames, or of those of another version")
        if words[2]:
            raise Unknown(f"Python {major}.{minor}.{micro} is free-threaded: its frames are not known")
        layout |= {name: words[word] for name, word in _TOLD[minor].items()}
    if minor == 12 and (counter := symbols.get("_Py_next_func_version") or _next_version(at, symbols)):
        layout |= {"counter": counter - runtime & 0xFFFFFFFF, "counter_bytes": 4, "counter_global": 1, "counts": 1}
    tls = 0
    if not layout["key_at"]:
        text = at(symbols.get("PyGILState_GetThisThreadState", 0), 32)
        where = text.find(_LOAD_FROM_FS)
        if where < 0:
            raise Unknown(f"Python {major}.{minor}.{micro} in a shared library: where its threads are is not known")
        (tls,) = struct.unpack_from("<i", text, where + len(_LOAD_FROM_FS))
    loaded = [s for s in segments if s[0] == 1]
    holder = next(s for s in loaded if s[3] <= runtime < s[3] + s[5])
    return Found(
        version=f"{major}.{minor}.{micro}",
        layout=tuple(layout.items()),
        runtime=runtime,
        segment=holder[3] & _PAGE_MASK,
        segment_offset=holder[2] & _PAGE_MASK,
        start=min(s[3] for s in loaded if s[1] & 1),
        tls=tls,
    )


def _next_version(at: Callable[[int, int], bytes], symbols: Mapping[str, int]) -> int:
    """Return where 3.12 has `_Py_next_func_version` in a file without all its symbols; 0 where that is not sure.

    The function that makes code objects takes each one's version from it: it is what is addressed right before the one
    store of a version, and in the file it is the number of code objects made beforehand, and one. The kernel program
    looks at every version it meets whether it is below.
    """
    begin = symbols.get("_PyCode_New", 0)
    text = at(begin, 2048)
    stores = [store.start() for store in _STORE_VERSION.finditer(text)]
    if len(stores) != 1:
        return 0
    before = max(stores[0] - 64, 0)
    loads = _LOAD_OR_ADDRESS.finditer(text, before, stores[0])
    places = {begin + load.end() + int.from_bytes(load[1], "little", signed=True) for load in loads}
    begun = [place for place in places if 0 < int.from_bytes(at(place, 4), "little") < _MOST_FROZEN]
    return begun[0] if len(begun) == 1 else 0


@dataclass(frozen=True, slots=True)
class File:
    """A file that is mapped into a process and may hold an interpreter."""

    pid: int
    device: int
    """As the kernel numbers it: what stat says differs on some file systems."""
    inode: int
    path: str
    """As the process was given it: elsewhere it may name another file."""
    span: str
    """Of the first mapping; empty where it is mapped no more."""
    at: dict[int, int]
    """Where each offset of the file is mapped."""
    library: bool

    @property
    def key(self) -> bytes:
        """What the kernel program knows it by."""
        return struct.pack("<QQ", self.device, self.inode)

    def open(self) -> int:
        """Open the very file that is mapped.

        Raises:
            OSError: this process may not.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC
        span = "-".join(f"{int(n, 16):x}" for n in self.span.split("-")) if self.span else ""
        ways = [f"/proc/{self.pid}/map_files/{span}", *([] if self.library else [f"/proc/{self.pid}/exe"])]
        for path in ways if span else ():
            with contextlib.suppress(PermissionError):  # map_files takes CAP_CHECKPOINT_RESTORE
                return os.open(path, flags)
        fd = os.open(f"/proc/{self.pid}/root{self.path}", flags | os.O_NONBLOCK)
        if os.fstat(fd).st_ino != self.inode:
            os.close(fd)
            raise OSError(f"{self.path} is another file by now")
        return fd


def candidates(pid: int) -> list[File]:
    """Return the files mapped into a process that may hold an interpreter: its program, and libpython.

    Raises:
        OSError: the process is gone, or not ours to look at.
    """
    program = str(Path(f"/proc/{pid}/exe").readlink())
    found: dict[tuple[int, int], File] = {}
    with open(f"/proc/{pid}/maps", errors="surrogateescape") as lines:  # noqa: PTH123 # line by line
        for line in lines:
            span, _, offset, device, inode, *rest = line.split(None, 5)
            path = rest[0].rstrip("\n") if rest else ""
            library = path.rpartition("/")[2].startswith("libpython")
            if path != program and not library:
                continue
            major, minor = (int(n, 16) for n in device.split(":"))
            key = (major << 20 | minor, int(inode))
            file = found.setdefault(key, File(pid, *key, path, span, {}, library and path != program))
            file.at.setdefault(int(offset, 16), int(span.split("-")[0], 16))
    return list(found.values())


def mapped(path: str) -> File:
    """Return a file nobody may have mapped yet, as the kernel numbers it; of a script, its interpreter.

    Raises:
        OSError: it is not there.
        ValueError: it is empty.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(fd, 256, 0)
        if head.startswith(b"#!/"):
            return mapped(os.fsdecode(head[2:].split(None, 1)[0]))
        with mmap.mmap(fd, 1, mmap.MAP_PRIVATE) as memory:  # only a mapping tells the kernel's own numbers
            byte = ctypes.c_char.from_buffer(memory)
            at = ctypes.addressof(byte)
            del byte  # else the mapping could not be closed
            with open("/proc/self/maps", errors="surrogateescape") as lines:  # noqa: PTH123 # line by line
                words = next(line.split(None, 5) for line in lines if int(line.split("-")[0], 16) == at)
    finally:
        os.close(fd)
    major, minor = (int(n, 16) for n in words[3].split(":"))
    return File(os.getpid(), major << 20 | minor, int(words[4]), os.path.realpath(path), "", {}, library=False)


def why_unknown(pid: int) -> str:
    """Return why the calls of a process have no Python stack; nothing where they have."""
    whys = []
    try:
        for file in candidates(pid):
            fd = file.open()
            try:
                inspect(fd)
            except Elsewhere:
                continue
            except Unknown as error:
                whys.append(f"{file.path}: {error}")
            else:
                return ""
            finally:
                os.close(fd)
    except OSError as error:
        whys.append(f"its files cannot be read: {error.strerror or error}")
    return "; ".join(whys) or "no interpreter is mapped into it"

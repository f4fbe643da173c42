"""bpf(2) and perf_event_open(2) through ctypes: what the collector needs of them and no more.

Every object is a file descriptor, closed by `close`; the kernel takes away what was attached or loaded with it. Numbers
and layouts: include/uapi/linux/bpf.h and perf_event.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import resource
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ior_nb.syscalls.machine import NUMBERS

__all__ = [
    "Map",
    "MapSpec",
    "Program",
    "Refused",
    "attach_perf",
    "attach_raw",
    "condensed",
    "info_of",
    "misses_of",
    "opens_perf",
    "settled",
    "unlimit_memory",
]

# Commands of bpf(2).
_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY, _PROG_LOAD = range(6)
_PROG_TEST_RUN, _INFO_BY_FD, _RAW_TRACEPOINT_OPEN, _MAP_LOOKUP_BATCH = 10, 15, 17, 24

PROG_TRACEPOINT: Final = 5
PROG_RAW_TRACEPOINT: Final = 17
MAP_ARRAY: Final = 2
UPDATE_ANY: Final = 0
UPDATE_NOEXIST: Final = 1

_ATTRIBUTES: Final = 144
_LOG_BYTES: Final = 16 << 20
_LICENSE: Final = b"Dual MIT/GPL"
_RECURSION_MISSES_AT: Final = 208  # struct bpf_prog_info; a kernel before 5.12 leaves it 0

_PERF_TYPE_TRACEPOINT: Final = 2
_PERF_ATTR_BYTES: Final = 112  # PERF_ATTR_SIZE_VER5
_PERF_FLAG_FD_CLOEXEC: Final = 8
_PERF_IOC_ENABLE, _PERF_IOC_SET_BPF = 0x2400, 0x40042408

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Refused(OSError):
    """The kernel refused a program or a map; `log` holds the verifier's words."""

    def __init__(self, number: int, message: str, log: str = "") -> None:
        super().__init__(number, message)
        self.log = log


def _syscall(number: int, *arguments: object) -> int:
    """Call the kernel, again where a signal came between; a failure is an OSError."""
    while True:
        result = int(_libc.syscall(number, *arguments))
        if result >= 0:
            return result
        code = ctypes.get_errno()
        if code not in (errno.EINTR, errno.EAGAIN):
            raise OSError(code, os.strerror(code))


def _bpf(command: int, attributes: bytes) -> tuple[int, bytes]:
    """Run a command; return its result and the attributes as the kernel left them."""
    buffer = ctypes.create_string_buffer(attributes, _ATTRIBUTES)
    return _syscall(NUMBERS["bpf"], command, buffer, _ATTRIBUTES), buffer.raw


def unlimit_memory() -> None:
    """Before 5.11 maps count as locked memory, of which a process has little; where it may, it takes what it needs."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def info_of(fd: int) -> bytes:
    """Return what the kernel says of a map (struct bpf_map_info) or a program (struct bpf_prog_info)."""
    info = ctypes.create_string_buffer(256)
    _bpf(_INFO_BY_FD, struct.pack("<IIQ", fd, len(info), ctypes.addressof(info)))
    return info.raw


def misses_of(program: int) -> int:
    """Return how often the kernel skipped a program because it was already running on that CPU."""
    return int(struct.unpack_from("<Q", info_of(program), _RECURSION_MISSES_AT)[0])


def settled() -> None:
    """Wait until every program that runs now has ended, so that what it looked up is no longer in use."""
    with contextlib.suppress(OSError):  # a kernel with tickless processors does without
        _syscall(NUMBERS["membarrier"], 1, 0, 0)  # MEMBARRIER_CMD_GLOBAL


@dataclass(frozen=True, slots=True)
class MapSpec:
    """What a map is made of: the words of BPF_MAP_CREATE."""

    name: str
    kind: int
    key_bytes: int
    value_bytes: int
    entries: int
    flags: int


class Map:
    """A map of the kernel, its keys and values as bytes.

    Args:
        spec: what it is made of.
        fd: of one that is there already; it is closed with the rest.
    """

    def __init__(self, spec: MapSpec, fd: int | None = None) -> None:
        self.spec = spec
        self.fd = _made(spec) if fd is None else fd
        self._key = ctypes.create_string_buffer(max(spec.key_bytes, 1))
        self._next = ctypes.create_string_buffer(max(spec.key_bytes, 1))
        self._value = ctypes.create_string_buffer(max(spec.value_bytes, 1))

    def _do(self, command: int, value: object, flags: int = 0) -> bool:
        """Run an element command; tell whether the element was there (or, for a new one, was not)."""
        try:
            at = ctypes.addressof(value) if value is not None else 0  # type: ignore[arg-type] # a ctypes buffer
            _bpf(command, struct.pack("<IIQQQ", self.fd, 0, ctypes.addressof(self._key), at, flags))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EEXIST):
                return False
            raise OSError(error.errno, f"map {self.spec.name!r}: {error.strerror}") from error
        return True

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None when there is none."""
        self._key.raw = key
        return self._value.raw if self._do(_MAP_LOOKUP, self._value) else None

    def set(self, key: bytes, value: bytes, flags: int = UPDATE_ANY) -> bool:
        """Write a value; with UPDATE_NOEXIST only where there is none. Returns whether it was written."""
        self._key.raw = key
        self._value.raw = value
        return self._do(_MAP_UPDATE, self._value, flags)

    def delete(self, key: bytes) -> bool:
        """Delete a key; tell whether it was there."""
        self._key.raw = key
        return self._do(_MAP_DELETE, None)

    def keys(self) -> Iterator[bytes]:
        """Return every key of a hash map. Take them all before any is deleted."""
        at = 0
        while True:
            attributes = struct.pack("<IIQQQ", self.fd, 0, at, ctypes.addressof(self._next), 0)
            try:
                _bpf(_MAP_NEXT_KEY, attributes)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return
                raise
            key = self._next.raw
            yield key
            self._key.raw = key
            at = ctypes.addressof(self._key)

    def values(self) -> list[bytes]:
        """Return every value of a hash map."""
        found = (self.get(key) for key in list(self.keys()))
        return [value for value in found if value is not None]

    def pieces(self, most: int = 8192) -> Iterator[memoryview]:
        """Yield the values of a hash map one behind the other, up to `most` at a time: 0.1 us a value, `get` takes 4.

        What is there all the time is in one of them, whatever comes and goes meanwhile.
        """
        keys = ctypes.create_string_buffer(most * self.spec.key_bytes)
        values = ctypes.create_string_buffer(most * self.spec.value_bytes)
        at = ctypes.create_string_buffer(8)
        begun = 0
        while True:
            where = (begun, *map(ctypes.addressof, (at, keys, values)))
            buffer = ctypes.create_string_buffer(struct.pack("<4QIIQQ", *where, most, self.fd, 0, 0), _ATTRIBUTES)
            try:
                _syscall(NUMBERS["bpf"], _MAP_LOOKUP_BATCH, buffer, _ATTRIBUTES)
                last = False
            except OSError as error:
                if error.errno != errno.ENOENT:  # which says that these are the last ones
                    raise
                last = True
            count = struct.unpack_from("<I", buffer, 32)[0]
            yield memoryview(values).cast("B")[: count * self.spec.value_bytes]
            if last:
                return
            begun = ctypes.addressof(at)

    def clear(self) -> None:
        """Delete every key of a hash map."""
        for key in list(self.keys()):
            self.delete(key)

    def close(self) -> None:
        """Give it back."""
        os.close(self.fd)


def _made(spec: MapSpec) -> int:
    attributes = struct.pack(
        "<5IiI16s", spec.kind, spec.key_bytes, spec.value_bytes, spec.entries, spec.flags, 0, 0, spec.name.encode()
    )
    try:
        return _bpf(_MAP_CREATE, attributes)[0]
    except OSError as error:
        raise Refused(error.errno or 0, f"the kernel refused the map {spec.name!r}: {error.strerror}") from error


class Program:
    """A program, verified and compiled by the kernel.

    Args:
        name: what the kernel shows it as, cut to 15 bytes.
        kind: PROG_RAW_TRACEPOINT or PROG_TRACEPOINT.
        code: its instructions, with descriptors of maps in them.

    Raises:
        Refused: the kernel does not take it; with the verifier's words.
    """

    def __init__(self, name: str, kind: int, code: bytes) -> None:
        self.name = name
        try:
            self.fd = self._load(kind, code, None)
        except OSError:
            log = ctypes.create_string_buffer(_LOG_BYTES)  # only now: words cost the verifier time
            try:
                self.fd = self._load(kind, code, log)
            except OSError as error:
                said = log.value.decode(errors="replace")
                raise Refused(
                    error.errno or 0, f"the kernel refused the program {name!r}: {error.strerror}", said
                ) from error

    def _load(self, kind: int, code: bytes, log: ctypes.Array[ctypes.c_char] | None) -> int:
        instructions, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(_LICENSE)
        attributes = struct.pack(
            "<IIQQIIQII16s",
            kind,
            len(code) // 8,
            ctypes.addressof(instructions),
            ctypes.addressof(licence),
            int(log is not None),
            len(log) if log is not None else 0,
            ctypes.addressof(log) if log is not None else 0,
            0,
            0,
            self.name.encode()[:15],
        )
        return _bpf(_PROG_LOAD, attributes)[0]

    def run(self, context: bytes) -> None:
        """Run it once, here and now (a raw tracepoint's program; Linux 5.10 and later)."""
        buffer = ctypes.create_string_buffer(context, len(context))
        attributes = struct.pack(
            "<IIIIQQIIIIQQ", self.fd, 0, 0, 0, 0, 0, 0, 0, len(context), 0, ctypes.addressof(buffer), 0
        )
        _bpf(_PROG_TEST_RUN, attributes)

    def close(self) -> None:
        """Give it back."""
        os.close(self.fd)


def attach_raw(tracepoint: str, program: Program) -> int:
    """Attach a program to a raw tracepoint; return the descriptor that holds it there."""
    name = ctypes.create_string_buffer(tracepoint.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI", ctypes.addressof(name), program.fd))[0]


def attach_perf(number: int, program: Program) -> int:
    """Attach a program to a trace event, by the number tracefs gives it; return the descriptor that holds it there.

    The program runs on every CPU, for the event's list of programs is one for all of them; the event itself needs some
    CPU to be on.
    """
    fd = _perf_event(number)
    try:
        for request, argument in ((_PERF_IOC_SET_BPF, program.fd), (_PERF_IOC_ENABLE, 0)):
            if _libc.ioctl(fd, ctypes.c_ulong(request), ctypes.c_ulong(argument)) < 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
    except BaseException:
        os.close(fd)
        raise
    return fd


def opens_perf(number: int) -> bool:
    """Tell whether this process may open a trace event: some kernels want CAP_SYS_ADMIN (perf_event_paranoid 3)."""
    try:
        os.close(_perf_event(number))
    except OSError:
        return False
    return True


def _perf_event(number: int) -> int:
    cpu = int(re.split(r"[-,\n]", _online())[0])
    attributes = struct.pack("<IIQQQQQII", _PERF_TYPE_TRACEPOINT, _PERF_ATTR_BYTES, number, 1, 0, 0, 0, 0, 0)
    buffer = ctypes.create_string_buffer(attributes, _PERF_ATTR_BYTES)
    return _syscall(NUMBERS["perf_event_open"], buffer, -1, cpu, -1, _PERF_FLAG_FD_CLOEXEC)


def _online() -> str:
    with open("/sys/devices/system/cpu/online") as file:  # noqa: PTH123 # read in the middle of attaching
        return file.read()


def condensed(log: str) -> str:
    """Return the verifier's last words: the reason, without instructions, registers and statistics."""
    words = [line.strip() for line in log.splitlines()]
    return "\n".join([line for line in words if line and not _NO_REASON.match(line)][-_LAST_WORDS:])


_LAST_WORDS: Final = 3
# Lines of the verifier's log that are no reason: instructions, registers, source, statistics.
_NO_REASON: Final = re.compile(
    r"\d+: |from \d+ to \d+:|R\d+(_\w+)?=|;|processed \d|verification time|stack depth|last_idx|regs=|parent |frame\d"
)

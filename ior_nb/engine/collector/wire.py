"""What the kernel program, the collector and the decoder say to each other: numbers, records, frames.

`program.py` turns every name of `CONSTANTS` into a `#define`, so the C text and Python can not disagree; the sizes
of the records are checked by the compiler.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

# ---- records on the rings: (name, numpy type); every ring record is preceded by the kernel's 8-byte header ----

EVENT: Final[tuple[tuple[str, str], ...]] = (
    ("time", "<u8"),
    ("latency", "<u8"),
    ("ret", "<i8"),
    ("args", "<6u8"),
    ("gap", "<u8"),
    ("pos", "<i8"),
    ("extra", "<i8"),
    ("file", "<u4"),
    ("file2", "<u4"),
    ("names", "<u4"),
    ("comm", "<u4"),
    ("stack", "<u4"),
    ("pid", "<u4"),
    ("tid", "<u4"),
    ("fetched", "<u4"),  # bytes; this and the next four as `packed` of bpf/fetched.c
    ("run_delay", "<u4"),  # ns
    ("wait_device", "<u4"),
    ("wait_lock", "<u4"),
    ("wait_other", "<u4"),
    ("opener", "<u4"),
    ("nr", "<u2"),
    ("flags", "<u1"),
    ("generation", "<u1"),
)
EVENT_BYTES: Final = 152
CHUNK_TEXT: Final = 208
CHUNK: Final[tuple[tuple[str, str], ...]] = (
    ("id", "<u4"),
    ("type", "<u1"),
    ("part", "<u1"),
    ("parts", "<u1"),
    ("flags", "<u1"),
    ("length", "<u2"),
    ("bytes", "<u2"),
    ("base", "<u4"),
    ("dev", "<u4"),
    ("mode", "<u4"),
    ("socket", "<u4"),
    ("magic", "<u4"),
    ("inode", "<u8"),
    ("time", "<u8"),
    ("text", f"V{CHUNK_TEXT}"),
)
CHUNK_BYTES: Final = 48 + CHUNK_TEXT
HEADER_BYTES: Final = 8

# Flags of an event.
EF_FIRST: Final = 1  # the thread's first traced call: no gap
EF_NO_RETURN: Final = 2  # exit, exit_group, rt_sigreturn
EF_IN_FLIGHT: Final = 4  # had not returned when the trace or the thread ended
EF_NAMES_LOST: Final = 8  # its paths did not fit into the names ring
EF_SAMPLED_OUT: Final = 16  # never leaves the kernel
EF_KEPT_OUT: Final = 32  # audit: the filter would have kept it out
EF_REFUSED: Final = 64  # a filter or a tracer answered it before it began; with EF_NO_RETURN: by a signal
EF_DIRECT: Final = 128  # what it fetched went past the page cache

# A number of a record that is packed: 30 bits, and above them how often it was shifted right by nine. It is exact below
# 2**30, and beyond that where it is a whole number of sectors of a disk.
PACKED_BITS: Final = 30
PACKED_SHIFT: Final = 9
PACKED_UNKNOWN: Final = (1 << 32) - 1

# Types and flags of a chunk.
N_FILE: Final = 1
N_PATH1: Final = 2
N_PATH2: Final = 3
N_COMM: Final = 4
N_BIRTH: Final = 5
N_DEATH: Final = 6
N_ENDS: Final = 7  # of a socket, as getpeername and getsockname give them, at 0 and at PEER_ROOM of the text
NF_DELETED: Final = 1  # the file has no name any more
NF_DETACHED: Final = 2  # it never had a place in the tree: the text is the bare dentry name
NF_CUT: Final = 4  # the path is longer than 4,095 bytes or 256 components: the front is missing
NF_NULL: Final = 8  # the program passed a null pointer
NF_UNREADABLE: Final = 16  # the program passed a pointer to nowhere
NF_BY_DESCRIPTOR: Final = 32  # the kernel's words for a descriptor and a path below it: /dev/fd/NUMBER/PATH
NF_IN_ROOT: Final = 64  # the call takes its directory for the root (RESOLVE_IN_ROOT)

PEER_ROOM: Final = 112  # `length` and `bytes` of such a chunk are those of the two addresses; see peers.c
LOCAL_ROOM: Final = CHUNK_TEXT - PEER_ROOM

# The word that says what a socket is: whether one was found, its family, type and protocol.
SOCKET_KNOWN: Final = 1 << 31
SOCKET_FAMILY: Final = 20  # bits to shift
SOCKET_TYPE: Final = 16

SPECS: Final = 512  # rows of the syscall table; x32 twins begin at 512
BUCKETS: Final = 48  # powers of two of nanoseconds
TOTALS: Final = 32
FILTERS: Final = 8  # entries a live change goes round in

# Whose work a thread does: a byte a thread in the map `doing`, written by the process that traces (runtime/own.py).
W_USERS: Final = 0
W_NOTEBOOKS: Final = 1
W_OURS: Final = 2
DOING_THREADS: Final = 64  # bytes in one value of the map

# Totals, one of each per CPU.
T_SEEN: Final = 0
T_EMITTED: Final = 1
T_SAMPLED: Final = 2
T_LOST_RING: Final = 3
T_LOST_NAMES: Final = 4
T_UNPAIRED: Final = 5
T_COMPAT: Final = 6
T_UNKNOWN: Final = 7
T_SLOTS_FULL: Final = 8
T_KILLED: Final = 9
T_FILTERED: Final = 10
T_NO_START: Final = 11
T_HIDDEN: Final = 12
T_LEFT_OUT: Final = 13
# Records without a Python stack though it was asked for, by reason.
T_NO_PYTHON: Final = 14  # no interpreter that is known in the process
T_NO_STATE: Final = 15  # not a thread of Python's
T_OTHER_THREAD: Final = 16  # the state the thread has is another thread's
T_NO_FRAME: Final = 17  # no Python function is running
T_UNREADABLE: Final = 18  # memory is not there, or says nothing for sure
T_LOST_FACTS: Final = 19  # no room in the ring
T_NOT_COUNTED: Final = 20  # faults on mapped files for which there was no room
T_COMPARED: Final = 21  # stacks whose every function was looked at, for no counter tells that they are known ones
T_COMPARED_NS: Final = 22  # and how long that took
TOTAL_NAMES: Final = (
    "seen",
    "emitted",
    "sampled_out",
    "lost_ring",
    "lost_names",
    "unpaired",
    "compat",
    "unknown",
    "slots_full",
    "killed",
    "filtered",
    "no_start",
    "hidden",
    "left_out",
    "no_python",
    "no_state",
    "other_thread",
    "no_frame",
    "unreadable",
    "lost_facts",
    "not_counted",
    "compared",
    "compared_ns",
)
WITHOUT_STACK: Final = TOTAL_NAMES[T_NO_PYTHON : T_LOST_FACTS + 1]

# ---- facts: records of any size that say what Python stacks are, each behind the kernel's header; see python.c ----

FRAMES: Final = 32  # of a stack at most
LONGEST_NAME: Final = 2040  # bytes of the file or the function of a code object
FACT_ASK: Final = 1
FACT_CODE: Final = 2
FACT_STACK: Final = 3
FACT_MORE: Final = 4  # of the line table of the code object before
FACT_UNREADABLE: Final = 1 << 16  # flags of a code object; below are the bytes a character of its file and name has
FACT_LONG: Final = 1 << 17  # its file or its name is not whole
ASK: Final = struct.Struct("<IIQQ")  # kind, pid, device, inode
CODE: Final = struct.Struct("<IIQ6I")  # kind, first line, id, first traceable, flags, bytes of file, name, table, pid
STACK: Final = struct.Struct("<4I")  # kind, id, frames, flags
STACK_CUT: Final = 1  # there are more frames
STACK_OWNERS: Final = 2  # of the process that traces, or of a fork of it: its threads are some of them not the user's
FRAME_OF_STACK: Final = struct.Struct("<QII")  # id of the code object, offset of the instruction

CACHED_FILE: Final[tuple[tuple[str, str], ...]] = (
    ("faults", "<u8"),
    ("mapped", "<u8"),  # pages that were in the page cache
    ("filled", "<u8"),  # pages that were brought in
    ("dirtied", "<u8"),  # pages
    ("written", "<u8"),  # bytes
    ("in_calls", "<u8"),  # of them, those a call of the scope handed to the device
    ("first_dirty", "<u8"),  # boot clock
    ("last_dirty", "<u8"),
    ("last_write", "<u8"),
    ("inode", "<u8"),
    ("file", "<u4"),
    ("tid", "<u4"),  # who made it dirty first
    ("others", "<u4"),  # whether others did too
    ("pad", "<u4"),
)
CACHED_FILE_BYTES: Final = 96

CONSTANTS: Final[dict[str, int]] = {
    name: value
    for name, value in globals().items()
    if isinstance(value, int) and name[0].isupper() and name.upper() == name
}

# ---- frames on the socket: length, type, payload ----

FRAME: Final = struct.Struct("<II")


class Frame(IntEnum):
    """Types of frames."""

    REQUEST = 1
    """Session to collector: JSON {"id", "verb", ...}."""
    ANSWER = 2
    """Collector to session: JSON {"id", "ok", ...}; all that happened before the request has been sent before."""
    EVENTS = 3
    """Ring records of `EVENT`, each behind its 8-byte header."""
    NAMES = 4
    """Ring records of `CHUNK`, each behind its 8-byte header."""
    COUNTERS = 5
    """JSON line with the CPU count, then the raw counters of each CPU."""
    ALIVE = 6
    """Ids that may still come, as 32-bit words: how many of files, those of files, those of threads' names."""
    FACTS = 7
    """Ring records of `CODE` and `STACK`, each behind its 8-byte header, at multiples of 8."""
    CACHED = 8
    """Counts of faults on mapped files so far, a record of `CACHED_FILE` each."""


MOST_BYTES: Final = 16 << 20
"""Of a frame of any type; counters are more on large machines, and so may be an answer that names every process."""
_MOST_ANSWER: Final = 64 << 20
_COUNTERS: Final = SPECS * 8 * (5 + BUCKETS)  # of one processor

_MOST_CPUS: Final = 4096

TO_COLLECTOR: Final[dict[Frame, int]] = {Frame.REQUEST: 1 << 20}
"""What a collector takes: types of frames, and how many bytes of each."""


def to_session(cpus: int) -> dict[Frame, int]:
    """Return the same of a session, on a machine with so many processors."""
    most: dict[Frame, int] = {kind: MOST_BYTES for kind in Frame if kind is not Frame.REQUEST}
    return most | {Frame.ANSWER: _MOST_ANSWER, Frame.COUNTERS: MOST_BYTES + cpus * _COUNTERS}


PROTOCOL: Final = hashlib.sha256(repr((CONSTANTS, EVENT, CHUNK, CACHED_FILE, list(Frame))).encode()).hexdigest()[:16]
"""What both sides have to mean the same by, as one word: a client and a service may be of two versions."""

_FORMATS: Final = {"<u8": "Q", "<i8": "q", "<6u8": "6Q", "<u4": "I", "<u2": "H", "<u1": "B"}
_RECORD: Final = struct.Struct("<II" + "".join(_FORMATS[kind] for _, kind in EVENT))


def event_record(*args: int, **words: int) -> bytes:
    """Return a record of the ring behind its header: the call's arguments and other words; those not given are 0."""
    values: list[int] = []
    for name, kind in EVENT:
        values += (*args, *[0] * 6)[:6] if kind == "<6u8" else [words.pop(name, 0)]
    if words:
        raise TypeError(f"a record has no {min(words)!r}")
    return _RECORD.pack(EVENT_BYTES, 0, *values)


def pack(kind: Frame, payload: bytes) -> bytes:
    """Return one frame."""
    return FRAME.pack(len(payload), kind) + payload


def pack_json(kind: Frame, message: dict[str, Any]) -> bytes:
    """Return one frame of JSON."""
    return pack(kind, json.dumps(message, separators=(",", ":")).encode())


class Unpacker:
    """Cuts a byte stream into frames.

    Args:
        most: types of frames that may come, and how many bytes of each.

    Raises:
        ValueError: from `feed`, when something else comes.
    """

    def __init__(self, most: Mapping[Frame, int] = TO_COLLECTOR | to_session(_MOST_CPUS)) -> None:
        self._most = {kind.value: size for kind, size in most.items()}
        self._pending = bytearray()

    def feed(self, data: bytes | memoryview) -> list[tuple[Frame, bytes]]:
        """Take more bytes; return the frames that are now complete."""
        pending, view = self._pending, memoryview(data)
        frames: list[tuple[Frame, bytes]] = []
        while view:
            size = self._size(pending or view)
            if not pending and size <= len(view):  # as most are: copied once
                frames.append(_frame(view[:size]))
                view = view[size:]
                continue
            missing = size - len(pending)
            pending += view[:missing]
            view = view[missing:]
            if len(pending) >= FRAME.size and len(pending) == self._size(pending):
                frames.append(_frame(pending))
                pending.clear()
        return frames

    def _size(self, begun: bytes | bytearray | memoryview) -> int:
        """Return how many bytes the frame has that begins so; those of its header until that is there."""
        if len(begun) < FRAME.size:
            return FRAME.size
        length, kind = FRAME.unpack_from(begun)
        if length > self._most.get(kind, -1):
            raise ValueError(f"not a frame: type {kind}, length {length}")
        return int(FRAME.size + length)


def _frame(whole: bytearray | memoryview) -> tuple[Frame, bytes]:
    return Frame(FRAME.unpack_from(whole)[1]), bytes(memoryview(whole)[FRAME.size :])

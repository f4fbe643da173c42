"""One call of a program that stands still: what is read when it begins and when it has returned."""

from __future__ import annotations

import struct
import time
from typing import Any, Final, NamedTuple

import numpy as np

from ior_nb.engine.roles import RESULT_FD
from ior_nb.engine.stopped.lines import HELPERS, SOCKETS
from ior_nb.engine.stopped.memory import (
    HERE,
    directory_at,
    file_behind,
    memory,
    message_total,
    nanoseconds,
    signed,
    string,
    total,
    word_at,
)
from ior_nb.engine.stopped.source import Calls
from ior_nb.syscalls import NATIVE, Syscall
from ior_nb.syscalls.machine import NUMBERS

__all__ = ["PLANS", "Opened", "columns"]

_HEAD: Final = 64  # bytes of a struct mmsghdr, with its length
_LENGTH_AT: Final = 56


class Plan(NamedTuple):
    """Where a call has what."""

    call: Syscall
    at: dict[str, int]
    """Role -> which argument."""


PLANS: Final = {call.number: Plan(call, {a.role: i for i, a in enumerate(call.args) if a.role}) for call in NATIVE}
_TELLING: Final = {call.number for call in NATIVE if call.name in (*HELPERS, *SOCKETS)}
_APPENDS: Final = {c.number: c.bytes_class == "write" and c.arg("offset_ptr") is None for c in NATIVE}


class Opened:
    """A call that has begun."""

    __slots__ = (
        *("args", "base", "base2", "extra", "file", "file2", "nr", "null", "null2", "ours", "path", "path2", "pos"),
        "time",
    )

    def __init__(self, nr: int, args: tuple[int, ...], *, ours: bool) -> None:
        self.nr, self.args, self.ours = nr, args, ours
        self.pos, self.extra = -1, 0
        self.file: bytes | None = None
        self.file2: bytes | None = None
        self.path: bytes | None = None
        self.path2: bytes | None = None
        self.base: bytes | None = None
        self.base2: bytes | None = None
        self.null = self.null2 = False
        self.time = 0

    def enter(self, tid: int, *, wanted: bool) -> None:
        """Read what is there when it begins. One that nobody wants and that tells nothing has no `time`."""
        args, at = self.args, PLANS[self.nr].at
        if wanted:
            if "fd" in at:
                self.file, self.pos = file_behind(tid, args[at["fd"]])
            if "offset" in at:
                self.pos = signed(args[at["offset"]])
            if args[at["offset_ptr"]] if "offset_ptr" in at else 0:
                self.pos = word_at(tid, args[at["offset_ptr"]], -1)
            if "fd2" in at:
                self.file2, self.extra = file_behind(tid, args[at["fd2"]])
                if args[at["offset2_ptr"]] if "offset2_ptr" in at else 0:
                    self.extra = word_at(tid, args[at["offset2_ptr"]], -1)
            self._extra_at_enter(tid, at)
        elif self.nr not in _TELLING:
            return
        for role, directory in (("path", "dirfd"), ("exec_path", "dirfd"), ("text", "")):
            if role in at:
                self.path, self.null = string(tid, args[at[role]])
                self.base = directory_at(tid, args[at[directory]] if directory in at else HERE)
        for role, directory in (("path2", "dirfd2"), ("text2", "")):
            if role in at:
                self.path2, self.null2 = string(tid, args[at[role]])
                self.base2 = directory_at(tid, args[at[directory]] if directory in at else HERE)
        if self.nr == NUMBERS["fchdir"]:
            self.file = file_behind(tid, args[0])[0]
        self.time = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def _extra_at_enter(self, tid: int, at: dict[str, int]) -> None:
        args = self.args
        if "iovec" in at:
            self.extra = total(tid, args[at["iovec"]], args[at["iovcnt"]] if "iovcnt" in at else 0)
        elif "msghdr" in at:
            self.extra = message_total(tid, args[at["msghdr"]])
        elif "sleep_timespec" in at:
            self.extra = nanoseconds(tid, args[at["sleep_timespec"]], 1, -1, -1)
        elif "timeout_timespec" in at:
            self.extra = nanoseconds(tid, args[at["timeout_timespec"]], 1, -1, -2)
        elif "timeout_timeval" in at:
            self.extra = nanoseconds(tid, args[at["timeout_timeval"]], 1000, -1, -2)
        elif "epoll_event" in at:
            self.extra = int.from_bytes(memory(tid, args[at["epoll_event"]], 4) or b"", "little")

    def leave(self, tid: int, value: int, *, wanted: bool) -> None:
        """Read what is there when it has returned a value."""
        args, at = self.args, PLANS[self.nr].at
        if value >= 0:
            if RESULT_FD[self.nr] and wanted:
                self.file = file_behind(tid, value)[0]
            if "fds_out" in at:
                self.extra = word_at(tid, args[at["fds_out"]], 0)
                self.file = file_behind(tid, self.extra)[0]
            if "path_out" in at and value > 0:
                self.path, self.null = string(tid, args[at["path_out"]])
            if "mmsghdr" in at:
                heads = memory(tid, args[at["mmsghdr"]], _HEAD * value) or b""
                self.extra = sum(
                    struct.unpack_from("<I", heads, k + _LENGTH_AT)[0] for k in range(0, len(heads), _HEAD)
                )
        if "open_how" in at:
            self.extra = word_at(tid, args[at["open_how"]], -1)
        if value > 0 and wanted and _APPENDS[self.nr] and self.pos >= 0 and "offset" not in at:
            self.pos = max(self.pos, file_behind(tid, args[at["fd"]])[1] - value)  # it may append

    def row(self, tid: int, value: int, latency: int, flags: int) -> tuple[Any, ...]:
        """Return it for `columns`."""
        return (
            *(tid, self.time, latency, self.nr, value, self.args, self.pos, self.extra, flags, self.ours),
            *(self.file, self.file2, self.path, self.path2, self.base, self.base2, self.null, self.null2),
        )


def columns(rows: list[tuple[Any, ...]]) -> Calls:
    """Return calls of their rows."""
    calls = Calls(len(rows))
    if not rows:
        return calls
    tid, begun, latency, nr, ret, args, pos, extra, flags, ours, *texts, null, null2 = zip(*rows, strict=True)
    calls.tid[:], calls.time[:], calls.latency[:], calls.nr[:], calls.ret[:] = tid, begun, latency, nr, ret
    calls.args[:] = np.array(args, np.uint64)
    calls.pos[:], calls.extra[:], calls.flags[:], calls.ours[:] = pos, extra, flags, ours
    for name, column in zip(("file", "file2", "path", "path2", "base", "base2"), texts, strict=True):
        getattr(calls, name)[:] = column
    calls.null[:], calls.null2[:] = null, null2
    return calls

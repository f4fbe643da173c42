"""The columns of an event: the one place that says their names, types, units and meaning.

One row is one finished system call (or, flagged in `state`, one that never returns or had not returned
when the trace ended). The first 23 columns have the names, types and meaning of the Parquet files of the
Go program `ior`; ours follow. Views, exports, the recorder and the table in the documentation read this module.

Rows come in the order in which the calls *finished*; `seq` numbers that order. `time_ns` is the start of
the call, so it only grows within one thread: sort by it where order in time matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

__all__ = ["COLUMNS", "NAMES", "PARTS", "TEXT_COLUMNS", "Column", "column", "is_error"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the event schema."""

    name: str
    dtype: np.dtype[np.generic]
    """Type of the values. Text columns hold int32 codes into a `StringTable`; their dtype here is int32."""
    unit: str
    """Unit of the values, empty for a plain number or text."""
    doc: str
    """What the value means, in one line."""
    text: bool = False
    """Whether the values are text."""
    absent: int = 0
    """The value where the column does not apply (text: empty)."""


def _number(name: str, dtype: str, unit: str, doc: str, absent: int = 0) -> Column:
    return Column(name, np.dtype(dtype), unit, doc, absent=absent)


def _text(name: str, doc: str) -> Column:
    return Column(name, np.dtype("int32"), "", doc, text=True)


COLUMNS: Final[tuple[Column, ...]] = (
    _number("seq", "uint64", "", "row number, in order of completion"),
    _number("time_ns", "uint64", "ns", "start of the call on the boot clock (CLOCK_BOOTTIME)"),
    _number("gap_ns", "uint64", "ns", "time since the end of this thread's previous traced call; 0 for its first"),
    _number("latency_ns", "uint64", "ns", "duration of the call; 0 where it never returned"),
    _text("comm", "name of the thread"),
    _number("pid", "uint32", "", "process id (thread group) as this machine's tools show it"),
    _number("tid", "uint32", "", "thread id"),
    _text("syscall", "name of the system call, as the kernel's tracepoints spell it"),
    _text("family", "family of the system call: FS, Network, AIO, ..."),
    _number("fd", "int32", "", "descriptor the call acted on or opened; -1 where there is none", absent=-1),
    _number("ret", "int64", "", "return value as the kernel gave it (errors are negative errno values)"),
    _number("bytes", "uint64", "bytes", "bytes moved, by the byte class of the call"),
    _number("address_space_bytes", "uint64", "bytes", "address space mapped or released by mmap, munmap, mremap, brk"),
    _number("requested_sleep_ns", "int64", "ns", "sleep asked for; -1 unknown, 2**63-1 longer than that"),
    _number("nfds", "int32", "", "descriptors polled; maxevents of an epoll wait"),
    _number("timeout_ns", "int64", "ns", "poll timeout; -1 waits for ever, -2 unknown or invalid"),
    _text("file", "absolute path, or the kernel's name, of the file acted on; empty where there is none"),
    _number("is_error", "bool", "", "whether the call failed (restart codes are no failures)"),
    _number("filter_epoch", "uint64", "", "generation of the filter the row passed"),
    _text("old_file", "source of a rename, link, or transfer between two descriptors"),
    _text("epoll_op", "ADD, MOD or DEL of an epoll_ctl"),
    _number("epoll_target_fd", "int32", "", "descriptor an epoll_ctl is about"),
    _number("epoll_events", "uint32", "", "event mask of an epoll_ctl"),
    _number("cell", "int32", "", "execution count of the notebook cell; -1 outside", absent=-1),
    _text(
        "state",
        "done, in flight (not finished when the trace or its thread ended), no return (exit and the like), refused"
        " (answered by a seccomp filter or a tracer before it began: no latency), or untimed (a page_fault, whose end"
        " nothing tells: no latency)",
    ),
    _number("first_on_tid", "bool", "", "whether this is the thread's first traced call: its gap means nothing"),
    _number("started_before", "bool", "", "whether the process was already running when the trace began"),
    _text("file_kind", "file, directory, char, block, pipe, socket, link or anon; empty where there is no file"),
    _number("dev", "uint64", "", "device number of `file` as the kernel knows it (os.makedev)"),
    _number("inode", "uint64", "", "inode number of `file` as the kernel knows it"),
    _number("offset", "int64", "bytes", "position in `file` where the transfer began; -1 unknown or none", absent=-1),
    _number("old_offset", "int64", "bytes", "position in `old_file` where the transfer began; -1 unknown", absent=-1),
    _number("requested_bytes", "int64", "bytes", "bytes asked for; -1 unknown or none", absent=-1),
    _number("open_flags", "int64", "", "flags of an open (O_..., as x86 has them); -1 for other calls", absent=-1),
    _number("ppid", "uint32", "", "process id of the parent; 0 where unknown"),
    _text("path_arg", "path as the program wrote it; empty where the call takes none"),
    _text("socket", "family:type:protocol of the socket in `file`; empty for other files"),
    _text("py_file", "file of the line of Python, the user's own rather than a library's, that made the call"),
    _number("py_line", "int32", "", "number of that line; 0 where there is none"),
    _text("py_func", "function of that line, by its qualified name"),
    _text("stack", "Python stack of the call, outermost first, `;` between `function (file:line)`; empty without one"),
    _text("opened_at", "line of Python that opened `file`, as `file:line`; empty where that is not known for sure"),
    _text("host", "name of the machine the row was recorded on; empty for this one, while tracing"),
    _number("probe", "bool", "", "whether the failure is the answer to a question of normal work, and no error"),
    _text(
        "peer",
        "other end of the socket in `file`, or of the datagram: address:port, path or @name or socket:[n] of a Unix one"
        "; empty while there is none",
    ),
    _text("local", "the socket's own end, spelled as `peer`"),
    _text("object", "what the connection was asked for last, as host/path; empty unless traced with `objects=True`"),
    _number(
        "fetched_bytes",
        "int64",
        "bytes",
        "bytes the call made the device read, readahead for later calls included; -1 not measured",
        absent=-1,
    ),
    _text(
        "source",
        "where the bytes were: device (fetched by this call), direct (past the page cache), waited (fetched by another"
        " call it waited for), cache; empty for calls that read no file",
    ),
    _number("on_cpu_ns", "int64", "ns", "latency less all waits: the call's own work; -1 not measured", absent=-1),
    _number("wait_cpu_ns", "int64", "ns", "waited for a processor, ready to run; -1 not measured", absent=-1),
    _number("wait_device_ns", "int64", "ns", "slept until a device had answered; -1 not measured", absent=-1),
    _number("wait_lock_ns", "int64", "ns", "slept until a lock in the kernel was free; -1 not measured", absent=-1),
    _number(
        "wait_other_ns",
        "int64",
        "ns",
        "slept until somebody else was ready: a peer, a child, a timer, another thread; -1 not measured",
        absent=-1,
    ),
    _text(
        "label", "what the user called the stretch of work of `ior_nb.label`, `outer/inner` where nested; else empty"
    ),
)

PARTS: Final = ("on_cpu_ns", "wait_cpu_ns", "wait_device_ns", "wait_lock_ns", "wait_other_ns")
"""Columns that add up to the latency, where all of them are measured."""
NAMES: Final[tuple[str, ...]] = tuple(c.name for c in COLUMNS)
TEXT_COLUMNS: Final[tuple[str, ...]] = tuple(c.name for c in COLUMNS if c.text)
_BY_NAME: Final[dict[str, Column]] = {c.name: c for c in COLUMNS}

# include/linux/errno.h: the kernel restarts the call or hands EINTR to the program; neither is the call's own failure.
RESTART_CODES: Final[tuple[int, ...]] = (-512, -513, -514, -516)
_IS_ERROR: Final = np.array([0 < number <= 4095 and -number not in RESTART_CODES for number in range(4097)])
"""By number of the error; the last is all that are none."""


def column(name: str) -> Column:
    """Return the column of that name.

    Raises:
        KeyError: there is no such column.
    """
    return _BY_NAME[name]


def is_error(ret: np.ndarray) -> np.ndarray:
    """Tell which return values are failures: -4095..-1 without the restart codes.

    Args:
        ret: int64, shape (n,).

    Returns:
        bool, shape (n,).
    """
    return np.asarray(_IS_ERROR.take(np.clip(-ret, 0, 4096)))

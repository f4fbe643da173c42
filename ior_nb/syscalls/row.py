"""What one row of the system call table is, and how its short form is read.

A row says everything the rest of the program needs to know about one system call: its family, its kind, the part each
argument plays, whether its result counts bytes, and one plain sentence for people.
"""

from dataclasses import dataclass

from .machine import FOREIGN, NUMBERS
from .table import PSEUDO

FAMILIES: tuple[str, ...] = (
    "AIO",
    "FS",
    "IPC",
    "Memory",
    "Misc",
    "Network",
    "Polling",
    "Process",
    "Sched",
    "Security",
    "Signals",
    "Time",
)

KINDS: tuple[str, ...] = (
    "fd",
    "open",
    "open-tree",
    "mq-open",
    "open-by-handle-at",
    "pathname",
    "fd-pathname",
    "name",
    "fcntl",
    "dup3",
    "two-fd",
    "socket",
    "socketpair",
    "accept",
    "pipe",
    "eventfd",
    "pidfd",
    "epoll-ctl",
    "poll",
    "mem",
    "mmap",
    "sleep",
    "exec",
    "bpf",
    "keyctl",
    "ptrace",
    "perf-open",
    "null",
    "futex",
    "prctl",
    "proc",
    "seccomp",
    "module",
    "sysv-id",
    "sysv-op",
    "timer-obj",
)

BYTES_CLASSES: tuple[str, ...] = ("none", "read", "write", "transfer")

RESULTS: tuple[str, ...] = ("", "fd", "none")

MAX_ARGUMENTS = 6

_NATIVE = NUMBERS | PSEUDO
_KNOWN = _NATIVE.keys() | FOREIGN.keys()

# Each line starts with the moment the argument is read. The word itself (descriptor, flags, pointer) is always taken
# at enter; for a pointer the moment is that of what it points to.
ROLES: dict[str, str] = {
    "fd": "enter: descriptor the call acts on; of a two-descriptor transfer, the destination",
    "fd2": "enter: source descriptor of a two-descriptor transfer",
    "dirfd": "enter: directory that `path` or `exec_path` is relative to",
    "path": "exit: path the call works on, or the new one of two; relative to `dirfd`, else to the working directory",
    "dirfd2": "enter: directory that `path2` is relative to",
    "path2": "exit: old or source path of two; relative to `dirfd2`, else to the working directory",
    "text": "exit: string that is no path in the tree and has no base (queue name, memfd name, file system name)",
    "text2": "exit: second string without a base (target of a symbolic link, source of a mount)",
    "exec_path": "enter: path of the program to run (a successful exec has replaced the registers by its exit)",
    "path_out": "exit: buffer the kernel fills with a path, meaningful when the result is positive",
    "size": "enter: bytes asked for, or capacity of the buffer",
    "offset": "enter: explicit file offset",
    "offset_ptr": "enter: pointer to the offset in the destination, NULL for the file position",
    "offset2_ptr": "enter: pointer to the offset in the source, NULL for the file position",
    "open_flags": "enter: O_* flags",
    "open_how": "exit: pointer to struct open_how, whose first u64 holds the O_* flags",
    "at_flags": "enter: flags that may hold AT_EMPTY_PATH (0x1000): an empty path then means `dirfd` itself",
    "link_flags": "enter: flags that may hold AT_EMPTY_PATH: an empty `path2` then means `dirfd2` itself",
    "move_flags": "enter: flags that may hold MOVE_MOUNT_F_EMPTY_PATH (4, `path2`) and _T_EMPTY_PATH (0x40, `path`)",
    "pick_flags": "enter: flags that may hold FSPICK_EMPTY_PATH (8)",
    "link_out": "exit: buffer the kernel fills with the text of a link; an empty path always means `dirfd` itself",
    "recv_flags": "enter: MSG_* flags of a receive",
    "iovec": "exit: pointer to an array of struct iovec",
    "iovcnt": "enter: number of entries in `iovec`",
    "msghdr": "exit: pointer to struct msghdr",
    "mmsghdr": "exit: pointer to an array of struct mmsghdr, of which the result says how many were filled or sent",
    "sleep_timespec": "enter: pointer to the struct timespec to sleep for",
    "sleep_flags": "enter: flags of a sleep, which may hold TIMER_ABSTIME",
    "timeout_timespec": "enter: pointer to a struct timespec, NULL to wait for ever",
    "timeout_timeval": "enter: pointer to a struct timeval, NULL to wait for ever (the kernel overwrites it)",
    "timeout_ms": "enter: timeout in milliseconds, negative to wait for ever",
    "nfds": "enter: number of descriptors or events of a wait",
    "epoll_op": "enter: EPOLL_CTL_* operation",
    "target_fd": "enter: descriptor an epoll operation is about",
    "epoll_event": "enter: pointer to struct epoll_event, whose first u32 is the event mask",
    "fds_out": "exit: pointer to the two descriptors the kernel has created",
    "mapped": "enter: address in memory, of which the file that is mapped there is the one the call acts on",
    "length": "enter: length of the address range mapped, unmapped or (before) remapped",
    "length2": "enter: length of the address range after remapping",
    "brk": "enter: requested end of the heap",
    "connect_addr": "exit: address to connect to, `addr_len` bytes of it; the socket has it as well where that works",
    "send_addr": "exit: address to send to, NULL for that of the connection",
    "recv_addr": "exit: buffer the kernel fills with the sender's address; `addr_len` points to how long it is",
    "accept_addr": "exit: buffer for the address of who has connected; read from the socket that was made",
    "bind_addr": "exit: address to give the socket itself",
    "addr_len": "enter: how long an address is, or a pointer to that",
    "request": "enter: what an ioctl asks for; `probes.py` knows which of them are questions",
}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a system call."""

    name: str
    """The kernel's name for it."""

    role: str
    """The part it plays, a key of `ROLES`; empty when it is only passed through."""


@dataclass(frozen=True, slots=True)
class Syscall:
    """One system call."""

    number: int
    """Its number on this machine; of a call that is not native, one that no call has."""

    name: str
    """The kernel's tracepoint name, for example `newfstat` for fstat."""

    family: str
    """One of `FAMILIES`."""

    kind: str
    """One of `KINDS`."""

    args: tuple[Argument, ...]
    """Its arguments in order, at most six."""

    bytes_class: str
    """What a positive result counts: `none`, `read`, `write` or `transfer` (both)."""

    result: str
    """`fd` when success returns a new descriptor to report, `none` when the call never returns, else empty."""

    doc: str
    """One plain sentence."""

    also: str
    """Its name where the kernel calls it otherwise, on another architecture; else empty."""

    native: bool
    """Whether this machine has it; others occur in recordings of other machines only."""

    def arg(self, role: str) -> int | None:
        """Find the argument that plays a role.

        Args:
            role: A key of `ROLES`.

        Returns:
            Its index, or None when no argument plays it.
        """
        for index, argument in enumerate(self.args):
            if argument.role == role:
                return index
        return None


# To add a system call:
#
# 1. Give its number: in `table.py` from 424 on, else in the table of each architecture that has it (`x86_64.py`,
#    `aarch64.py`).
# 2. Add a row to the module of its family, in alphabetical order:
#
#        row("openat", "open", "dfd:dirfd filename:path flags:open_flags mode", result="fd", doc="Open a file.")
#
#    that is the kernel's name, the kind, the arguments in order, and by keyword the byte class (`bytes=`), the
#    meaning of the result (`result=`) and one sentence (`doc=`). An argument is `name:role` or `name`; a bare name
#    that is also a role has that role, and `name:` with nothing behind the colon refuses it. A call that another
#    architecture's table has under another name has that one too (`also=`).
# 3. If people know it under another name, add that to `ALIASES` in `__init__.py`.
def parse_row(
    family: str,
    name: str,
    kind: str,
    args: str = "",
    *,
    bytes: str = "none",  # noqa: A002 -- rows read better with the plain word, and nothing here needs the builtin
    result: str = "",
    doc: str,
    also: str = "",
) -> Syscall:
    """Read one row of the table.

    Args:
        family: One of `FAMILIES`.
        name: The kernel's tracepoint name.
        kind: One of `KINDS`.
        args: Arguments in order, each `name`, `name:role` or `name:`, separated by spaces.
        bytes: One of `BYTES_CLASSES`.
        result: One of `RESULTS`.
        doc: One plain sentence.
        also: Another architecture's name for it.

    Returns:
        The system call.

    Raises:
        ValueError: If a word of the row is not one of the legal ones; the message names the row.
    """
    for what, word, legal in (
        ("system call without a number", name, _KNOWN),
        ("unknown family", family, FAMILIES),
        ("unknown kind", kind, KINDS),
        ("unknown byte class", bytes, BYTES_CLASSES),
        ("unknown result", result, RESULTS),
    ):
        if word not in legal:
            raise ValueError(f"row {name!r}: {what} {word!r}")
    arguments = tuple(_parse_argument(name, text) for text in args.split())
    if len(arguments) > MAX_ARGUMENTS:
        raise ValueError(f"row {name!r}: {len(arguments)} arguments, at most {MAX_ARGUMENTS} are possible")
    roles = [argument.role for argument in arguments if argument.role]
    for role in roles:
        if roles.count(role) > 1:
            raise ValueError(f"row {name!r}: role {role!r} is given twice")
    here = next((word for word in (name, also) if word in _NATIVE), "")
    number = _NATIVE[here] if here else FOREIGN[name]
    return Syscall(number, name, family, kind, arguments, bytes, result, doc, also, bool(here))


def _parse_argument(row: str, text: str) -> Argument:
    name, colon, role = text.partition(":")
    if not colon and name in ROLES:
        role = name
    if role and role not in ROLES:
        raise ValueError(f"row {row!r}: unknown role {role!r} of argument {name!r}")
    return Argument(name, role)

"""The system calls that can be traced: one table, and the ways to pick from it."""

from collections.abc import Iterable
from difflib import get_close_matches

from . import aio, fs, ipc, memory, misc, network, polling, process, sched, security, signals, time
from .row import FAMILIES, KINDS, ROLES, Argument, Syscall

__all__ = [
    "ALIASES",
    "BY_NAME",
    "BY_NUMBER",
    "DEFAULT_CALLS",
    "DEFAULT_FAMILIES",
    "FAMILIES",
    "KINDS",
    "NATIVE",
    "ROLES",
    "SYSCALLS",
    "Argument",
    "Syscall",
    "resolve",
    "select",
]

_MODULES = (aio, fs, ipc, memory, misc, network, polling, process, sched, security, signals, time)

SYSCALLS: tuple[Syscall, ...] = tuple(
    sorted((syscall for module in _MODULES for syscall in module.ROWS), key=lambda syscall: syscall.number)
)
"""Every system call any architecture has, by number: what a recording may hold, and a filter name."""

NATIVE: tuple[Syscall, ...] = tuple(syscall for syscall in SYSCALLS if syscall.native)
"""Those of this machine: what can be traced here."""

BY_NAME: dict[str, Syscall] = {syscall.name: syscall for syscall in SYSCALLS}

BY_NUMBER: dict[int, Syscall] = {syscall.number: syscall for syscall in SYSCALLS}

DEFAULT_FAMILIES: tuple[str, ...] = ("FS", "Network", "AIO")
"""What is traced when nothing is chosen, and"""

DEFAULT_CALLS: tuple[str, ...] = ("page_fault",)
"""of other families these."""

ALIASES: dict[str, str] = {
    # Names of asm/unistd.h that are not the kernel's own.
    "stat": "newstat",
    "fstat": "newfstat",
    "lstat": "newlstat",
    "sendfile": "sendfile64",
    "uname": "newuname",
    "umount2": "umount",
    # Names of C library functions that always end in one system call of another name.
    "fstatat": "newfstatat",
    "pread": "pread64",
    "pwrite": "pwrite64",
    "fadvise": "fadvise64",
    "posix_fadvise": "fadvise64",
    "posix_fallocate": "fallocate",
    "send": "sendto",
    "recv": "recvfrom",
    "mq_receive": "mq_timedreceive",
    "mq_send": "mq_timedsend",
    "mq_getattr": "mq_getsetattr",
    "mq_setattr": "mq_getsetattr",
    "pselect": "pselect6",
    "prlimit": "prlimit64",
    "waitpid": "wait4",
    "_exit": "exit_group",
    "fexecve": "execveat",
    "sigaction": "rt_sigaction",
    "sigpending": "rt_sigpending",
    "sigprocmask": "rt_sigprocmask",
    "sigqueue": "rt_sigqueueinfo",
    "sigreturn": "rt_sigreturn",
    "sigsuspend": "rt_sigsuspend",
    "sigtimedwait": "rt_sigtimedwait",
} | {syscall.also: syscall.name for syscall in SYSCALLS if syscall.also}
"""Names people type, and the kernel's names for them."""


def resolve(name: str) -> Syscall:
    """Find a system call by the name somebody typed.

    Args:
        name: The kernel's name or one of `ALIASES`.

    Returns:
        The system call.

    Raises:
        LookupError: If there is none; the message proposes close names.
    """
    found = BY_NAME.get(ALIASES.get(name, name))
    if found is None:
        close = get_close_matches(name, [*BY_NAME, *ALIASES], n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise LookupError(f"unknown system call {name!r}{hint}")
    return found


def select(families: Iterable[str], syscalls: Iterable[str], kinds: Iterable[str]) -> frozenset[int]:
    """Pick every system call that any of the three choices names.

    Args:
        families: Names out of `FAMILIES`, in any case.
        syscalls: Names `resolve` understands.
        kinds: Names out of `KINDS`; `_` may stand for `-`.

    Returns:
        The numbers of the union.

    Raises:
        LookupError: If a name is unknown; the message lists the legal or the close ones.
    """
    legal_families = {family.lower(): family for family in FAMILIES}
    legal_kinds = {kind: kind for kind in KINDS}
    wanted_families = {_legal("family", word, word.lower(), legal_families) for word in families}
    wanted_kinds = {_legal("kind", word, word.lower().replace("_", "-"), legal_kinds) for word in kinds}
    numbers = {resolve(word).number for word in syscalls}
    numbers.update(
        syscall.number for syscall in SYSCALLS if syscall.family in wanted_families or syscall.kind in wanted_kinds
    )
    return frozenset(numbers)


def _legal(what: str, word: str, key: str, legal: dict[str, str]) -> str:
    if key not in legal:
        raise LookupError(f"unknown {what} {word!r}; one of {', '.join(legal.values())}")
    return legal[key]

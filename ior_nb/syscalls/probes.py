"""Which failures are no failures: the answers to questions that programs ask as part of their normal work.

The kernel has one way to answer "no": a negative result. A row of `RULES` says of which calls and errors that answer
was asked for, and why. Whatever no row names is a failure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from errno import (
    EAGAIN,
    EALREADY,
    EBADF,
    ECHILD,
    EEXIST,
    EINPROGRESS,
    EINTR,
    EINVAL,
    EIO,
    EISCONN,
    ENODATA,
    ENOENT,
    ENOSYS,
    ENOTCONN,
    ENOTDIR,
    ENOTSOCK,
    ENOTTY,
    ENXIO,
    EOPNOTSUPP,
    ERANGE,
    ESPIPE,
    ETIMEDOUT,
    EXDEV,
)

__all__ = ["MOST_ERRNO", "NOT_FOUND", "REQUESTS", "RULES", "SEARCHING", "Rule", "errnos"]

ANY: tuple[str, ...] = ()
"""Every system call."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table."""

    errnos: tuple[int, ...]
    """The errors."""

    calls: tuple[str, ...]
    """Of which calls; `ANY` for all."""

    reason: str
    """Why that is no failure, in one sentence."""

    when: str = ""
    """A further condition, in a word."""

    names: str = ""
    """Of a condition `name`: the regular expression that the path of the file has a match of."""


_STATS = ("newstat", "newlstat", "newfstatat", "statx", "statfs", "access", "faccessat", "faccessat2")
_LINKS = ("readlink", "readlinkat")
_ATTRIBUTES = (
    *("getxattr", "lgetxattr", "fgetxattr", "getxattrat"),
    *("listxattr", "llistxattr", "flistxattr", "listxattrat"),
    *("removexattr", "lremovexattr", "fremovexattr", "removexattrat"),
)
_MOVING = (
    *("read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2"),
    *("recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg", "accept", "accept4"),
    *("sendfile64", "splice", "tee", "vmsplice", "copy_file_range", "getrandom"),
    *("msgrcv", "msgsnd", "mq_timedreceive", "mq_timedsend", "semop", "semtimedop"),
    *("futex", "futex_wait", "futex_waitv", "rt_sigtimedwait"),
    *("io_getevents", "io_pgetevents", "io_submit", "io_uring_enter"),
)

# The requests of an ioctl that ask what a file is or can do; any other one that fails has failed.
REQUESTS: dict[str, int] = {
    "TCGETS": 0x5401,  # isatty() before glibc 2.42
    "TCGETS2": 0x802C542A,  # and since
    "TIOCGWINSZ": 0x5413,  # how wide is the terminal?
    "TIOCGPGRP": 0x540F,  # am I in its foreground?
    "FICLONE": 0x40049409,  # cp --reflink=auto; it copies where there is no sharing
}

NOT_FOUND: tuple[int, ...] = (ENOENT, ENOTDIR)
SEARCHING: tuple[str, ...] = ("open", "openat", "openat2", "execve", "execveat", "mkdir", "mkdirat", "chdir")
"""Calls that look for a place: a miss is a probe where the same thread finds, or makes, one of that name soon."""

# What git looks for, or removes, and goes on without, in a repository, a bare one, or the folders of a working tree.
# All of it behind one slash: a search tries the rest at slashes alone.
_OF_GIT = (
    r"/(?:\.git/|(?:\.|(?<=^/)etc/)git(?:attributes|config|ignore|modules)$|git/(?:attributes|config|ignore)$"
    r"|\.mailmap$|packed-refs$|config\.worktree$|commondir$|[A-Z_]*HEAD$|shallow$|worktrees$|tmp_objdir-incoming-\w+/"
    r"|objects/(?:info|pack|[0-9a-f]{2})(?:/|$)"
    r"|refs/(?:heads|tags|remotes|notes|replace|bisect|stash|worktree|rewritten)(?:/|$)"
    r"|info/(?:alternates|attributes|commit-graphs?|exclude|grafts|sparse-checkout|refs)(?:/|$))"
)

# To add a rule, add a row: rows, the kernel's counters, filters, tables and the documentation follow. Three conditions
# go beyond call and error: the request of an ioctl (`REQUESTS`), and a search (`SEARCHING`) and a name, which
# engine/searches.py looks at.
RULES: tuple[Rule, ...] = (
    Rule((EINTR,), ANY, "A signal came first: the program sees to it and asks again."),
    Rule((ENOSYS,), ANY, "Asked whether this kernel has the call; libraries then take an older one."),
    Rule((EAGAIN,), _MOVING, "Asked not to wait, and there was nothing to move: the program comes again."),
    Rule(
        (ETIMEDOUT,),
        ("futex", "futex_wait", "futex_waitv", "mq_timedreceive", "mq_timedsend"),
        "A wait that was to end in time did.",
    ),
    Rule((ECHILD,), ("wait4", "waitid"), "Asked for one more child, and there is none left."),
    Rule(
        (EINPROGRESS, EALREADY, EISCONN), ("connect",), "The connection is being made meanwhile, or is there already."
    ),
    Rule((ENOTCONN, ENOTSOCK), ("getpeername",), "Asked whether it is a socket, and connected."),
    Rule((EINVAL,), ("close_range",), "Closed a range of numbers with none in it."),
    Rule((EBADF,), ("newfstat", "newfstatat", "fcntl"), "Asked whether the number is that of an open file."),
    Rule((EBADF,), ("close",), "Closed what was not open: so programs close all numbers that may be."),
    Rule(
        (ENOTTY, EOPNOTSUPP, EXDEV),
        ("ioctl",),
        "Asked whether the file is a terminal, or can share its blocks; Python asks that of every file it opens.",
        "request",
    ),
    Rule((ESPIPE, ENXIO), ("lseek",), "Asked whether the file has positions, or more data or holes."),
    Rule((ESPIPE,), ("fadvise64",), "Said how it will read, to what has no positions: a pipe."),
    Rule(NOT_FOUND, _STATS, "Asked whether the file is there: looking at it is how one asks."),
    Rule((*NOT_FOUND, EINVAL), _LINKS, "Asked whether the name is a link, and where to."),
    Rule(
        (*NOT_FOUND, ENODATA, EOPNOTSUPP, ERANGE),
        _ATTRIBUTES,
        "Asked whether the file has the attribute, or how long it is.",
    ),
    Rule((EEXIST,), ("mkdir", "mkdirat"), "Asked for a folder that is there already, as makedirs(exist_ok=True) does."),
    Rule(
        (EOPNOTSUPP, EXDEV),
        ("copy_file_range",),
        "Asked whether the kernel can copy between these two; programs then copy themselves.",
    ),
    Rule(NOT_FOUND, SEARCHING, "A place along a search path: the file was found under the same name.", "search"),
    Rule(
        NOT_FOUND,
        (*SEARCHING, "unlink", "unlinkat"),
        "What git keeps only where it needs it: it looks for it, or removes it, and goes on without.",
        "name",
        _OF_GIT,
    ),
    Rule(
        NOT_FOUND,
        SEARCHING,
        "Words and customs of a language: a program that has none speaks its own.",
        "name",
        r"/(?:locale|LC_MESSAGES|gconv)(?:/|$)",
    ),
    Rule(
        NOT_FOUND,
        SEARCHING,
        "A compiled module, which Python makes where it is missing, or a sign of where it is installed.",
        "name",
        r"\.pyc$|/pyvenv\.cfg$|/pybuilddir\.txt$|\._pth$",
    ),
    Rule(NOT_FOUND, SEARCHING, "Asked whether the kernel has, or lists, such a thing.", "name", r"^/(?:proc|sys)/"),
    Rule(
        (EIO,),
        ("read", "readv"),
        "The end of what was printed on a terminal: whoever had it has closed it.",
        "name",
        r"^/dev/(?:ptmx|pts/\d+)$",
    ),
)

MOST_ERRNO: int = 127
"""No rule names a greater one."""


def errnos(name: str, when: Iterable[str] = ("",)) -> frozenset[int]:
    """Return the errors of a call that are probes.

    Args:
        name: The kernel's name of the call.
        when: Of which conditions; those without any by default.
    """
    wanted = tuple(when)
    return frozenset(e for r in RULES if r.when in wanted and (not r.calls or name in r.calls) for e in r.errnos)

"""The table of failures that are none."""

from __future__ import annotations

import errno

import pytest

from ior_nb.syscalls import BY_NAME
from ior_nb.syscalls.probes import MOST_ERRNO, REQUESTS, RULES, SEARCHING, Rule, errnos
from ior_nb.syscalls.waits import ALWAYS, AT_OTHERS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_every_rule_is_of_known_calls_and_says_why(rule: Rule) -> None:
    """Calls have the kernel's names, errors fit the kernel's table, and the reason is a sentence."""
    assert all(name in BY_NAME for name in rule.calls)
    assert all(0 < number <= MOST_ERRNO for number in rule.errnos)
    assert rule.reason[0].isupper()
    assert rule.reason.endswith(".")
    assert rule.when in ("", "request", "search", "name")
    assert (rule.when == "name") is bool(rule.names)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        *(("read", e) for e in (errno.EAGAIN, errno.EINTR)),
        *(("connect", e) for e in (errno.EINPROGRESS, errno.EALREADY, errno.EINTR)),
        *(("newfstatat", errno.ENOENT), ("access", errno.ENOTDIR), ("readlink", errno.EINVAL)),
        *(("mkdir", errno.EEXIST), ("getxattr", errno.ENODATA), ("lgetxattr", errno.EOPNOTSUPP)),
        *(("lseek", errno.ESPIPE), ("wait4", errno.ECHILD), ("futex", errno.ETIMEDOUT), ("futex", errno.EAGAIN)),
        *(("clone3", errno.ENOSYS), ("accept4", errno.EAGAIN), ("recvmmsg", errno.EAGAIN)),
        *(("getpeername", errno.ENOTSOCK), ("close", errno.EBADF), ("fadvise64", errno.ESPIPE)),
        *(("fcntl", errno.EBADF), ("close_range", errno.EINVAL), ("statfs", errno.ENOENT)),
    ],
)
def test_answers_are_probes(call: str, error: int) -> None:
    """What programs ask as part of normal work is no failure."""
    assert error in errnos(call)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        *(("read", e) for e in (errno.EIO, errno.EBADF, errno.EISDIR)),
        *(("openat", e) for e in (errno.ENOENT, errno.EACCES, errno.EEXIST, errno.EMFILE, errno.EAGAIN)),
        *(("newfstatat", errno.EACCES), ("newfstatat", errno.ELOOP), ("unlink", errno.ENOENT), ("mkdir", errno.ENOENT)),
        *(("connect", errno.ECONNREFUSED), ("write", errno.EPIPE), ("write", errno.ENOSPC), ("clone3", errno.EAGAIN)),
        *(("ioctl", errno.ENOTTY), ("ioctl", errno.EINVAL), ("flock", errno.EAGAIN), ("getxattr", errno.EPERM)),
    ],
)
def test_failures_are_failures(call: str, error: int) -> None:
    """What keeps a program from what it wanted is one; an ioctl has to ask, and an open to find something later."""
    assert error not in errnos(call)


def test_conditions_are_those_of_ioctl_and_of_searches() -> None:
    """Beyond call and error, only the request of an ioctl, a file found later and its name decide."""
    assert errno.ENOTTY in errnos("ioctl", ["request"])
    assert 0x5401 in REQUESTS.values()
    assert all(errno.ENOENT in errnos(name, ["search"]) for name in SEARCHING)
    assert {r.when: r.calls for r in RULES if r.when not in ("", "name")} == {
        "request": ("ioctl",),
        "search": SEARCHING,
    }


def test_calls_that_wait_are_known() -> None:
    """The kernel's own names; none is in both lists. restart_syscall is what a wait goes on as."""
    assert all(name in BY_NAME for name in ALWAYS | AT_OTHERS)
    assert not ALWAYS & AT_OTHERS

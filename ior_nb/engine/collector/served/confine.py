"""Rights a process gives up for good: all but the two capabilities that tracing takes, and calls it does not make."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from ior_nb.engine.collector.rights import CAP_BPF, CAP_PERFMON
from ior_nb.syscalls.machine import NUMBERS

__all__ = ["FORBIDDEN", "close_doors", "die_with_parent", "keep_only_tracing", "program"]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_SECCOMP = 1, 4, 8, 22
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 23, 24, 38, 47
_AMBIENT_CLEAR_ALL: Final = 4
_SECCOMP_MODE_FILTER: Final = 2
_CAPABILITY_VERSION: Final = 0x20080522
_SIGKILL: Final = 9

FORBIDDEN: Final = (
    # other programs, and other processes' memory
    *("execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp"),
    # networks: it answers on sockets it has
    *("socket", "connect", "bind", "listen"),
    # other places, other rights
    *("mount", "umount", "umount2", "move_mount", "open_tree", "fsopen", "fsmount", "fspick", "pivot_root", "chroot"),
    *("setns", "unshare", "keyctl", "add_key", "request_key", "personality", "userfaultfd", "io_uring_setup"),
    *("setuid", "setgid", "setresuid", "setresgid", "setreuid", "setregid", "setgroups", "setfsuid", "setfsgid"),
    # the machine
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff"),
    *("iopl", "ioperm", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "sethostname", "setdomainname"),
    *("acct", "quotactl", "syslog", "open_by_handle_at", "name_to_handle_at"),
    # files: it reads what everybody may, and writes its cache
    *("chmod", "fchmodat", "chown", "lchown", "fchownat", "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat"),
)
"""System calls that are refused from then on."""

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_ of linux/audit.h
_X32_BIT: Final = 0x40000000
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM: Final = 1

_libc: Final = ctypes.CDLL(None, use_errno=True)


def keep_only_tracing(user: int) -> None:
    """Keep CAP_BPF and CAP_PERFMON and nothing else, as another user than root, in this process and all that follow.

    Args:
        user: whom root becomes; who is not root stays who he is.

    Raises:
        OSError: it cannot be done; the process must not go on.
    """
    wanted = (CAP_BPF, CAP_PERFMON)
    for number in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
        if number not in wanted and _libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # refused without CAP_SETPCAP: no exec follows anyway
    if os.getuid() == 0:
        _prctl(_PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    low, high = 0, 0
    for number in wanted:
        low |= 1 << number & 0xFFFFFFFF
        high |= 1 << number >> 32
    header = ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITY_VERSION, 0), 8)
    sets = ctypes.create_string_buffer(struct.pack("<6I", low, low, 0, high, high, 0), 24)
    if _libc.syscall(NUMBERS["capset"], header, sets) != 0:
        raise OSError(ctypes.get_errno(), "CAP_BPF and CAP_PERFMON are not there to be kept")
    _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def close_doors() -> None:
    """Refuse the calls of `FORBIDDEN`, and those of another architecture, in this process and all that follow.

    Raises:
        OSError: the kernel takes no filter; the process must not go on.
    """
    lines = program([NUMBERS[name] for name in FORBIDDEN if name in NUMBERS], platform.machine())
    words = b"".join(struct.pack("<HBBI", *line) for line in lines)
    held = ctypes.create_string_buffer(words, len(words))
    described = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(lines), ctypes.addressof(held)), 16)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(described))


def program(numbers: Iterable[int], machine: str) -> Sequence[tuple[int, int, int, int]]:
    """Return the filter: (code, jump if true, jump if false, value) a line.

    Args:
        numbers: of calls that fail with EPERM.
        machine: the architecture; calls of another one end the process.
    """
    forbidden = sorted(set(numbers))
    lines = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_IF_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the number
        (_IF_AT_LEAST, len(forbidden) + 1, 0, _X32_BIT),
    ]
    for left, number in zip(range(len(forbidden), 0, -1), forbidden, strict=True):
        lines.append((_IF_EQUAL, left, 0, number))
    return [*lines, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | _EPERM)]


def die_with_parent(parent: int) -> bool:
    """Have this process end with the one that forked it, whatever that dies of; False when it is gone already."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    return os.getppid() == parent


def _prctl(option: int, value: int, more: int = 0) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(more), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")

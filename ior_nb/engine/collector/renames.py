"""Calls after which a path known before may be another."""

from __future__ import annotations

from typing import Final

from ior_nb.syscalls import NATIVE, Syscall
from ior_nb.syscalls.machine import COMPAT_CHANGES_NAMES

__all__ = ["changers", "changes_names"]

# Renames of ancestors, mounts.
_CHANGES_NAMES: Final = frozenset(
    {"rename", "renameat", "renameat2", "mount", "umount", "move_mount", "pivot_root", "mount_setattr"}
)
# Its end is one of operations, renames among them: where these can not be watched themselves.
_SUBMITS_RENAMES: Final = "io_uring_enter"


def changes_names(call: Syscall, *, watches_ring: bool) -> bool:
    """Whether a call of this machine's own changes names.

    Args:
        call: it.
        watches_ring: whether operations of io_uring are seen by themselves.
    """
    return call.name in _CHANGES_NAMES or (call.name == _SUBMITS_RENAMES and not watches_ring)


def changers(*, watches_ring: bool) -> tuple[bytes, bytes]:
    """Return two sets of numbers of such calls, a bit each: this machine's own, and those of 32-bit programs."""
    own = (call.number for call in NATIVE if changes_names(call, watches_ring=watches_ring))
    return _bits(set(own)), _bits(set(COMPAT_CHANGES_NAMES))


def _bits(numbers: set[int]) -> bytes:
    return sum(1 << number for number in numbers).to_bytes(64, "little")

"""What the words of a record mean, by syscall number: look-up arrays derived from the syscall table."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.syscalls import ROLES, SYSCALLS
from ior_nb.syscalls.probes import MOST_ERRNO, REQUESTS, errnos

__all__ = [
    "ANY_PATH",
    "ASKING",
    "CLASS",
    "EMPTY_PATH",
    "EMPTY_PATH2",
    "FD_AND_PATH",
    "POSITIONED",
    "PROBES",
    "RESULT_FD",
    "ROLE",
    "elsewhere",
    "has",
]


def _argument_of(role: str) -> np.ndarray:
    """Return which argument plays `role`, int8 by syscall number, -1 for none."""
    table = np.full(wire.SPECS, -1, np.int8)
    for call in SYSCALLS:
        index = call.arg(role)
        if index is not None:
            table[call.number] = index
    return table


def _numbers(choose: Iterable[int]) -> np.ndarray:
    table = np.zeros(wire.SPECS, bool)
    table[list(choose)] = True
    return table


ROLE: Final = {role: _argument_of(role) for role in ROLES}
CLASS: Final = np.zeros(wire.SPECS, np.int8)
for _call in SYSCALLS:
    CLASS[_call.number] = ("none", "read", "write", "transfer").index(_call.bytes_class)
PROBES: Final = np.zeros((wire.SPECS, MOST_ERRNO + 2), bool)
"""By number and error, those beyond `MOST_ERRNO` as one: whether that failure is a probe."""
for _call in SYSCALLS:
    PROBES[_call.number, list(errnos(_call.name, ("", "request")))] = True
ASKING: Final = np.array(sorted(REQUESTS.values()))
"""What else has to be so: requests of an ioctl that ask."""
RESULT_FD: Final = _numbers(c.number for c in SYSCALLS if c.result == "fd")
FD_AND_PATH: Final = _numbers(c.number for c in SYSCALLS if c.arg("fd") is not None and c.arg("path") is not None)


def _empty_path(**bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return by syscall number which argument makes an empty path mean the descriptor (-1: none), and its bits."""
    argument, mask = np.full(wire.SPECS, -1, np.int8), np.zeros(wire.SPECS, "<u8")
    for role, bit in bits.items():
        mine = ROLE[role] >= 0
        argument[mine], mask[mine] = ROLE[role][mine], bit
    return argument, mask


_AT_EMPTY_PATH: Final = 0x1000
_ANY: Final = (1 << 64) - 1
EMPTY_PATH: Final = _empty_path(at_flags=_AT_EMPTY_PATH, move_flags=0x40, pick_flags=8, link_out=_ANY)
EMPTY_PATH2: Final = _empty_path(link_flags=_AT_EMPTY_PATH, move_flags=4)


@functools.cache
def has(role: str) -> np.ndarray:
    """Return which calls have an argument of that role: bool, by syscall number."""
    table: np.ndarray = ROLE[role] >= 0
    return table


@functools.cache
def elsewhere(role: str, index: int, dtype: str) -> np.ndarray:
    """Return a mask by syscall number: 0 where that argument plays that role, all bits where it does not."""
    table: np.ndarray = -(ROLE[role] != index).astype(dtype)
    return table


ANY_PATH: Final = has("path") | has("exec_path") | has("text") | has("path_out")
POSITIONED: Final = (CLASS > 0) | has("offset")

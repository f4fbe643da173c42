"""What the words of a record mean, by syscall number: look-up arrays derived from the syscall table."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.syscalls import ROLES, SYSCALLS
from ior_nb.syscalls.probes import MOST_ERRNO, REQUESTS, errnos

__all__ = ["ANY_PATH", "ASKING", "CLASS", "FD_AND_PATH", "POSITIONED", "PROBES", "RESULT_FD", "ROLE", "has"]


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


@functools.cache
def has(role: str) -> np.ndarray:
    """Return which calls have an argument of that role: bool, by syscall number."""
    table: np.ndarray = ROLE[role] >= 0
    return table


ANY_PATH: Final = has("path") | has("exec_path") | has("text") | has("path_out")
POSITIONED: Final = (CLASS > 0) | has("offset")

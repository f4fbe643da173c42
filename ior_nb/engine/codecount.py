"""A counter of the code objects that are freed in this process, for Python 3.11, which has none.

Who reads stacks from outside has to know whether a code object is still the one that was at its address before. Later
Pythons number their code objects, or count them. Here the function that frees one is led through two instructions of
ours, which count and go on to it.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import platform
import struct
import sys
from types import CodeType
from typing import Final

__all__ = ["counter_address"]

_DEALLOC_AT: Final = 48  # PyTypeObject.tp_dealloc
_PAGE: Final = mmap.PAGESIZE
_PRIVATE_ANONYMOUS: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


@functools.cache
def counter_address() -> int:
    """Return where the counter is, 0 where there is none: another Python, or no memory that can be executed."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11) or platform.machine() != "x86_64":
        return 0
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # Never unmapped: code objects are freed until the process ends. Private: a forked child counts its own.
    page = libc.mmap(None, 2 * _PAGE, mmap.PROT_READ | mmap.PROT_WRITE, _PRIVATE_ANONYMOUS, -1, 0)
    if page in (None, ctypes.c_void_p(-1).value):
        return 0
    counter, original = page + _PAGE, page + _PAGE + 8
    free = ctypes.c_void_p.from_address(id(CodeType) + _DEALLOC_AT)
    code = b"\xf0\x48\xff\x05" + struct.pack("<i", _PAGE - 8)  # lock incq counter(%rip)
    code += b"\xff\x25" + struct.pack("<i", _PAGE + 8 - 14)  # jmp *original(%rip)
    ctypes.memmove(page, code, len(code))
    ctypes.c_void_p.from_address(original).value = free.value
    if libc.mprotect(page, _PAGE, mmap.PROT_READ | mmap.PROT_EXEC):
        return 0
    free.value = page
    return int(counter)

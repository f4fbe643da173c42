"""The part of the program that sees faults on mapped files (bpf/mapped.c): what it is made of and needs."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

from ior_nb.engine.collector.btf import Btf

__all__ = ["ENDS", "FUNCTIONS", "HOOKS", "TAILS", "WANTED", "Fault", "defines"]

WANTED: Final[dict[str, tuple[str, ...]]] = {
    "task_struct": ("nvcsw",),
    "address_space": ("host", "i_mmap"),
    "vm_area_struct": ("shared.rb",),
    "inode": ("i_generation",),
}
_IF_THERE: Final = (
    ("page", "mapping", "O_folio_mapping"),  # before Linux 5.16
    ("page", "index", "O_folio_index"),
    ("folio", "mapping", "O_folio_mapping"),
    ("folio", "index", "O_folio_index"),
)
HOOKS: Final = {
    "mm_filemap_fault": "on_fault",
    "mm_filemap_map_pages": "on_map_pages",
}
ENDS: Final = ("fault_ends", "fault_walk")
FUNCTIONS: Final = (*ENDS, *HOOKS.values())
# Functions with a hook are tails too: the end of a fault comes between, and goes back to them. Those of program.py are
# before them.
_TAILS: Final = (*FUNCTIONS, "on_cached", "on_enter", "on_exit", "on_task_exit")
TAILS: Final = {name: at for at, name in enumerate(_TAILS, 12)}
_FILES: Final = 16384


class Fault(ctypes.LittleEndianStructure):
    """What the program keeps of the last fault of a thread: struct fault of bpf/mapped.c."""

    _fields_ = (
        ("mapping", ctypes.c_uint64),
        ("time", ctypes.c_uint64),
        ("index", ctypes.c_uint64),
        ("sleeps", ctypes.c_uint64),
        ("read", ctypes.c_uint64),
        ("pages", ctypes.c_uint64),
        ("maps", ctypes.c_uint64),
        ("key", ctypes.c_uint64 * 2),
        ("file", ctypes.c_uint32),
        ("tree", ctypes.c_uint32),
        ("stack", ctypes.c_uint32),
        ("call_stack", ctypes.c_uint32),
        ("pid", ctypes.c_uint32),
        ("tid", ctypes.c_uint32),
        ("comm_id", ctypes.c_uint32),
        ("why", ctypes.c_uint8),
        ("call_why", ctypes.c_uint8),
        ("open", ctypes.c_uint8),
        ("pad", ctypes.c_uint8),
    )


def defines(btf: Btf) -> dict[str, int]:
    """Return the constants of its text.

    Raises:
        LookupError: this kernel's structs are others.
    """
    found = {f"O_{s}_{m.replace('.', '_')}": o for (s, m), o in btf.offsets(WANTED).items()}
    for name, member, constant in _IF_THERE:
        with contextlib.suppress(LookupError):
            (found[constant],) = btf.offsets({name: (member,)}).values()
    return found | {"CACHED_FILES": _FILES}

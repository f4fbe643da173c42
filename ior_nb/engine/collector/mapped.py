"""The part of the program that sees faults on mapped files (bpf/mapped.c): what it is made of and needs."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

from ior_nb.engine.collector.btf import Btf, constants

__all__ = [
    "ENDS",
    "FUNCTIONS",
    "HOOKS",
    "TAILS",
    "WANTED",
    "Fault",
    "defines",
    "functions",
    "sees_writes",
]

WANTED: Final[dict[str, tuple[str, ...]]] = {
    "task_struct": ("nvcsw",),
    "address_space": ("host", "i_mmap"),
    "vm_area_struct": ("shared.rb",),
    "inode": ("i_generation",),
}
WANTED_WRITTEN: Final[dict[str, tuple[str, ...]]] = {
    "bio": ("bi_iter.bi_size", "bi_opf", "bi_io_vec", "bi_next"),
    "request": ("bio",),
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
    "writeback_dirty_folio": "on_dirty",
    "block_bio_queue": "on_bio",
    "block_rq_complete": "on_written",
}
ENDS: Final = ("fault_ends", "fault_walk")
_WRITTEN: Final = ("on_dirty", "on_bio", "on_written")
"""What sees writeback: bpf/written.c."""
_FAULTS: Final = ("on_fault", "on_map_pages")
FUNCTIONS: Final = (*ENDS, *_FAULTS, *_WRITTEN)
# Functions with a hook are tails too: the end of a fault comes between, and goes back to them. Those of program.py are
# before them.
_TAILS: Final = (*ENDS, *_FAULTS, "on_cached", "on_enter", "on_exit", "on_task_exit")
TAILS: Final = {name: at for at, name in enumerate(_TAILS, 16)}
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
        ("counted", ctypes.c_uint8),
    )


def sees_writes(btf: Btf) -> bool:
    """Whether writeback can be seen: its hooks are there, with the arguments of today (Linux 5.18)."""
    if not btf.hands_over_pointer("writeback_dirty_folio", 1) or not btf.has_hook("block_rq_complete"):
        return False
    if not btf.has_hook("block_bio_queue") or btf.hands_over_pointer("block_bio_queue", 1):
        return False
    return btf.has(WANTED_WRITTEN)


def functions(*, faults_told: bool, writes: bool) -> tuple[str, ...]:
    """Return what it is made of where there are hooks for these."""
    return (*ENDS, *(_FAULTS if faults_told else ()), *(_WRITTEN if writes else ()))


def defines(btf: Btf, *, writes: bool) -> dict[str, int]:
    """Return the constants of its text.

    Raises:
        LookupError: this kernel's structs are others.
    """
    found = constants(btf.offsets(WANTED))
    for name, member, constant in _IF_THERE:
        with contextlib.suppress(LookupError):
            (found[constant],) = btf.offsets({name: (member,)}).values()
    if writes:
        found |= constants(btf.offsets(WANTED_WRITTEN))
    return found | {"CACHED_FILES": _FILES}

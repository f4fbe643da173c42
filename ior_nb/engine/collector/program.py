"""From the syscall table and the kernel's BTF to the program's C text, and the rows of its tables."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ior_nb.engine.collector import machine, mapped, wire
from ior_nb.engine.collector.btf import Btf, constants
from ior_nb.engine.collector.filters import FILTER
from ior_nb.engine.collector.hooks import MEASURED, RING, WANTED_CLASSIC, also_there
from ior_nb.engine.collector.python import BINARY, LAYOUT, PYTHON
from ior_nb.engine.collector.renames import changes_names
from ior_nb.engine.collector.ring import PAGE
from ior_nb.syscalls import NATIVE, Syscall
from ior_nb.syscalls.machine import (
    ARGUMENT_REGISTERS,
    COMPAT_BIT,
    COMPAT_CHANGES_NAMES,
    COMPAT_WORD,
    NUMBERS,
    REGISTERS_START,
)
from ior_nb.syscalls.probes import MOST_ERRNO, REQUESTS, SEARCHING, errnos
from ior_nb.syscalls.table import PSEUDO

HERE: Final = Path(__file__).resolve().parent

# Members of kernel structs the program reads; "" is the size of the struct. See `Btf.offsets`.
WANTED: Final[dict[str, tuple[str, ...]]] = {
    "task_struct": (
        "files",
        "fs",
        "mm",
        "tgid",
        "pid",
        "group_leader",
        "thread_pid",
        "signal",
        f"thread_info.{COMPAT_WORD}",
        "comm",
        "cgroups",
        "seccomp.mode",
        "ptrace",
        "pending.signal",
        "cred",
        "real_parent",
    ),
    "pt_regs": ("orig_ax|syscallno", "di|orig_x0"),
    "css_set": ("dfl_cgrp",),
    "cgroup": ("level", "kn", "ancestors|ancestor_ids"),  # the first since 6.1
    "kernfs_node": ("id",),
    "fdtable": ("max_fds", "fd"),
    "signal_struct": ("live",),
    "mm_struct": ("brk",),
    "pid": ("level", "numbers"),
    "upid": ("nr", "ns", ""),
    "pid_namespace": ("ns",),
    "ns_common": ("inum",),
    "files_struct": ("fdt",),
    "file": ("f_path", "f_pos", "f_flags"),
    "inode": ("i_ino", "i_sb", "i_mode", "i_private"),
    "cred": ("uid", "suid", "euid", "cap_permitted", "cap_ambient"),
    "super_block": ("s_dev", "s_magic"),
    "dentry": ("d_hash", "d_parent", "d_name", "d_inode"),
    "vfsmount": ("mnt_root",),
    "vm_area_struct": ("vm_file",),
    "mount": ("mnt", "mnt_parent", "mnt_mountpoint"),
    "fs_struct": ("pwd", "root"),
    "socket_alloc": ("vfs_inode",),
    "socket": ("sk",),
    "linux_binprm": ("filename",),
    "sock": ("sk_type", "sk_protocol", "sk_socket"),
    "sock_common": (
        *("skc_family", "skc_daddr", "skc_rcv_saddr", "skc_dport", "skc_num", "skc_state", "skc_bound_dev_if"),
    ),
    "inet_sock": ("inet_sport",),
}
# And what only some have; the program does without.
WANTED_IF_THERE: Final[tuple[dict[str, tuple[str, ...]], ...]] = (
    {"ns_common": ("ops",), "proc_ns_operations": ("name",)},
    {"task_struct": ("exec_state",), "task_exec_state": ("dumpable",)},  # Linux 7
    {"mm_struct": ("flags",)},
    {"mm_struct": ("mm_mt",), "maple_tree": ("ma_root",)},  # Linux 6.1
    {"mm_struct": ("mm_rb",), "vm_area_struct": ("vm_rb", "vm_start", "vm_end")},
    {"backing_file": ("user_path",)},
    {"sock_common": ("skc_v6_daddr", "skc_v6_rcv_saddr")},
    {"unix_sock": ("addr", "peer"), "unix_address": ("len", "name"), "socket_alloc": ("socket",)},
    {"netlink_sock": ("portid", "dst_portid", "dst_group", "groups")},
    {"vsock_sock": ("local_addr", "remote_addr")},
)
WANTED_PYTHON: Final[dict[str, tuple[str, ...]]] = {
    "task_struct": ("thread",),
    "thread_struct": ("fsbase",),
    "mm_struct": ("start_code", "exe_file"),
    "file": ("f_inode", "f_cred"),
    "dentry": ("d_name",),
}
TAILS: Final = ("enter_walk", "exit_walk", "exit_address", "exit_many", "exit_rest", "on_refused")
FUNCTIONS: Final = (*TAILS, "on_fork", "on_exec", "on_task_exit", "on_exit", "on_enter")
"""What is loaded of every trace, besides its dispatcher."""
# The part that reads Python stacks, loaded when it is asked for. See bpf/python.c.
_TAILS: Final = "python_walk python_find python_new python_done python_mapped python_close python_unseen".split()
PYTHON_TAILS: Final = {name: len(TAILS) + at for at, name in enumerate(_TAILS)}
PYTHON_HOOKS: Final = {
    "sched_process_fork": "python_fork",
    "sched_process_exec": "python_exec",
    "sched_process_exit": "python_end",
    RING: "python_ring",
}
PYTHON_FUNCTIONS: Final = (*PYTHON_TAILS, *PYTHON_HOOKS.values())
FACT_BYTES: Final = 4 << 20
KNOWN_STACKS: Final = 32768
KNOWN_CODES: Final = 16384
KNOWN_OPENERS: Final = 65536
PARTS: Final = (  # of bpf/
    *("python.h", "types.h", "hooks.h", "reading.c", "fetched.c", "waits.c", "areas.c", "names.c", "peers.c"),
    *("files.c", "owners.c", "scope.c", "record.c", "addresses.c", "enter.c", "exit.c", "tasks.c", "dispatch.c"),
)
SHARES: Final = 6  # programs that may meet on a CPU

# How a string argument is read (spec.how1, how2).
HOW: Final = {"": 0, "path": 1, "path2": 1, "text": 2, "text2": 2, "path_out": 3, "exec_path": 4}
RESULT: Final = {"": 0, "fd": 1, "none": 2}
BYTES: Final = {"none": 0, "read": 1, "write": 2, "transfer": 3}
# What the one extra word of a record holds (spec.extra), by the role that asks for it.
EXTRA: Final = {
    "sleep_timespec": 1,
    "timeout_timespec": 2,
    "timeout_timeval": 3,
    "epoll_event": 4,
    "brk": 5,
    "iovec": 6,
    "msghdr": 7,
    "open_how": 8,
    "fds_out": 9,
    "mmsghdr": 10,
}
BY_ADDRESS: Final = 0x80  # of spec.fd: the file is not behind a descriptor, but mapped at an address
# How a call comes to an address of its own (spec.address_how), by the role that holds it.
ADDRESS: Final = {"connect_addr": 1, "send_addr": 2, "recv_addr": 3, "bind_addr": 4, "accept_addr": 5}
MESSAGES: Final = {"write": ADDRESS["send_addr"], "read": ADDRESS["recv_addr"]}  # of `msghdr`, by the class of bytes
SF_CHANGES_NAMES: Final = 1
SF_EXEC: Final = 2
SF_WRITES: Final = 4
SF_FORKS: Final = 8
SF_COMPAT_CHANGES_NAMES: Final = 16  # not this call, but the 32-bit call of this number
SF_KNOWN: Final = 32
SF_SEARCHES: Final = 64
SF_OPENS: Final = 128
# Calls that make files: those that return descriptors, but for one that takes an open file from another process.
OPENS: Final = (
    {call.name for call in NATIVE if call.result == "fd" or call.arg("fds_out") is not None} | {"accept", "accept4"}
) - {"pidfd_getfd"}
# Operations of io_uring that do, a bit each: accept, openat, openat2, socket, fixed_fd_install, pipe.
RING_OPENS: Final = sum(1 << number for number in (13, 18, 28, 45, 54, 62))
FORKS: Final = frozenset({"clone", "clone3", "fork", "vfork"})

SWITCH: Final = struct.Struct("<IB")  # the first two members of struct spec
SPEC: Final = struct.Struct("<I24B4x2Q")  # struct spec of bpf/types.h
CONFIG: Final = struct.Struct("<2Q12I")  # struct config of bpf/types.h
LIVE: Final = struct.Struct("<3I")  # struct live of bpf/types.h


class Slot(ctypes.LittleEndianStructure):
    """What the program keeps of a thread: struct slot of bpf/types.h, whose comments say what is what."""

    _fields_ = (
        ("last_at", ctypes.c_uint64 * 2),
        ("last", ctypes.c_uint64 * 8),
        ("heard", ctypes.c_uint64 * 12),
        ("regs", ctypes.c_uint64 * 8),
        ("start", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("last_end", ctypes.c_uint64),
        ("pos", ctypes.c_int64),
        ("extra", ctypes.c_int64),
        ("file_at", ctypes.c_uint64),
        ("file_got", ctypes.c_uint64),
        ("comm", ctypes.c_uint64 * 2),
        ("ret", ctypes.c_int64),
        ("python", ctypes.c_uint64 * 5),
        ("spent", ctypes.c_uint64 * 11),
        ("thread_state", ctypes.c_uint64),
        ("files", ctypes.c_uint32 * 4),
        ("names", ctypes.c_uint32),
        ("comm_id", ctypes.c_uint32),
        ("pid", ctypes.c_uint32),
        ("tid", ctypes.c_uint32),
        ("tgid", ctypes.c_uint32),
        ("scope_gen", ctypes.c_uint32),
        ("no_python", ctypes.c_uint32),
        ("stack", ctypes.c_uint32),
        ("opener", ctypes.c_uint32),
        ("nr", ctypes.c_uint16),
        ("state", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("generation", ctypes.c_uint8),
        ("ignored", ctypes.c_uint8),
        ("waiting", ctypes.c_uint8),
        ("changes_names", ctypes.c_uint8),
        ("rooted", ctypes.c_uint8),
        ("tells", ctypes.c_uint8),
        ("makes", ctypes.c_uint8),
        ("why", ctypes.c_uint8),
        ("faulting", ctypes.c_uint8),
        ("unseen", ctypes.c_uint8),
    )

    def arguments(self) -> tuple[int, ...]:
        """Return the six arguments of its call."""
        return tuple(self.regs[_register(index) - 1] for index in range(len(ARGUMENT_REGISTERS)))


KNOWN_BYTES: Final = 64  # struct known of bpf/types.h, and where its id is
KNOWN_ID: Final = 48
HEARD_IDS: Final = (36, 84)  # of the two struct heard of a slot
# Of a slot: no call; one whose end makes a row; one whose end does not; a child that has not returned yet; a thread
# that may be in a call begun before; a refused call whose files are being named.
STATES: Final = {"NONE": 0, "OPEN": 1, "SKIPPED": 2, "BORN": 3, "BEFORE": 4, "REFUSED": 5}
MODES: Final = {"none": 0, "pids": 1, "all": 2, "uid": 3, "cgroup": 4}
TARGET_IN: Final = 1
TARGET_AT_EXEC: Final = 2


def _register(index: int | None) -> int:
    """Return 1 + the place of an argument among the registers the program copies; 0 for none."""
    return 0 if index is None else 1 + (ARGUMENT_REGISTERS[index] - REGISTERS_START) // 8


def spec(call: Syscall, *, enabled: bool, rate: int, watches_ring: bool = True) -> bytes:
    """Return the `specs` row of a syscall: everything the kernel program has to know about it."""
    return SWITCH.pack(rate, enabled) + _meaning(call, watches_ring)


@functools.cache
def _meaning(call: Syscall, watches_ring: bool) -> bytes:
    """Return what of the row never changes."""

    def at(*roles: str) -> int:
        for role in roles:
            if (index := call.arg(role)) is not None:
                return _register(index)
        return 0

    def role_of(*roles: str) -> str:
        return next((r for r in roles if call.arg(r) is not None), "")

    first = role_of("path", "exec_path", "text", "path_out")
    second = role_of("path2", "text2")
    extra = role_of(*EXTRA)
    address = role_of(*ADDRESS)
    flags = (
        SF_KNOWN
        | SF_CHANGES_NAMES * changes_names(call, watches_ring=watches_ring)
        | SF_COMPAT_CHANGES_NAMES * (call.number in COMPAT_CHANGES_NAMES)
        | SF_EXEC * (call.kind == "exec")
        | SF_WRITES * (call.bytes_class in ("write", "transfer"))
        | SF_SEARCHES * (call.name in SEARCHING)
        | SF_FORKS * (call.name in FORKS)
        | SF_OPENS * (call.name in OPENS)
    )
    probes = sum(1 << error for error in errnos(call.name, ("", "request")))
    return SPEC.pack(
        0,
        0,
        at("fd") or (BY_ADDRESS | at("mapped") if call.arg("mapped") is not None else 0),
        at("fd2"),
        at(first),
        HOW[first],
        at("dirfd") if first in ("path", "exec_path") else 0,
        at(second),
        HOW[second],
        at("dirfd2") if second == "path2" else 0,
        RESULT[call.result],
        BYTES[call.bytes_class],
        at("size"),
        at("recv_flags"),
        at("offset"),
        at("offset_ptr"),
        at("offset2_ptr"),
        EXTRA.get(extra, 0),
        at(extra) if extra else 0,
        at("iovcnt") if extra == "iovec" else 0,
        flags,
        at("request"),
        at(address) if address else 0,
        at("addr_len"),
        ADDRESS.get(address, MESSAGES.get(call.bytes_class, 0) * (extra == "msghdr")),
        probes & (1 << 64) - 1,
        probes >> 64,
    )[SWITCH.size :]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to build the program."""

    classic: bool
    """Its hooks are perf's trace events instead of raw tracepoints."""
    preemptible: bool
    """Another of its functions may run on the CPU before one has ended."""
    typed: bool
    """The task's own words are loaded through a typed pointer (Linux 5.11)."""
    python: bool = True
    """It has the part that reads Python stacks, where that can be."""
    mapped: bool = True
    """It has the part that sees faults on mapped files, where that can be."""
    faults_told: bool = True
    """The beginning of a fault has a hook (Linux 6.12)."""
    writes: bool = True
    """So has what becomes of bytes written."""
    identity: bool = True
    """Code objects are told apart by more than their addresses. Only a test goes without."""

    @property
    def functions(self) -> tuple[str, ...]:
        """What it is made of."""
        faults = mapped.functions(faults_told=self.faults_told, writes=self.writes) if self.mapped else ()
        return (*FUNCTIONS, *machine.AT.values(), *(PYTHON_FUNCTIONS if self.python else ()), *faults)


def _agreed() -> dict[str, int]:
    """Return the constants that are the same on every kernel: what the text has in common with us and the tables."""
    defines = wire.CONSTANTS | {
        "H_PATH": HOW["path"],
        "H_TEXT": HOW["text"],
        "H_OUT": HOW["path_out"],
        "H_EXEC": HOW["exec_path"],
    }
    defines |= {"R_FD": RESULT["fd"], "R_NEVER": RESULT["none"]}
    defines |= {f"NR_{name.upper()}": NUMBERS[name] for name in ("mmap", "close")}
    defines["NR_PAGE_FAULT"] = PSEUDO["page_fault"]
    names = "SLEEP TIMESPEC TIMEVAL EPOLL_EVENT BRK IOVEC MSGHDR OPEN_HOW FDS MMSG".split()
    defines |= {f"X_{name}": value for name, value in zip(names, EXTRA.values(), strict=True)}
    ways = "CONNECTS GIVEN FILLED BINDS ACCEPTS".split()
    defines |= {f"A_{way}": value for way, value in zip(ways, ADDRESS.values(), strict=True)}
    defines |= {"SF_CHANGES_NAMES": SF_CHANGES_NAMES, "SF_EXEC": SF_EXEC, "SF_WRITES": SF_WRITES, "SF_FORKS": SF_FORKS}
    defines |= {"SF_COMPAT_CHANGES_NAMES": SF_COMPAT_CHANGES_NAMES, "SF_KNOWN": SF_KNOWN}
    defines |= {"SF_SEARCHES": SF_SEARCHES, "MOST_PROBE": MOST_ERRNO, "SF_OPENS": SF_OPENS}
    defines |= {"M_SET": MODES["pids"], "M_ALL": MODES["all"], "M_UID": MODES["uid"], "M_CGROUP": MODES["cgroup"]}
    defines |= {f"S_{name}": value for name, value in STATES.items()}
    defines |= {"TARGET_IN": TARGET_IN, "TARGET_AT_EXEC": TARGET_AT_EXEC}
    defines |= machine.CONSTANTS
    defines |= {"SLOTS": 65536, "FILES": 65536, "VOICES": 16384, "BY_ADDRESS": BY_ADDRESS}
    defines |= {"SOCKFS_MAGIC": 0x534F434B, "NSFS_MAGIC": 0x6E736673, "OVERLAYFS_MAGIC": 0x794C7630}
    defines |= {"O_DIRECT": os.O_DIRECT, "PAGE_BYTES": mmap.PAGESIZE}
    defines |= {"COMPAT_BIT": COMPAT_BIT, "REGISTERS_START": REGISTERS_START}
    defines |= {f"ARG{index}": _register(index) - 1 for index in range(len(ARGUMENT_REGISTERS))}
    defines |= {f"TAIL_{name.removeprefix('on_').upper()}": index for index, name in enumerate(TAILS)}
    defines |= {f"TAIL_{name.upper()}": index for name, index in PYTHON_TAILS.items()}
    defines |= {f"TAIL_{name.removeprefix('on_').upper()}": index for name, index in mapped.TAILS.items()}
    return defines


def source(btf: Btf, variant: Variant, *, event_pages: int, name_pages: int, cpus: int, threads: int) -> str:
    """Return the program's C text with its constants in front.

    Raises:
        LookupError: this kernel's structs are others; the message names what is missing.
    """
    layout = btf.offsets(WANTED)
    if variant.classic:
        layout |= btf.offsets(WANTED_CLASSIC)
    also, theirs = also_there(btf)
    layout |= theirs
    for members in (*WANTED_IF_THERE, *MEASURED.values()):
        with contextlib.suppress(LookupError):
            layout |= btf.offsets(members)
    defines = _agreed() | constants(layout)
    defines["O_pt_regs_number"], defines["O_pt_regs_first"] = (o for (s, m), o in layout.items() if s == "pt_regs")
    defines["O_task_struct_status"] = layout["task_struct", f"thread_info.{COMPAT_WORD}"]
    defines["O_dentry_pprev"] = defines["O_dentry_d_hash"] + 8  # hlist_bl_node {next, pprev}
    defines["SIZE_upid"] = layout["upid", ""]
    defines |= {f"WITH_{function}": 1 for function in also}
    if "on_switch" in also:
        iowait = btf.bit("task_struct", "in_iowait")
        defines |= {"IOWAIT_WORD": iowait // 32 * 4, "IOWAIT_BIT": iowait % 32}
    defines["PG_head"] = btf.values("pageflags").get("PG_head", 0)
    defines |= {"EVENT_PAGES": event_pages, "NAME_PAGES": name_pages, "NCPU": cpus, "THREADS": threads}
    defines |= {"TASK_BTF": int(variant.typed), "CLASSIC": int(variant.classic)}
    defines["TASK_REGS"] = int(variant.typed and "task_pt_regs" in btf.helpers())
    defines["MAPPED"] = int(variant.mapped)
    defines["SHARES"] = SHARES if variant.preemptible else 1
    sizes = {
        "event": wire.EVENT_BYTES,
        "chunk": wire.CHUNK_BYTES,
        "spec": SPEC.size,
        "config": CONFIG.size,
        "filter": FILTER.size,
        "slot": ctypes.sizeof(Slot),
        "live": LIVE.size,
        "machine": machine.MACHINE_BYTES,
    }
    parts = list(PARTS)
    if variant.mapped:
        defines |= mapped.defines(btf, writes=variant.writes) | {"FAULTS_TOLD": int(variant.faults_told)}
        sizes |= {"cached": wire.CACHED_FILE_BYTES, "fault": ctypes.sizeof(mapped.Fault)}
        parts.append("mapped.c")
    parts += ["cache.c", *(["written.c"] if variant.mapped and variant.writes else [])]
    if variant.python:
        defines |= constants(btf.offsets(WANTED_PYTHON))
        proof = [defines[f"O_file_{name}"] for name in ("f_path", "f_inode", "f_cred")]
        defines |= {"FILE_FROM": min(proof), "FILE_BYTES": max(proof) + 16 - min(proof)}
        defines |= {"FACT_PAGES": FACT_BYTES // PAGE, "KNOWN_STACKS": KNOWN_STACKS, "KNOWN_CODES": KNOWN_CODES}
        defines |= {"KNOWN_OPENERS": KNOWN_OPENERS, "RING_OPENS": RING_OPENS}
        defines["IDENTITY"] = int(variant.identity)
        sizes |= {"python": PYTHON.size, "layout": LAYOUT.size, "binary": BINARY.size, "ask": wire.ASK.size}
        parts += ["openers.c", "python.c"]
    checks = "".join(f'_Static_assert(sizeof(struct {name}) == {size}, "{name}");\n' for name, size in sizes.items())
    checks += "".join(
        f'_Static_assert(__builtin_offsetof(struct slot, {name}) == {getattr(Slot, name).offset}, "slot.{name}");\n'
        for name, _ in Slot._fields_
    )
    asks = " || ".join(f"(r) == {request}u" for request in REQUESTS.values())
    text = "".join((HERE / "bpf" / part).read_text() for part in parts)
    values = "".join(f"#define {n} {v}u\n" for n, v in sorted(defines.items()))
    return f"{values}#define ASKS(r) ({asks})\n{text}{checks}"


def all_specs(enabled: Iterable[int], rates: dict[int, int], *, watches_ring: bool = True) -> list[tuple[int, bytes]]:
    """Return (number, row) for every system call of this machine, and every number a 32-bit one matters for.

    Args:
        enabled: numbers of those that are on.
        rates: sampling by number.
        watches_ring: whether operations of io_uring are seen by themselves.
    """
    chosen = frozenset(enabled)
    rows = {
        call.number: spec(
            call, enabled=call.number in chosen, rate=rates.get(call.number, 1), watches_ring=watches_ring
        )
        for call in NATIVE
    }
    nothing = SPEC.pack(1, *[0] * 19, SF_COMPAT_CHANGES_NAMES, *[0] * 6)
    return sorted((dict.fromkeys(COMPAT_CHANGES_NAMES, nothing) | rows).items())

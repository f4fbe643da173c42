"""From the syscall table and the kernel's BTF to a loaded program: C text, rows of `specs`, bcc."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from ior_nb.engine.collector import btf, wire
from ior_nb.engine.collector.distribution import find_bcc
from ior_nb.syscalls import SYSCALLS, Syscall
from ior_nb.syscalls.x86_64 import ARGUMENT_REGISTERS, REGISTERS_START, TS_COMPAT

HERE: Final = Path(__file__).resolve().parent

# Members of kernel structs the program reads; "" is the size of the struct.
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
        "thread_info.status",
        "comm",
    ),
    "fdtable": ("max_fds", "fd"),
    "signal_struct": ("live",),
    "mm_struct": ("brk",),
    "pid": ("level", "numbers"),
    "upid": ("nr", "ns", ""),
    "pid_namespace": ("ns",),
    "ns_common": ("inum",),
    "files_struct": ("fdt",),
    "file": ("f_path", "f_pos", "f_flags"),
    "inode": ("i_ino", "i_sb", "i_mode"),
    "super_block": ("s_dev", "s_magic"),
    "dentry": ("d_hash", "d_parent", "d_name", "d_inode"),
    "vfsmount": ("mnt_root",),
    "mount": ("mnt", "mnt_parent", "mnt_mountpoint"),
    "fs_struct": ("pwd", "root"),
    "socket_alloc": ("vfs_inode",),
    "socket": ("sk",),
    "sock": ("__sk_common", "sk_type", "sk_protocol"),
    "sock_common": ("skc_family",),
}

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
}
SF_CHANGES_NAMES: Final = 1
SF_EXEC: Final = 2
SF_WRITES: Final = 4
# Calls after which a path known before may be another: renames of ancestors, mounts.
CHANGES_NAMES: Final = frozenset(
    {"rename", "renameat", "renameat2", "mount", "umount", "move_mount", "pivot_root", "mount_setattr"}
)

SWITCH: Final = struct.Struct("<IB")  # the first two members of struct spec
SPEC: Final = struct.Struct("<I20B")  # struct spec of ior.bpf.c
CONFIG: Final = struct.Struct("<Q6I")  # struct config of ior.bpf.c
FILTER: Final = struct.Struct("<8Q2Q32s2I8B")  # struct filter of ior.bpf.c
MODES: Final = {"none": 0, "pids": 1, "all": 2, "uid": 3, "cgroup": 4}
TARGET_IN: Final = 1
TARGET_AT_EXEC: Final = 2

INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC  # PROC_PID_INIT_INO


def _register(index: int | None) -> int:
    """Return 1 + the place of an argument among the registers the program copies; 0 for none."""
    return 0 if index is None else 1 + (ARGUMENT_REGISTERS[index] - REGISTERS_START) // 8


def spec(call: Syscall, *, enabled: bool, rate: int) -> bytes:
    """Return the `specs` row of a syscall: everything the kernel program has to know about it."""
    return SWITCH.pack(rate, enabled) + _meaning(call)


@functools.cache
def _meaning(call: Syscall) -> bytes:
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
    flags = (
        SF_CHANGES_NAMES * (call.name in CHANGES_NAMES)
        | SF_EXEC * (call.kind == "exec")
        | SF_WRITES * (call.bytes_class in ("write", "transfer"))
    )
    return SPEC.pack(
        0,
        0,
        at("fd"),
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
    )[SWITCH.size :]


def filter_row(wanted: dict[str, Any], generation: int) -> bytes:
    """Return an entry of `filters`.

    Args:
        wanted: nothing, or "pid", "tid", "calls" (numbers), "latency_min", "latency_max", "errors_only", "comm" and
            "comm_mask" (16 bytes each, in hex), "audit"; see `runtime.Pushdown`.
        generation: what records judged by it carry.
    """
    calls = wanted.get("calls")
    bits = (1 << wire.SPECS) - 1 if calls is None else sum(1 << n for n in set(calls))
    low, high = wanted.get("latency_min"), wanted.get("latency_max")
    return FILTER.pack(
        *struct.unpack("<8Q", bits.to_bytes(64, "little")),
        max(low or 0, 0),
        (1 << 64) - 1 if high is None else max(high, 0),
        bytes.fromhex(wanted.get("comm", "00" * 16)) + bytes.fromhex(wanted.get("comm_mask", "00" * 16)),
        wanted.get("pid") or 0,
        wanted.get("tid") or 0,
        generation & 0xFF,
        bool(wanted),
        low is not None or high is not None,
        bool(wanted.get("errors_only")),
        bool(wanted.get("audit")),
        *(0, 0, 0),
    )


def possible_cpus() -> int:
    """Return one more than the highest CPU number this machine can have."""
    text = Path("/sys/devices/system/cpu/possible").read_text()
    return int(text.strip().replace(",", "-").split("-")[-1]) + 1


def source(layout: dict[tuple[str, str], int], *, event_pages: int, name_pages: int, cpus: int, namespace: int) -> str:
    """Return the program's C text with its constants in front."""
    defines = {f"O_{s}_{m}": o for (s, m), o in layout.items() if m}
    defines["O_task_struct_status"] = defines.pop("O_task_struct_thread_info.status")
    defines["O_dentry_pprev"] = defines["O_dentry_d_hash"] + 8  # hlist_bl_node {next, pprev}
    defines["SIZE_upid"] = layout["upid", ""]
    defines |= {name: value for name, value in wire.CONSTANTS.items() if name != "MAX_FRAME"}
    defines |= {"H_PATH": HOW["path"], "H_TEXT": HOW["text"], "H_OUT": HOW["path_out"], "H_EXEC": HOW["exec_path"]}
    defines |= {"R_FD": RESULT["fd"], "R_NEVER": RESULT["none"]}
    names = "SLEEP TIMESPEC TIMEVAL EPOLL_EVENT BRK IOVEC MSGHDR OPEN_HOW FDS".split()
    defines |= {f"X_{name}": value for name, value in zip(names, EXTRA.values(), strict=True)}
    defines |= {"SF_CHANGES_NAMES": SF_CHANGES_NAMES, "SF_EXEC": SF_EXEC, "SF_WRITES": SF_WRITES}
    defines |= {"M_SET": MODES["pids"], "M_ALL": MODES["all"], "M_UID": MODES["uid"], "M_CGROUP": MODES["cgroup"]}
    defines |= {"S_NONE": 0, "S_OPEN": 1, "S_SKIPPED": 2, "TARGET_IN": TARGET_IN, "TARGET_AT_EXEC": TARGET_AT_EXEC}
    defines |= {"EVENT_PAGES": event_pages, "NAME_PAGES": name_pages, "NCPU": cpus, "NS_INUM": namespace}
    defines |= {"SLOTS": 65536, "FILES": 65536, "SOCKFS_MAGIC": 0x534F434B}
    defines |= {"TS_COMPAT": TS_COMPAT, "REGISTERS_START": REGISTERS_START}
    checks = (
        f'_Static_assert(sizeof(struct event) == {wire.EVENT_BYTES}, "event");\n'
        f'_Static_assert(sizeof(struct chunk) == {wire.CHUNK_BYTES}, "chunk");\n'
        f'_Static_assert(sizeof(struct spec) == {SPEC.size}, "spec");\n'
        f'_Static_assert(sizeof(struct config) == {CONFIG.size}, "config");\n'
        f'_Static_assert(sizeof(struct filter) == {FILTER.size}, "filter");\n'
    )
    text = (HERE / "ior.bpf.c").read_text()
    return "".join(f"#define {n} {v}u\n" for n, v in sorted(defines.items())) + text + checks


def all_specs(enabled: Iterable[int], rates: dict[int, int]) -> list[tuple[int, bytes]]:
    """Return (number, row) for every system call of the table."""
    chosen = frozenset(enabled)
    return [
        (call.number, spec(call, enabled=call.number in chosen, rate=rates.get(call.number, 1))) for call in SYSCALLS
    ]


def import_bcc() -> ModuleType:
    """Import bcc from the distribution, whatever Python this is.

    Raises:
        ImportError: it is not installed, or its shared library can not be loaded.
    """
    where = find_bcc()
    if where is None:
        raise ImportError("the bcc Python module is not installed: apt install python3-bpfcc (Fedora: python3-bcc)")
    # bcc includes kernel headers; ours are 8 tiny files, so no kernel-headers package is needed.
    os.environ["BCC_KERNEL_SOURCE"] = str(HERE)  # bcc looks into its include/
    package = where / "bcc"
    found = importlib.util.spec_from_file_location(
        "bcc", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if found is None or found.loader is None:
        raise ImportError(f"{package} can not be imported")
    module = importlib.util.module_from_spec(found)
    sys.modules["bcc"] = module
    try:
        found.loader.exec_module(module)
    except OSError as error:
        raise ImportError(f"bcc is installed, its shared library is not: {error}") from error
    return module


def load(*, event_pages: int, name_pages: int, namespace: int) -> Any:
    """Compile and load everything; nothing is attached yet.

    Returns:
        The `bcc.BPF` object, its programs loaded and its tail calls wired.
    """
    layout = btf.offsets(WANTED, btf.VMLINUX.read_bytes())
    text = source(layout, event_pages=event_pages, name_pages=name_pages, cpus=possible_cpus(), namespace=namespace)
    bcc = import_bcc()
    try:
        return _loaded(bcc, "#define TASK_BTF 1\n" + text)
    except Exception:  # bcc raises nothing more precise; a kernel before 5.11 has no typed task
        return _loaded(bcc, "#define TASK_BTF 0\n" + text)


def _loaded(bcc: ModuleType, text: str) -> Any:
    bpf = bcc.BPF(text=text, cflags=["-w"])
    tails = bpf["tails"]
    for index, name in enumerate(("enter_walk", "exit_walk")):
        tails[ctypes.c_int(index)] = ctypes.c_int(bpf.load_func(name, bcc.BPF.RAW_TRACEPOINT).fd)
    for name in HOOKS.values():
        bpf.load_func(name, bcc.BPF.RAW_TRACEPOINT)
    return bpf


# Raw tracepoint -> function, in the order in which they are attached: tasks first, so that no child is missed.
HOOKS: Final = {
    "sched_process_fork": "on_fork",
    "sched_process_exec": "on_exec",
    "sched_process_exit": "on_task_exit",
    "sys_exit": "on_exit",
    "sys_enter": "on_enter",
}

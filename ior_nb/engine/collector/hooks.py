"""Where the program hangs in the kernel: five hooks, in one of two ways, itself or at a dispatcher (`machine.py`).

`raw` tracepoints cost least. `tracepoint` (perf's trace events, the same programs by another entry) is for kernels that
can preempt a program of a raw tracepoint, see `trial.py`; there a number of each event is needed, which stands in
tracefs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ior_nb.engine.collector.bpf import (
    PROG_RAW_TRACEPOINT,
    PROG_TRACEPOINT,
    Program,
    attach_perf,
    attach_raw,
    misses_of,
    opens_perf,
)
from ior_nb.engine.collector.btf import Btf
from ior_nb.engine.collector.machine import FIRST_SEAT, INITIAL_PID_NAMESPACE, Machine, Seat, namespace_here

__all__ = [
    "ALSO",
    "EVENTS",
    "HOOKS",
    "KINDS",
    "MEASURED",
    "RING",
    "TOLD",
    "WAITS",
    "WANTED_CLASSIC",
    "Hooks",
    "also_there",
    "attach_link",
    "event_numbers",
    "numbers_in",
    "remember",
]

# Raw tracepoint -> function, in the order in which they are attached: tasks first, so that no child is missed.
HOOKS: Final = {
    "sched_process_fork": "on_fork",
    "sched_process_exec": "on_exec",
    "sched_process_exit": "on_task_exit",
    "sys_exit": "on_exit",
    "sys_enter": "on_enter",
}
RING: Final = "io_uring_complete"
CACHED: Final = "mm_filemap_add_to_page_cache"
WAITS: Final = {
    "sched_switch": "on_switch",
    "contention_begin": "on_contended",
    "contention_end": "on_uncontended",
}
"""Hooks that are attached when waits are asked for; every context switch of the machine then pays for the first."""
# All hooks more, where the kernel has them with what their functions need: always raw tracepoints.
ALSO: Final = {RING: "on_ring", CACHED: "on_cached", **WAITS}
# What that is: which argument has to be a pointer, and members of structs, the first choice that is there.
Members = dict[str, tuple[str, ...]]
_MAPPING: Final[Members] = {"address_space": ("host",), "file": ("f_mapping",), "super_block": ("s_bdev",)}
_SLEEPS: Final[Members] = {
    "task_struct": ("sched_info.run_delay", "sched_info.last_arrival", "se.cfs_rq", "in_iowait"),
    "cfs_rq": ("rq",),
    "rq": ("clock",),
}
MEASURED: Final[dict[str, Members]] = {
    "fetched": {"task_struct": ("ioac.read_bytes",)},  # CONFIG_TASK_IO_ACCOUNTING
    "run_delay": {"task_struct": ("sched_info.run_delay",)},  # CONFIG_SCHED_INFO
    "waits": _SLEEPS,
    "locks": _SLEEPS,
}
"""What can be measured of a call besides its time, and the members it takes."""
_NEEDED: Final[dict[str, tuple[int | None, tuple[Members, ...]]]] = {
    RING: (1, ({"io_kiocb": ("opcode",)},)),
    CACHED: (
        0,
        (
            {"folio": ("mapping", "flags", "_folio_order|_flags_1"), **_MAPPING},
            {"folio": ("mapping", "flags"), **_MAPPING},
            {"page": ("mapping", "flags"), **_MAPPING},  # before Linux 5.16
        ),
    ),
    "sched_switch": (None, (_SLEEPS,)),
    "contention_begin": (0, (_SLEEPS,)),
    "contention_end": (0, (_SLEEPS,)),
}
# The same as trace events.
EVENTS: Final = {name: f"{'raw_syscalls' if name.startswith('sys_') else 'sched'}/{name}" for name in HOOKS}
# What the program reads besides where it hangs at those.
WANTED_CLASSIC: Final[dict[str, tuple[str, ...]]] = {
    "task_struct": ("children", "sibling", "thread_node"),
    "signal_struct": ("thread_head",),
    "trace_event_raw_sys_enter": ("id", "args"),
    "trace_event_raw_sys_exit": ("ret",),
    "trace_event_raw_sched_process_fork": ("child_pid",),
    "trace_event_raw_sched_process_exec": ("old_pid", "__data_loc_filename"),
}
KINDS: Final = {"raw": PROG_RAW_TRACEPOINT, "tracepoint": PROG_TRACEPOINT}
TOLD: Final = {
    "raw": "raw tracepoints",
    "raw-preemptible": "raw tracepoints, which this kernel can preempt",
    "tracepoint": "trace events (+66 ns a call)",
}
"""The ways to hang in the kernel (`loader.WAYS`), as people are told of them."""

_PLACES: Final = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")

_remembered: dict[str, int] = {}
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # the same on every architecture
_FSCONFIG_CMD_CREATE: Final = 6


def also_there(btf: Btf) -> tuple[list[str], dict[tuple[str, str], int]]:
    """Return the functions of `ALSO` this kernel has the hooks for, and where the members are that they read."""
    functions: list[str] = []
    layout: dict[tuple[str, str], int] = {}
    for hook, (pointer, choices) in _NEEDED.items():
        there = btf.has_hook(hook) if pointer is None else btf.hands_over_pointer(hook, pointer)
        for members in choices if there else ():
            with contextlib.suppress(LookupError):
                layout |= btf.offsets(members)
                functions.append(ALSO[hook])
                break
    return functions, layout


class Hooks:
    """The program's functions at their hooks.

    Args:
        programs: by function.
        numbers: of the trace events, by hook; None for raw tracepoints.
        machine: the maps that say whose a process is.
        seat: where at another process's dispatcher they are.
    """

    def __init__(
        self, programs: Mapping[str, Program], numbers: Mapping[str, int] | None, machine: Machine, seat: Seat | None
    ) -> None:
        self._programs = programs
        self._numbers = numbers
        self._machine = machine
        self._seat = seat
        self._number = FIRST_SEAT if seat is None else seat.number
        self._claims = False
        self._nested = namespace_here() != INITIAL_PID_NAMESPACE
        self._links: dict[str, int] = {}
        self._held: list[int] = []  # of the dispatcher at which the seat is

    def begin(self, *, processes: bool, follow: bool) -> None:
        """Choose how to attach; nothing is yet.

        Args:
            processes: whether all that is traced belongs to processes that `claim` will name.
            follow: whether their children belong to them.
        """
        self._claims = processes
        if self._seat is None:
            self._machine.begin(alone=processes, watches_ring=self.watches_ring)
        else:  # also where we hang beside it: it watches which names change, for all
            self._held = self._seat.begin()
            if not self._held:
                self._machine.names_have_changed()
            # A process has to be known there by the number that the kernel gives it.
            self._claims = processes and bool(self._held) and not self._nested
        if self._claims:
            self._machine.follow(self._number, wanted=follow)

    @property
    def dispatched(self) -> bool:
        """Whether another process's dispatcher looks whose calls these are."""
        return self._claims and self._seat is not None

    def kind(self, hook: str = "sys_exit") -> int:
        """Return the type of program that hangs there; those others go on to by tail calls have the same."""
        return KINDS["raw" if self._numbers is None or hook not in HOOKS else "tracepoint"]

    def hang(self, hook: str, function: str) -> int:
        """Attach any function at a hook; return the descriptor that holds it there."""
        return attach_link(hook, self._programs[function], self._numbers if hook in HOOKS else None)

    def attach(self, hook: str) -> None:
        """Attach one."""
        if self.dispatched:
            self._machine.fill(hook, self._number, self._programs[HOOKS[hook]].fd)
        else:
            self._links[hook] = self.hang(hook, HOOKS[hook])

    def claim(self, pid: int) -> None:
        """Have the calls of a process come to the program.

        Raises:
            Taken: they go to another trace of the same dispatcher.
        """
        if self._claims and not self._nested:  # elsewhere it is known when it is first seen
            self._machine.claim(pid, self._number)

    def attach_also(self, *, waits: bool) -> None:
        """Attach those that not every kernel has; those for waits only if they are wanted."""
        for hook, function in ALSO.items():
            watched = hook == RING and self._held  # by who holds the dispatcher
            if function in self._programs and (waits or hook not in WAITS) and not watched:
                self._links[hook] = self.hang(hook, function)

    @property
    def watches_ring(self) -> bool:
        """Whether operations of io_uring can be seen."""
        return ALSO[RING] in self._programs

    @property
    def watches(self) -> frozenset[str]:
        """What of `MEASURED` takes hooks that are there."""
        hooks = {"waits": "sched_switch", "locks": "contention_begin"}
        return frozenset(what for what, hook in hooks.items() if WAITS[hook] in self._programs)

    def detach(self) -> None:
        """Take all away, the last one first. Idempotent."""
        while self._links:
            os.close(self._links.popitem()[1])
        if self.dispatched:
            self._machine.leave(self._number)
        self._claims = False
        if self._held and self._seat is not None:
            while self._held:
                os.close(self._held.pop())
            self._seat.end()

    def misses(self) -> int:
        """Return how often the kernel skipped what hangs at `HOOKS` because it was already running on that CPU."""
        own = [self._programs[function].fd for function in HOOKS.values()]
        return sum(map(misses_of, (*own, *(self._seat.programs if self._seat is not None else ()))))

    def close(self) -> None:
        """Give back what belongs to nobody else; what is loaded does not."""
        self._machine.close()


def attach_link(hook: str, program: Program, numbers: Mapping[str, int] | None) -> int:
    """Attach a program to a hook; return the descriptor that holds it there.

    Args:
        hook: one of `HOOKS`.
        program: it.
        numbers: of the trace events, by hook; None for raw tracepoints.
    """
    return attach_raw(hook, program) if numbers is None else attach_perf(numbers[hook], program)


def event_numbers() -> dict[str, int] | None:
    """Return the numbers of the trace events, by hook; None where this process may not know them, or not use them.

    They are those remembered, or read in tracefs, where it is mounted and readable; else in one of our own, which is
    mounted nowhere (that takes CAP_SYS_ADMIN).
    """
    numbers = dict(_remembered) or _read_numbers()
    return numbers if numbers and opens_perf(next(iter(numbers.values()))) else None


def _read_numbers() -> dict[str, int] | None:
    for place in _PLACES:
        numbers = _numbers_below(place)
        if numbers is not None:
            return numbers
    mounted = _own_tracefs()
    if mounted is None:
        return None
    try:
        return _numbers_below(f"/proc/self/fd/{mounted}")
    finally:
        os.close(mounted)


def remember(numbers: Mapping[str, int]) -> None:
    """Keep the numbers of the trace events in this process, for it and what it forks: they hold until the next boot."""
    _remembered.update(numbers)


def numbers_in(files: Mapping[str, Path]) -> dict[str, int] | None:
    """Return the numbers that stand in files, by hook; None where one has none."""
    try:
        numbers = {hook: int(path.read_text()) for hook, path in files.items()}
    except (OSError, ValueError):
        return None
    return numbers if all(number > 0 for number in numbers.values()) else None


def _numbers_below(place: str) -> dict[str, int] | None:
    return numbers_in({hook: Path(place, "events", event, "id") for hook, event in EVENTS.items()})


def _own_tracefs() -> int | None:
    libc = ctypes.CDLL(None, use_errno=True)
    context = libc.syscall(_FSOPEN, b"tracefs", 1)  # FSOPEN_CLOEXEC
    if context < 0:
        return None
    try:
        if libc.syscall(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0) < 0:
            return None
        mounted = libc.syscall(_FSMOUNT, context, 1, 0)  # FSMOUNT_CLOEXEC
        return mounted if mounted >= 0 else None
    finally:
        os.close(context)

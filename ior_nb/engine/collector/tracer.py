"""The loaded program as an object: scope, probes, attach and detach, totals. One thread uses it."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.program import (
    CONFIG,
    HOOKS,
    INITIAL_PID_NAMESPACE,
    MODES,
    TARGET_AT_EXEC,
    TARGET_IN,
    all_specs,
    filter_row,
    load,
    possible_cpus,
)
from ior_nb.engine.collector.ring import PAGE, Ring

_NOEXIST: Final = 1  # BPF_NOEXIST
_BPF: Final = 321  # the bpf system call
_OBJ_GET_INFO_BY_FD: Final = 15
_RECURSION_MISSES_AT: Final = 208  # struct bpf_prog_info
_EXITING: Final = 0x4  # PF_EXITING: set before the hook on_task_exit runs


def parents() -> dict[int, int]:
    """Return pid -> parent's pid of every process in /proc."""
    found: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{entry.name}/stat").read_bytes()
                found[int(entry.name)] = int(stat[stat.rindex(b")") + 2 :].split()[1])
    return found


def descendants(roots: Iterable[int]) -> dict[int, int]:
    """Return pid -> parent's pid of all living descendants of `roots`, themselves left out."""
    tree = parents()
    children: dict[int, list[int]] = {}
    for pid, parent in tree.items():
        children.setdefault(parent, []).append(pid)
    found: dict[int, int] = {}
    pending = list(roots)
    while pending:
        for child in children.get(pending.pop(), ()):
            if child not in found:
                found[child] = tree[child]
                pending.append(child)
    return found


def threads(pid: int) -> list[int]:
    """Return the thread ids of a process, none when it is gone."""
    try:
        return [int(t.name) for t in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def living(pid: int) -> set[int]:
    """Return the thread ids of a process without those that are ending, none when it is gone."""
    found: set[int] = set()
    for tid in threads(pid):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/task/{tid}/stat").read_bytes()
            if not int(stat[stat.rindex(b")") + 2 :].split()[6]) & _EXITING:
                found.add(tid)
    return found


class Tracer:
    """Everything that touches the kernel."""

    def __init__(self, *, event_bytes: int, name_bytes: int) -> None:
        self._namespace = Path("/proc/self/ns/pid").stat().st_ino
        self._bpf = load(event_pages=event_bytes // PAGE, name_pages=name_bytes // PAGE, namespace=self._namespace)
        self._lib = sys.modules["bcc.libbcc"].lib
        self.cpus = possible_cpus()
        self.events = Ring(self._fd("events"), event_bytes, wire.HEADER_BYTES + wire.EVENT_BYTES)
        self.names = Ring(self._fd("names"), name_bytes, wire.HEADER_BYTES + wire.CHUNK_BYTES)
        self._counter_bytes = 8 * (4 + wire.BUCKETS) * wire.SPECS
        self._counters = self._map("counters", self._counter_bytes * self.cpus)
        self._totals = self._map("totals", 8 * wire.TOTALS * self.cpus)
        self._scope_gen = 0
        self._filter = 0
        self._generation = 0
        self._specs: dict[int, bytes] = {}
        self._attached: list[str] = []
        self._misses_before = 0

    def _fd(self, table: str) -> int:
        return int(self._bpf[table].map_fd)

    def _map(self, table: str, size: int) -> mmap.mmap:
        return mmap.mmap(self._fd(table), (size + PAGE - 1) // PAGE * PAGE)

    # ---- start and stop

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Set scope and probes, attach. See `engine.bcc` for the request.

        Returns:
            {"time": boot clock when the last hook was in place, "running": {pid: ppid} of the targets' descendants
            that were alive, "roots": {pid: ppid} of the targets themselves}.
        """
        self.detach()
        self._clear()
        scope = request["scope"]
        self._mode = scope["mode"]
        self.set_specs(request["enabled"], {int(n): r for n, r in request["rates"].items()})
        ignored = self._bpf["ignored"]
        for kind, numbers in ((0, request["ignore_tids"]), (1, [*request["ignore_pids"], os.getpid()])):
            for number in numbers:
                ignored[ctypes.c_uint64(kind << 32 | number)] = ctypes.c_uint8(1)
        self._scope_gen = (self._scope_gen // wire.SCOPE_ROUNDS + 1) * wire.SCOPE_ROUNDS
        self._scope = scope
        self._write_filter(request.get("filter") or {}, request.get("generation", 0))
        self._configure(self._mode)
        for tid in request.get("hurry", ()):  # the reader: on busy processors it would fall behind
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, tid, -15)
        self._misses_before = self._misses()
        try:
            running = self._attach(scope)
        except BaseException:
            self.detach()
            raise
        tree = parents()
        roots = {pid: tree.get(pid, 0) for pid in scope.get("pids", ())}
        return {"time": time.clock_gettime_ns(time.CLOCK_BOOTTIME), "running": running, "roots": roots}

    def _attach(self, scope: dict[str, Any]) -> dict[int, int]:
        running: dict[int, int] = {}
        for tracepoint, function in HOOKS.items():
            if tracepoint == "sys_enter":  # everything else is in place: now the targets, then the calls
                running = self._seed(scope)
            self._bpf.attach_raw_tracepoint(tracepoint, function)
            self._attached.append(tracepoint)
        return running

    def detach(self) -> None:
        """Take the hooks away; calls that are open now stay in the slots. Idempotent."""
        for tracepoint in reversed(self._attached):
            self._bpf.detach_raw_tracepoint(tracepoint)
        self._attached.clear()

    def close(self) -> None:
        """Detach and unload. Idempotent."""
        self.detach()
        self.events.close()
        self.names.close()
        self._bpf.cleanup()

    def _clear(self) -> None:
        for name in ("slots", "targets", "wanted", "ignored", "changers"):
            self._bpf[name].clear()
        self._counters[:] = bytes(len(self._counters))
        self._totals[:] = bytes(len(self._totals))
        live = self._bpf["live"]
        value = live[0]
        value.tree_generation += 1  # what was renamed while nothing was attached
        value.changing = value.pending = 0
        live[ctypes.c_int(0)] = value

    def _configure(self, mode: str) -> None:
        scope = self._scope
        raw = CONFIG.pack(
            scope.get("cgroup", 0),
            MODES[mode],
            scope.get("tid", 0),
            scope.get("uid", 0),
            scope.get("follow", True),
            self._scope_gen,
            self._filter,
        )
        table = self._bpf["config"]
        table[ctypes.c_int(0)] = table.Leaf.from_buffer_copy(raw)

    def set_specs(self, enabled: Iterable[int], rates: dict[int, int]) -> None:
        """Write every row of the syscall table: which are on, and one in how many makes a record."""
        table = self._bpf["specs"]
        for number, row in all_specs(enabled, rates):
            if self._specs.get(number) != row:
                table[ctypes.c_int(number)] = table.Leaf.from_buffer_copy(row)
                self._specs[number] = row

    def set_filter(self, wanted: dict[str, Any], generation: int) -> None:
        """Judge calls that end from now on by another filter; their records carry `generation`."""
        self._write_filter(wanted, generation)
        self._configure(self._mode)

    def _write_filter(self, wanted: dict[str, Any], generation: int) -> None:
        self._filter = (self._filter + 1) % wire.FILTERS
        self._generation = generation & 0xFF
        table = self._bpf["filters"]
        table[ctypes.c_int(self._filter)] = table.Leaf.from_buffer_copy(filter_row(wanted, generation))

    def ignore(self, tids: Iterable[int]) -> None:
        """Leave threads out from now on, those already known included.

        No slot is written: the kernel changes it at the same time, and one of the two would be lost. Each thread looks
        into `ignored` again at its next call, because the number of the scope has changed.
        """
        ignored = self._bpf["ignored"]
        for tid in tids:
            ignored[ctypes.c_uint64(tid)] = ctypes.c_uint8(1)
        self._scope_gen += 1
        self._configure(self._mode)

    def _seed(self, scope: dict[str, Any]) -> dict[int, int]:
        if scope["mode"] != "pids":
            return {}
        roots = scope["pids"]
        state = TARGET_AT_EXEC if scope.get("at_exec") else TARGET_IN
        for pid in roots:
            self._add_target(pid, state)
        running: dict[int, int] = {}
        met = {os.getpid()}
        if scope.get("follow", True):
            while new := {pid: up for pid, up in descendants(roots).items() if pid not in met}:
                met |= new.keys()
                running |= {pid: up for pid, up in new.items() if self._add_target(pid, TARGET_IN)}
        return running

    def _add_target(self, pid: int, state: int) -> bool:
        """Put a process in scope; tell whether it lives.

        What ended before it was in the tables is taken out again: its exit was no news to the kernel program, and in
        its place whoever is given the number next would be traced.
        """
        tids = threads(pid)
        self._insert_target(pid, state, tids)
        alive = living(pid)
        if not alive:
            self._remove_target(pid)
        if self._namespace == INITIAL_PID_NAMESPACE:  # elsewhere slots have other numbers, and none has been made
            for tid in set(tids) - alive:
                self._delete("slots", ctypes.c_uint32(tid))
        return bool(alive)

    def _remove_target(self, pid: int) -> None:
        if self._namespace == INITIAL_PID_NAMESPACE:
            self._delete("targets", ctypes.c_uint32(pid))
        elif self._delete("wanted", ctypes.c_uint32(pid)):
            self._change_pending(-1)

    def _change_pending(self, by: int) -> None:
        live = self._bpf["live"]
        value = live[0]
        value.pending += by
        live[ctypes.c_int(0)] = value

    def _insert_target(self, pid: int, state: int, tids: Iterable[int]) -> None:
        if self._namespace != INITIAL_PID_NAMESPACE:
            self._bpf["wanted"][ctypes.c_uint32(pid)] = ctypes.c_uint8(state)
            self._change_pending(1)
            return
        self._bpf["targets"][ctypes.c_uint32(pid)] = ctypes.c_uint8(state)
        if state == TARGET_AT_EXEC or self._scope.get("tid"):
            return
        # Slots for its threads, so that the end of a call begun before is counted as one without a beginning.
        slots, ignored = self._bpf["slots"], self._bpf["ignored"]
        for tid in tids:
            slot = slots.Leaf()
            slot.pid, slot.tid, slot.tgid, slot.scope_gen = pid, tid, pid, self._scope_gen
            slot.ignored = any(ctypes.c_uint64(k) in ignored for k in (tid, 1 << 32 | pid))
            self._update_new("slots", ctypes.c_uint32(tid), slot)

    def _update_new(self, table: str, key: Any, value: Any) -> None:
        self._lib.bpf_update_elem(self._fd(table), ctypes.byref(key), ctypes.byref(value), _NOEXIST)

    def _delete(self, table: str, key: Any) -> bool:
        """Delete an entry; tell whether it was there."""
        return int(self._lib.bpf_delete_elem(self._fd(table), ctypes.byref(key))) == 0

    # ---- what is counted

    def totals(self) -> dict[str, int]:
        """Return the kernel program's totals since `start`, summed over CPUs."""
        values = struct.unpack_from(f"<{wire.TOTALS * self.cpus}Q", self._totals)
        totals = {name: sum(values[i :: wire.TOTALS]) for i, name in enumerate(wire.TOTAL_NAMES)}
        totals["skipped_runs"] = self._misses() - self._misses_before
        return totals

    def counters(self) -> bytes:
        """Return the raw counters of every CPU: u64[cpus][512][calls, errors, bytes, latency, 48 buckets]."""
        return self._counters[: self._counter_bytes * self.cpus]

    def in_flight(self) -> bytes:
        """Return records of the calls that are open; call it detached, for then nothing changes any more."""
        rows: list[bytes] = []
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        header = struct.pack("<II", wire.EVENT_BYTES, 0)
        for slot in self._bpf["slots"].values():
            if slot.state != 1 or slot.flags & wire.EF_SAMPLED_OUT:
                continue
            r = slot.regs
            first = bool(slot.flags & wire.EF_FIRST)
            rows.append(
                header
                + struct.pack(
                    "<QQq6QQqq7IHBB",
                    slot.start,
                    now - slot.start,
                    0,
                    *(r[7], r[6], r[5], r[0], r[2], r[1]),
                    0 if first else slot.start - slot.last_end,
                    ctypes.c_int64(slot.pos).value,
                    ctypes.c_int64(slot.extra).value,
                    *(slot.files[0], slot.files[1], slot.names, slot.comm_id, 0, slot.pid, slot.tid),
                    *(slot.nr, slot.flags | wire.EF_IN_FLIGHT, self._generation),
                )
            )
        return b"".join(rows)

    def open_calls(self) -> int:
        """Return how many calls are open, sampled ones included; call it detached."""
        return sum(slot.state == 1 for slot in self._bpf["slots"].values())

    def _misses(self) -> int:
        """Return how often the kernel skipped one of our programs because it was already running on that CPU."""
        libc = ctypes.CDLL(None, use_errno=True)
        total = 0
        for function in self._bpf.funcs.values():
            info = ctypes.create_string_buffer(256)
            attributes = struct.pack("<IIQ", function.fd, len(info), ctypes.addressof(info)).ljust(128, b"\0")
            if libc.syscall(_BPF, _OBJ_GET_INFO_BY_FD, attributes, len(attributes)) == 0:
                total += struct.unpack_from("<Q", info, _RECURSION_MISSES_AT)[0]
        return total

"""The loaded program as an object: scope, probes, attach and detach, totals. One thread uses it."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.bpf import UPDATE_NOEXIST, Refused, condensed
from ior_nb.engine.collector.filters import filter_row
from ior_nb.engine.collector.hooks import HOOKS
from ior_nb.engine.collector.loader import Loading, load_program
from ior_nb.engine.collector.machine import INITIAL_PID_NAMESPACE, Seat, Taken, namespace_here
from ior_nb.engine.collector.pages import PAGE_FAULT, Pages
from ior_nb.engine.collector.processes import ROOT, Viewer, descendants, living, parents, threads
from ior_nb.engine.collector.program import (
    CONFIG,
    HEARD_IDS,
    KNOWN_BYTES,
    KNOWN_ID,
    LIVE,
    MODES,
    STATES,
    TARGET_AT_EXEC,
    TARGET_IN,
    Slot,
    all_specs,
)
from ior_nb.engine.collector.ring import PAGE, Ring
from ior_nb.engine.collector.sizes import possible_cpus
from ior_nb.engine.collector.stacks import Stacks

_Part = TypeVar("_Part", Pages, Stacks)


class Tracer:
    """Everything that touches the kernel."""

    def __init__(
        self,
        *,
        event_bytes: int,
        name_bytes: int,
        way: str = "auto",
        viewer: Viewer = ROOT,
        seat: Seat | None = None,
    ) -> None:
        self._viewer = viewer
        self._hidden = 0
        self._namespace = namespace_here()
        self.loading = load_program(event_bytes=event_bytes, name_bytes=name_bytes, way=way, seat=seat)
        self._maps = self.loading.loaded.maps
        self._hooks = self.loading.hooks
        self.cpus = possible_cpus()
        self.events = Ring(self._fd("events"), event_bytes, wire.HEADER_BYTES + wire.EVENT_BYTES)
        self.names = Ring(self._fd("names"), name_bytes, wire.HEADER_BYTES + wire.CHUNK_BYTES)
        self._counter_bytes = 8 * (5 + wire.BUCKETS) * wire.SPECS
        self._counters = self._map("counters", self._counter_bytes * self.cpus)
        self._totals = self._map("totals", 8 * wire.TOTALS * self.cpus)
        self._mode, self._scope = "none", dict[str, Any]()
        self._halfway = True
        self._scope_gen = 0
        self._owner = 0
        self._filter = 0
        self._generation = 0
        self._wanted = 0
        self._specs: dict[int, bytes] = {}
        self.stacks: Stacks | None = None
        """What reads Python stacks, once it is loaded."""
        self.no_stacks = ""
        """Why it cannot be."""
        self.pages: Pages | None = None
        """What sees faults on mapped files, once it is loaded."""
        self.no_pages = ""
        """Why it cannot be."""
        self._attached = False
        self._late = 0  # faults that became rows after the end
        self._misses_before = 0

    def doing(self) -> tuple[int, int]:
        """Return descriptor and size of the map in which the owner's threads say whose work they do, a byte each."""
        spec = self._maps["doing"].spec
        return self._maps["doing"].fd, spec.entries * spec.value_bytes

    def _fd(self, table: str) -> int:
        return self._maps[table].fd

    def _map(self, table: str, size: int) -> mmap.mmap:
        return mmap.mmap(self._fd(table), (size + PAGE - 1) // PAGE * PAGE)

    # ---- start and stop

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Set scope and probes, attach. See `engine.bcc` for the request.

        Returns:
            {"time": boot clock when the last hook was in place, "running": {pid: ppid} of the targets' descendants
            that were alive, "roots": {pid: ppid} of the targets themselves, "no_stacks": why there are no Python
            stacks though they are asked for, "no_pages": why there are no faults though they are asked for}.
        """
        try:
            return self._start(request, processes=request["scope"]["mode"] == "pids")
        except Taken:  # one of them is in another trace of this dispatcher: beside it, then
            return self._start(request, processes=False)

    def _start(self, request: dict[str, Any], *, processes: bool) -> dict[str, Any]:
        self.detach()
        self._clear()
        scope = request["scope"]
        self._hooks.begin(processes=processes, follow=scope.get("follow", True))
        self._mode = scope["mode"]
        if PAGE_FAULT in request["enabled"]:
            self.load_pages()
        elif self.pages is not None:
            self.pages.away()
        self.set_specs(request["enabled"], {int(n): r for n, r in request["rates"].items()})
        me = [] if self._viewer.namespace else [os.getpid()]
        for kind, numbers in ((0, request["ignore_tids"]), (1, [*request["ignore_pids"], *me])):
            for number in numbers:
                self._maps["ignored"].set(_key64(kind << 32 | number), _ONE)
        self._scope_gen += 1
        self._owner = request.get("owner", 0)
        self._scope = scope
        self._write_filter(request.get("filter") or {}, request.get("generation", 0))
        self._configure()
        for tid in request.get("hurry", ()):  # the reader: on busy processors it would fall behind
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, tid, -15)
        self._misses_before = self._hooks.misses()
        frames = min(request.get("stacks", 0), wire.FRAMES)
        if frames:
            self.load_stacks()
        elif self.stacks is not None:
            self.stacks.away()
        try:
            counter = tuple(request.get("counter") or (0, 0))
            self._hooks.attach_also(waits=bool(request.get("waits")))
            running = self._attach(scope, frames, request.get("programs") or (), counter)
            self._halfway = False
            self._configure()
        except BaseException:
            self.detach()
            raise
        tree = parents()
        roots = {pid: tree.get(pid, 0) for pid in scope.get("pids", ())}
        if self._viewer.depth:
            running, roots = (
                {self._viewer.number(a): self._viewer.number(b) for a, b in each.items()} for each in (running, roots)
            )
        started = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return {
            "time": started,
            "running": running,
            "roots": roots,
            "no_stacks": self.no_stacks if frames else "",
            "no_pages": self.no_pages if PAGE_FAULT in request["enabled"] else "",
        }

    def load_pages(self) -> None:
        """Load what sees faults on mapped files; where that is not possible `no_pages` says why."""
        if self.pages is None and not self.no_pages:
            self.pages, self.no_pages = _part(Pages, self.loading, "sees")

    def load_stacks(self) -> None:
        """Load what reads Python stacks; where that is not possible `no_stacks` says why."""
        if self.stacks is None and not self.no_stacks:
            self.stacks, self.no_stacks = _part(Stacks, self.loading, "reads")

    def _attach(
        self, scope: dict[str, Any], frames: int, programs: Iterable[str], counter: tuple[int, ...]
    ) -> dict[int, int]:
        running: dict[int, int] = {}
        for hook in HOOKS:
            if hook == "sys_enter":  # everything else is in place: now the targets, then the calls
                if frames and self.stacks is not None:
                    self.stacks.start(frames, programs)
                running = self._seed(scope)
                if frames and self.stacks is not None:
                    for pid in [*scope.get("pids", ()), *running] if scope["mode"] == "pids" else parents():
                        self.stacks.learn(pid, counter=counter[1] if pid == counter[0] else 0)
            self._hooks.attach(hook)
        if self.pages is not None:
            self.pages.start()
        self._attached = True
        self._follow_faults()
        return running

    def _follow_faults(self) -> None:
        wanted = self._attached and self._specs[PAGE_FAULT][_ENABLED] != 0
        if wanted:
            self.load_pages()
        if self.pages is not None:
            self.pages.follow(wanted=wanted)

    def detach(self) -> None:
        """Take the hooks away; calls that are open now stay in the slots. Idempotent."""
        self._halfway = True  # until all hooks are in place again
        self._configure()
        self._hooks.detach()
        self._attached = False
        if self.pages is not None:
            self.pages.stop()
        if self.stacks is not None:
            self.stacks.stop()
        if self.loading.way != "tracepoint" and self._hooks.misses():
            self.loading.preempted()

    def close(self) -> None:
        """Detach and unload. Idempotent."""
        self.detach()
        self.events.close()
        self.names.close()
        if self.stacks is not None:
            self.stacks.close()
        self._hooks.close()
        self.loading.loaded.close()

    def _clear(self) -> None:
        for name in ("slots", "targets", "wanted", "ignored"):
            self._maps[name].clear()
        self._counters[:] = bytes(len(self._counters))
        self._totals[:] = bytes(len(self._totals))
        self._wanted = self._hidden = self._late = 0
        self._maps["live"].set(_FIRST, bytes(LIVE.size))

    def _configure(self) -> None:
        scope = self._scope
        raw = CONFIG.pack(
            scope.get("cgroup", 0),
            self._viewer.rights,
            self._viewer.uid,
            MODES[self._mode],
            scope.get("tid", 0),
            scope.get("uid", 0),
            scope.get("follow", True),
            self._scope_gen,
            self._filter,
            self._wanted,
            self._viewer.namespace or self._namespace,
            self._owner,
            self._halfway,
            self._viewer.guarded,
        )
        self._maps["config"].set(_FIRST, raw)

    def set_specs(self, enabled: Iterable[int], rates: dict[int, int]) -> None:
        """Write every row of the syscall table: which are on, and one in how many makes a record."""
        for number, row in all_specs(enabled, rates, watches_ring=self._hooks.watches_ring):
            if self._specs.get(number) != row:
                self._maps["specs"].set(_key(number), row)
                self._specs[number] = row
        self._follow_faults()

    def set_filter(self, wanted: dict[str, Any], generation: int) -> None:
        """Judge calls that end from now on by another filter; their records carry `generation`."""
        self._write_filter(wanted, generation)
        self._configure()

    def _write_filter(self, wanted: dict[str, Any], generation: int) -> None:
        self._filter = (self._filter + 1) % wire.FILTERS
        self._generation = generation & 0xFF
        self._maps["filters"].set(_key(self._filter), filter_row(wanted, generation))

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
                mine = {pid: up for pid, up in new.items() if self._viewer.may_see(pid)}
                self._hidden += len(new) - len(mine)
                running |= {pid: up for pid, up in mine.items() if self._add_target(pid, TARGET_IN)}
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
                self._maps["slots"].delete(_key(tid))
        return bool(alive)

    def _remove_target(self, pid: int) -> None:
        if self._namespace == INITIAL_PID_NAMESPACE:
            self._maps["targets"].delete(_key(pid))
        elif self._maps["wanted"].delete(_key(pid)):
            self._want(-1)

    def _want(self, by: int) -> None:
        """The kernel program looks for targets by their numbers in this namespace until it has met as many."""
        self._wanted += by
        self._configure()

    def _insert_target(self, pid: int, state: int, tids: Iterable[int]) -> None:
        self._hooks.claim(pid)
        if self._namespace != INITIAL_PID_NAMESPACE:
            self._maps["wanted"].set(_key(pid), bytes([state]))
            self._want(1)
            return
        self._maps["targets"].set(_key(pid), bytes([state]))
        if state == TARGET_AT_EXEC:
            return
        # Slots for its threads, so that the end of a call begun before is known as one.
        ignored, shown = self._maps["ignored"], self._viewer.number(pid)
        for tid in tids:
            number = self._viewer.number(pid, tid)
            slot = Slot(pid=shown, tid=number, tgid=pid, scope_gen=self._scope_gen, state=STATES["BEFORE"])
            others = self._scope.get("tid") not in (0, None, number)
            slot.ignored = others or any(ignored.get(_key64(k)) for k in (number, 1 << 32 | shown))
            slot.tells = shown == self._owner
            self._maps["slots"].set(_key(tid), bytes(slot), UPDATE_NOEXIST)

    # ---- what is counted

    def totals(self) -> dict[str, int]:
        """Return the kernel program's totals since `start`, summed over CPUs."""
        values = struct.unpack_from(f"<{wire.TOTALS * self.cpus}Q", self._totals)
        totals = {name: sum(values[i :: wire.TOTALS]) for i, name in enumerate(wire.TOTAL_NAMES)}
        totals["hidden"] += self._hidden
        totals["seen"] += self._late
        totals["emitted"] += self._late
        totals["skipped_runs"] = self._hooks.misses() - self._misses_before
        return totals

    def counters(self) -> bytes:
        """Return the raw counters of every CPU: u64[cpus][512][calls, errors, probes, bytes, latency, 48 buckets]."""
        return self._counters[: self._counter_bytes * self.cpus]

    def in_flight(self) -> bytes:
        """Return records of the calls that are open; call it detached, for then nothing changes any more.

        And of the faults that are: those have ended, but nobody has told.
        """
        rows: list[bytes] = []
        for record, size in self.pages.open(self._generation) if self.pages is not None else ():
            rows.append(record)
            self._late += 1
            counter = self._counter_bytes // wire.SPECS * PAGE_FAULT
            calls, errors, probes, moved = struct.unpack_from("<4Q", self._counters, counter)
            struct.pack_into("<4Q", self._counters, counter, calls + 1, errors, probes, moved + size)
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        waits = dict.fromkeys(("fetched", "run_delay", "wait_device", "wait_lock", "wait_other"), wire.PACKED_UNKNOWN)
        for slot in self._open_slots():
            if slot.flags & wire.EF_SAMPLED_OUT:
                continue
            first = bool(slot.flags & wire.EF_FIRST)
            rows.append(
                wire.event_record(
                    *slot.arguments(),
                    time=slot.start,
                    latency=now - slot.start,
                    gap=0 if first else slot.start - slot.last_end,
                    pos=slot.pos,
                    extra=slot.extra,
                    file=slot.files[0],
                    file2=slot.files[1],
                    names=slot.names,
                    comm=slot.comm_id,
                    stack=slot.stack,
                    pid=slot.pid,
                    tid=slot.tid,
                    nr=slot.nr,
                    flags=slot.flags | wire.EF_IN_FLIGHT,
                    generation=self._generation,
                    **waits,
                )
            )
        return b"".join(rows)

    def alive(self) -> bytes:
        """Return the ids of names that records may still have: the payload of an ALIVE frame, once the rings are empty.

        Ids of files go from the map to the slots and not back, so the map is looked at first.
        """
        files = b"".join(_words(piece, KNOWN_BYTES, KNOWN_ID) for piece in self._maps["files"].pieces())
        files += b"".join(_words(piece, 8, 0) for piece in self._maps["voices"].pieces())
        comms = b""
        for piece in self._maps["slots"].pieces():
            size = ctypes.sizeof(Slot)
            heard = (at + Slot.heard.offset for at in HEARD_IDS)
            for at in (KNOWN_ID + Slot.last.offset, *heard, *range(Slot.files.offset, Slot.names.offset, 4)):
                files += _words(piece, size, at)
            comms += _words(piece, size, Slot.comm_id.offset)
        if self.pages is not None:
            files += self.pages.files()
        return struct.pack("<I", len(files) // 4) + files + comms

    def open_calls(self) -> int:
        """Return how many calls are open, sampled ones included; call it detached."""
        return len(self._open_slots())

    def _open_slots(self) -> list[Slot]:
        slots = (Slot.from_buffer_copy(value) for value in self._maps["slots"].values())
        return [slot for slot in slots if slot.state == STATES["OPEN"]]


_ENABLED: Final = 4  # its byte in a row of `specs`
_ONE: Final = b"\1"
_FIRST: Final = bytes(4)


def _part(load: Callable[[Loading], _Part], loading: Loading, does: str) -> tuple[_Part | None, str]:
    """Load a part of the program; return it, or why it cannot be: `does` says what it does with what it is for."""
    try:
        return load(loading), ""
    except Refused as error:
        return None, f"the kernel refuses the program that {does} them: {condensed(error.log) or error.strerror}"
    except LookupError as error:
        return None, str(error.args[0])


def _words(values: memoryview, stride: int, at: int) -> bytes:
    """Return the 32-bit word at the same place of each value."""
    return values.cast("I")[at // 4 :: stride // 4].tobytes()


def _key(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _key64(number: int) -> bytes:
    return number.to_bytes(8, "little")

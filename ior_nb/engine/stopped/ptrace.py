"""The tracer of our own, by ptrace(2): for machines without strace.

One thread holds everybody, for the kernel lets only the thread that took a program hold it. It runs Python for every
stop, as strace runs C; the stop itself, two changes of process, costs more than either.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import queue
import signal
import struct
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.__main__ import Refused
from ior_nb.engine.collector.processes import threads
from ior_nb.engine.stopped.memory import file_behind, memory, string
from ior_nb.engine.stopped.opened import PLANS, Opened, columns
from ior_nb.engine.stopped.source import Birth, Block, Change
from ior_nb.engine.stopped.tasks import CLONE_PARENT, CLONE_THREAD, NAME_BYTES, SET_NAME, of_status, tracer_of, why_not
from ior_nb.engine.stopped.words import socket_word, unescaped
from ior_nb.syscalls.machine import NUMBERS

__all__ = ["Ptrace"]

# include/uapi/linux/ptrace.h
_DETACH, _SYSCALL, _EVENT_MESSAGE, _SEIZE = 17, 24, 0x4201, 0x4206
_INTERRUPT, _LISTEN, _INFO = 0x4207, 0x4208, 0x420E
_OPTIONS: Final = 1 | 2 | 4 | 8 | 16  # system calls told apart, forks, vforks, clones and execs told
_EVENT_FORK, _EVENT_VFORK, _EVENT_CLONE, _EVENT_EXEC, _EVENT_STOP = 1, 2, 3, 4, 128
_WALL_MINE: Final = 0x40000000 | 0x20000000  # __WALL, __WNOTHREAD
_SYSCALL_STOP: Final = signal.SIGTRAP | 0x80
_STOPS: Final = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_ENTRY, _EXIT = 1, 2
_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}.get(os.uname().machine, 0)
_MOST: Final = 1 << 22
_PATIENCE_S: Final = 20.0
_WORDS: Final = struct.Struct("<B3xIQQQ6Q")  # op, arch, ip, sp, number, arguments
_RESULT: Final = struct.Struct("<B3xIQQqB")

_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_waitpid = _libc.waitpid
_waitpid.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_int]


class Ptrace:
    """Holds programs, and notes what they call."""

    about = "ptrace"

    def __init__(self) -> None:
        self._memory = os.memfd_create("ior-nb doing")
        os.ftruncate(self._memory, _MOST)
        self._doing = mmap.mmap(self._memory, _MOST, mmap.MAP_SHARED, mmap.PROT_READ)
        self._held: dict[int, bool] = {}  # task -> whether it stops next at the end of a call
        self._early: set[int] = set()  # those of them that nobody had told of
        self._open: dict[int, Opened] = {}
        self._rows: list[tuple[Any, ...]] = []
        self._taken = 0  # rows of earlier blocks
        self._made = 0
        self._notes: list[tuple[str, int, Any]] = []  # what, how many rows were made before, more
        self._wanted: frozenset[int] = frozenset()
        self._letting_go = False
        self.died = ""
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._sockets: dict[bytes, int] = {}
        signal.signal(signal.SIGUSR1, lambda *_: None)
        self._thread = threading.Thread(target=self._run, daemon=True, name="ior-ptrace")
        self._thread.start()

    @property
    def doing(self) -> tuple[int, int]:
        """Whose work each thread does: looked at when it begins a call."""
        return self._memory, _MOST

    @property
    def descriptors(self) -> list[int]:
        """Nothing of it becomes readable."""
        return []

    def holds(self, pid: int) -> bool:
        """Tell whether it holds a process."""
        return tracer_of(pid) == os.getpid() or pid in self._held

    # ---- for the helper

    def attach(self, pids: list[int], calls: frozenset[int]) -> None:
        """Take these processes."""
        self._wanted = calls
        self._letting_go = False
        failures: list[int] = []
        done = threading.Event()

        def take() -> None:
            failures.extend(map(self._take_process, pids))
            done.set()

        self._do(take, done)
        if failures[0]:
            reason = why_not(pids[0]) or os.strerror(failures[0])
            kind = "PermissionDenied" if failures[0] in (errno.EPERM, errno.EACCES) else "SourceUnavailable"
            self._let_go()
            raise Refused(kind, f"ptrace cannot hold process {pids[0]}: {reason}")

    def gather(self) -> int:
        """Rows are made as they come."""
        return 256 * len(self._rows)

    def take(self) -> Block:
        """Return what has happened. A call is noted before the program goes on."""
        count, first = len(self._rows), self._taken
        rows = self._rows[:count]
        known = bisect_right(self._notes, first + count, key=itemgetter(1))  # the thread goes on meanwhile
        notes = self._notes[:known]
        del self._rows[:count], self._notes[:known]
        self._taken += count
        block = Block(columns(rows))
        for kind, made, value in notes:
            row = max(made - first, 0)
            match kind:
                case "born":
                    child, birth = value
                    block.born[child] = birth._replace(row=row)
                case "ended":
                    block.ended.append(value)
                case "compat" | "unknown" | "before":
                    setattr(block, kind, getattr(block, kind) + 1)
                case "socket":
                    block.sockets[value[0]] = value[1]
                case _:
                    getattr(block, kind).append(Change(row, *value))
        return block

    def detach(self) -> Block:
        """Let everybody go."""
        self._let_go()
        return self.take()

    def unended(self) -> Block:
        """Return the calls that had not ended, after `detach`."""
        rows = [opened.row(tid, 0, 0, wire.EF_IN_FLIGHT) for tid, opened in self._open.items() if opened.time]
        self._open.clear()
        self._taken = self._made = 0
        return Block(columns(rows))

    def _let_go(self) -> None:
        done = threading.Event()

        def ask() -> None:
            self._letting_go = True
            for tid in list(self._held):
                self._call(_INTERRUPT, tid)
            done.set()

        self._do(ask, done)
        deadline = time.monotonic() + _PATIENCE_S
        while self._held and time.monotonic() < deadline:
            self._wake()
            time.sleep(0.002)
        self._letting_go = False

    def _do(self, job: Callable[[], None], done: threading.Event) -> None:
        self._jobs.put(job)
        while not done.wait(0.01):
            if not self._thread.is_alive():
                raise Refused("SourceError", self.died)
            self._wake()

    def _wake(self) -> None:
        if self._thread.ident is not None and self._thread.is_alive():
            signal.pthread_kill(self._thread.ident, signal.SIGUSR1)

    # ---- in the thread that holds them

    def _run(self) -> None:
        try:
            self._hold()
        except Exception as error:  # it must not end in silence; the kernel lets everybody go with the thread
            self.died = f"the tracer failed: {type(error).__name__}: {error}"

    def _hold(self) -> None:
        status = ctypes.c_int()
        while True:
            try:
                while True:
                    job = self._jobs.get(block=not self._held)
                    job()
            except queue.Empty:
                pass
            tid = _waitpid(-1, ctypes.byref(status), _WALL_MINE)
            if tid > 0:
                self._stop(tid, status.value)
            elif ctypes.get_errno() == errno.ECHILD:
                for gone in list(self._held):
                    self._gone(gone)

    def _call(self, request: int, tid: int, address: int = 0, data: int = 0) -> int:
        return 0 if _ptrace(request, tid, address, data) >= 0 else ctypes.get_errno()

    def _take_process(self, pid: int) -> int:
        """Take each thread of a process, those it begins meanwhile too; return an error number, 0 for none."""
        failed = errno.ESRCH
        while fresh := [tid for tid in threads(pid) if tid not in self._held]:
            for tid in fresh:
                failed = self._call(_SEIZE, tid, 0, _OPTIONS)
                if failed:
                    if tid == pid:
                        return failed
                    continue
                self._held[tid] = False
                self._call(_INTERRUPT, tid)
            if not any(tid in self._held for tid in fresh):
                break
        return 0 if pid in self._held else failed

    def _stop(self, tid: int, status: int) -> None:
        if status & 0x7F != 0x7F:  # it has ended
            self._gone(tid)
            return
        number, event = status >> 8 & 0xFF, status >> 16
        if tid not in self._held:
            self._met_early(tid)
        if self._letting_go:
            if number == _SYSCALL_STOP:
                self._syscall(tid)
            pass_on = number if not event and number not in (_SYSCALL_STOP, signal.SIGTRAP) else 0
            self._call(_DETACH, tid, 0, pass_on)
            self._held.pop(tid, None)
            return
        if number == _SYSCALL_STOP:
            self._syscall(tid)
            self._call(_SYSCALL, tid)
        elif event == _EVENT_STOP and number in _STOPS:
            self._call(_LISTEN, tid)
        elif event:
            if event in (_EVENT_FORK, _EVENT_VFORK, _EVENT_CLONE):
                self._born(tid)
            elif event == _EVENT_EXEC:
                self._executed(tid)
            self._call(_SYSCALL, tid)
        else:
            self._call(_SYSCALL, tid, 0, number)

    def _message(self, tid: int) -> int:
        found = ctypes.c_ulong()
        _ptrace(_EVENT_MESSAGE, tid, 0, ctypes.addressof(found))
        return found.value

    def _met_early(self, tid: int) -> None:
        """A task stops before its maker does that tells of it: /proc tells, while it stands still."""
        self._held[tid] = False
        self._early.add(tid)
        pid, parent = of_status(tid)
        self._tell("born", (tid, Birth(parent if pid == tid else pid, pid != tid)))

    def _born(self, tid: int) -> None:
        child = self._message(tid)
        if child in self._early:
            self._early.remove(child)
            return
        opened = self._open.get(tid)
        flags = 0
        if opened is not None and opened.nr == NUMBERS["clone"]:
            flags = opened.args[0]
        elif opened is not None and opened.nr == NUMBERS["clone3"]:
            flags = int.from_bytes(memory(tid, opened.args[0], 8) or b"", "little")
        birth = Birth(tid, bool(flags & CLONE_THREAD), sibling=bool(flags & CLONE_PARENT))
        self._tell("born", (child, birth))
        self._held.setdefault(child, False)

    def _executed(self, tid: int) -> None:
        before = self._message(tid)
        if before != tid:
            self._held.pop(before, None)
            self._cut_off(tid)  # the first thread's call, of whose end nobody tells
            if before in self._open:
                self._open[tid] = self._open.pop(before)
        self._held[tid] = True  # the end of the execve comes next
        opened = self._open.get(tid)
        self._tell("execs", (tid, (opened.path if opened else None) or b""))

    def _gone(self, tid: int) -> None:
        self._held.pop(tid, None)
        self._cut_off(tid)
        self._tell("ended", (tid, time.clock_gettime_ns(time.CLOCK_BOOTTIME)))

    def _cut_off(self, tid: int) -> None:
        """Note a call that will not return, where there is one."""
        opened = self._open.pop(tid, None)
        if opened is not None and opened.time:
            self._note(opened.row(tid, 0, 0, wire.EF_IN_FLIGHT))

    def _syscall(self, tid: int) -> None:
        raw = ctypes.create_string_buffer(88)
        if _ptrace(_INFO, tid, 88, ctypes.addressof(raw)) <= 0:
            return
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        op = raw.raw[0]
        if op == _ENTRY:
            _, arch, _, _, nr, *args = _WORDS.unpack_from(raw)
            self._held[tid] = True
            if arch != _ARCH or nr >> 30 & 1:
                self._tell("compat")
            elif nr not in PLANS:
                self._tell("unknown")
            else:
                self._begin(tid, nr, tuple(args))
        elif op == _EXIT:
            self._held[tid] = False
            opened = self._open.pop(tid, None)
            if opened is None or not opened.time:
                return
            *_, value, _ = _RESULT.unpack_from(raw)
            self._end(tid, opened, value, now)

    def _begin(self, tid: int, nr: int, args: tuple[int, ...]) -> None:
        opened = self._open[tid] = Opened(nr, args, ours=tid < _MOST and bool(self._doing[tid]))
        opened.enter(tid, wanted=nr in self._wanted)
        if opened.time and PLANS[nr].call.result == "none":
            self._note(opened.row(tid, 0, 0, wire.EF_NO_RETURN))
            opened.time = 0

    def _end(self, tid: int, opened: Opened, value: int, now: int) -> None:
        wanted = opened.nr in self._wanted
        opened.leave(tid, value, wanted=wanted)
        if value >= 0:
            self._changes(tid, opened, PLANS[opened.nr].call.name, value, after=int(wanted))
        if wanted:
            self._note(opened.row(tid, value, now - opened.time, 0))

    def _changes(self, tid: int, opened: Opened, name: str, value: int, *, after: int) -> None:
        """Note what a call changes beyond itself: its name for its own row already, directories after that."""
        args = opened.args
        if name == "prctl" and args[0] == SET_NAME:
            self._tell("comms", (tid, (string(tid, args[1])[0] or b"")[:NAME_BYTES]))
        elif name == "chdir":
            self._tell("folders", (tid, opened.path or b""), after)
        elif name == "chroot":
            self._tell("roots", (tid, opened.path or b""), after)
        elif name == "fchdir":
            self._tell("folders", (tid, unescaped((opened.file or b"").partition(b"\0")[0])), after)
        elif name in ("socket", "socketpair", "accept", "accept4"):
            word = socket_word(args[0], args[1], args[2])
            ends = [value]
            if name.startswith("accept"):
                word = self._sockets.get(opened.file or b"", 0)
            elif name == "socketpair":
                ends = [opened.extra & 0xFFFFFFFF, opened.extra >> 32]
            for end in [file_behind(tid, end)[0] for end in ends] if word else ():
                if end is not None:
                    self._sockets[end] = word
                    self._tell("socket", (end, word))

    def _tell(self, what: str, value: Any = None, after: int = 0) -> None:
        self._notes.append((what, self._made + after, value))

    def _note(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        self._made += 1

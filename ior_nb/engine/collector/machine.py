"""Whose a process is (bpf/owners.c): the maps that say so, and a trace's seat where several share them.

Who traces alone has them to himself. A process that serves several (`dispatcher.py`) holds them for all, with the
programs that look in them (bpf/dispatch.c), and hands each collector a `Seat`.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ior_nb.engine.collector.bpf import Map, settled
from ior_nb.engine.collector.processes import parents
from ior_nb.engine.collector.renames import changers

__all__ = [
    "AT",
    "BEGINS",
    "CONSTANTS",
    "ENDS",
    "FIRST_SEAT",
    "INITIAL_PID_NAMESPACE",
    "MAPS",
    "Machine",
    "Seat",
    "Taken",
    "namespace_here",
]

AT: Final = {
    "sched_process_fork": "at_fork",
    "sched_process_exec": "at_exec",
    "sched_process_exit": "at_task_exit",
    "sys_exit": "at_exit",
    "sys_enter": "at_enter",
}
"""What of the dispatcher hangs at which hook."""
MAPS: Final = ("machine", "changers", "owners", "seats")
"""What it and the programs behind it have in common."""
FIRST_SEAT: Final = 1
SEATS: Final = 256
INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC  # PROC_PID_INIT_INO
_OWNERS: Final = 4096  # bytes in one value of the map
_MOST_PROCESSES: Final = 1 << 22  # PID_MAX_LIMIT: kernel.pid_max may be raised at any time
CONSTANTS: Final = {
    **{function.upper(): at for at, function in enumerate(AT.values())},
    "SEATS": SEATS,
    "FIRST_SEAT": FIRST_SEAT,
    "OWNERS": _OWNERS,
    "MOST_PROCESSES": _MOST_PROCESSES,
}
BEGINS, ENDS = b"begins", b"ends"
"""What a bell says."""
_PATIENCE_S: Final = 30.0
_MOST_LINKS: Final = 16
_PLACES: Final = {hook: at * SEATS for at, hook in enumerate(AT)}

# struct machine of bpf/types.h: its 32-bit words, then sets of numbers of calls, then a byte a seat.
_TREE, _CHANGING, _ALONE = range(3)
_CHANGERS, _FOLLOWS = 16, 208
MACHINE_BYTES: Final = _FOLLOWS + SEATS


class Taken(Exception):
    """A process is in another trace of the same dispatcher."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A place at a dispatcher that another process holds."""

    number: int
    way: str
    """How its programs hang in the kernel, a key of `loader.WAYS`: those of a seat have to be of the same kind."""
    bell: int
    """Descriptor of a socket: who holds the dispatcher is told there that a trace begins, or has ended."""
    lock: int
    """Descriptor of a file that is locked while a process is claimed."""
    maps: tuple[int, ...]
    """Descriptors, in the order of `MAPS`."""
    programs: tuple[int, ...]
    """Descriptors of what hangs at the hooks."""

    def descriptors(self) -> tuple[int, ...]:
        """Return all of them: what a collector has to inherit."""
        return (self.bell, self.lock, *self.maps, *self.programs)

    def __str__(self) -> str:
        return ":".join((str(self.number), self.way, *map(str, self.descriptors())))

    @classmethod
    def read(cls, text: str) -> Seat:
        """Return the seat a text stands for.

        Raises:
            ValueError: it stands for none.
        """
        number, way, *rest = text.split(":")
        if len(rest) != 2 + len(MAPS) + len(AT) or not FIRST_SEAT <= int(number) < SEATS:
            raise ValueError(f"{text!r} is no seat: NUMBER:WAY and {2 + len(MAPS) + len(AT)} descriptors are")
        bell, lock, *fds = map(int, rest)
        return cls(int(number), way, bell, lock, tuple(fds[: len(MAPS)]), tuple(fds[len(MAPS) :]))

    def begin(self) -> list[int]:
        """Tell that a trace begins; return what holds the dispatcher in the kernel, empty where nothing does.

        Who does not answer in time is never asked again.
        """
        with socket.socket(fileno=os.dup(self.bell)) as bell:
            try:
                bell.settimeout(_PATIENCE_S)
                bell.send(BEGINS)
                return socket.recv_fds(bell, len(BEGINS), _MOST_LINKS)[1]
            except OSError:
                with contextlib.suppress(OSError):
                    bell.shutdown(socket.SHUT_RDWR)
                return []

    def end(self) -> None:
        """Tell that it has ended."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.bell)) as bell:
            bell.settimeout(_PATIENCE_S)
            bell.send(ENDS)


class Machine:
    """The maps.

    Args:
        maps: by name, those of `MAPS` among them; the last one only where they are shared.
        lock: descriptor of a file to lock while a process is claimed; None where nobody else claims any.
    """

    def __init__(self, maps: Mapping[str, Map], lock: int | None = None) -> None:
        self._changing, self._seats = maps["changers"], maps.get("seats")
        self._lock = lock
        self._owners = mmap.mmap(maps["owners"].fd, _MOST_PROCESSES)
        self._bytes = mmap.mmap(maps["machine"].fd, mmap.PAGESIZE)
        self._words = memoryview(self._bytes).cast("I")

    def begin(self, *, alone: bool, watches_ring: bool) -> None:
        """Begin anew, before anything hangs in the kernel: nobody owns anything, every name may be another.

        Args:
            alone: whether a trace's own programs look whose a task is.
            watches_ring: whether operations of io_uring are seen by themselves.
        """
        own, compat = changers(watches_ring=watches_ring)
        both = bytes(a | b for a, b in zip(own, compat, strict=True))
        self.names_have_changed()
        self._words[_CHANGING], self._words[_ALONE] = 0, alone
        self._bytes[_CHANGERS:MACHINE_BYTES] = both + own + compat + bytes(SEATS)
        self._owners[:] = bytes(_MOST_PROCESSES)
        self._changing.clear()

    def names_have_changed(self) -> None:
        """Trust no name of a file any more that is known."""
        self._words[_TREE] = (self._words[_TREE] + 1) & 0xFFFFFFFF

    def follow(self, seat: int, *, wanted: bool) -> None:
        """Have the children of the processes of a seat belong to it, or to nobody."""
        self._bytes[_FOLLOWS + seat] = wanted

    def fill(self, hook: str, seat: int, program: int) -> None:
        """Have the calls of a seat's processes go on to a program at a hook."""
        if self._seats is not None:
            self._seats.set(_key(_PLACES[hook] + seat), _key(program))

    def empty(self, hook: str, seat: int) -> None:
        """Let the program there go. Idempotent."""
        if self._seats is not None:
            self._seats.delete(_key(_PLACES[hook] + seat))

    def claim(self, pid: int, seat: int) -> None:
        """Put a process at a seat; it is numbered as the kernel does it.

        Raises:
            Taken: it has another one.
        """
        with self._alone():
            if self._owners[pid] not in (0, seat):
                raise Taken(f"process {pid} is in another trace")
            self._owners[pid] = seat

    def leave(self, seat: int) -> None:
        """Take a seat's programs away, the first that was put there last, and let its processes go. Idempotent."""
        for hook in reversed(AT):
            self.empty(hook, seat)
        self.follow(seat, wanted=False)
        settled()  # nothing of it runs any more, and no process is born into it
        with self._alone():
            for pid in parents():  # others' numbers are left alone: they may be another's at any moment
                if self._owners[pid] == seat:
                    self._owners[pid] = 0

    def close(self) -> None:
        """Give the mappings back; the maps are not ours."""
        self._words.release()
        self._bytes.close()
        self._owners.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if self._lock is None:
            yield
            return
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)


def namespace_here() -> int:
    """Return the inode of the pid namespace this process lives in."""
    return Path("/proc/self/ns/pid").stat().st_ino


def _key(number: int) -> bytes:
    return number.to_bytes(4, "little")

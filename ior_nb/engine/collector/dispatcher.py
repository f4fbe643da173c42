"""A dispatcher for several collectors, held by a process of its own: who is in nobody's trace pays for one.

It hangs in the kernel while one of them traces. A collector is started with a seat, whose descriptors it inherits, and
rings a bell when a trace of its begins and ends:

    dispatcher = Dispatcher(event_bytes=16 << 20, name_bytes=8 << 20)
    with dispatcher.seat() as seat:
        subprocess.Popen([..., "--seat", str(seat)], pass_fds=seat.descriptors())
    poller.register(dispatcher, select.POLLIN)
    ...
    dispatcher.hear()  # whenever it is readable

A seat is free again when its collector has ended, however it did. While this process is away traces that run go on, and
those that begin hang in the kernel by themselves.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from typing import Final

from ior_nb.engine.collector.bpf import Refused, attach_raw
from ior_nb.engine.collector.hooks import ALSO, HOOKS, KINDS, RING, attach_link, event_numbers
from ior_nb.engine.collector.image import load
from ior_nb.engine.collector.loader import UNREADABLE, WAYS, NotHere, load_program
from ior_nb.engine.collector.machine import AT, BEGINS, ENDS, FIRST_SEAT, MAPS, SEATS, Machine, Seat

__all__ = ["Dispatcher"]

_WATCH: Final = ALSO[RING]


class Dispatcher:
    """The programs at the hooks, and who has which seat. One thread uses it.

    Args:
        event_bytes: of the rings its collectors will ask for: the program is compiled for these sizes, and kept.
        name_bytes: the same of names.
        way: a key of `WAYS`, or "auto".

    Raises:
        NotHere: this kernel cannot do it.
        ImportError: a compiler is needed, and there is no bcc.
        Refused: the kernel refuses the program.
    """

    def __init__(self, *, event_bytes: int, name_bytes: int, way: str = "auto") -> None:
        loading = load_program(event_bytes=event_bytes, name_bytes=name_bytes, way=way)  # as a trial of it all
        image, self.way = loading.image, loading.way
        loading.hooks.close()
        loading.loaded.close()
        if WAYS[self.way].preemptible:
            raise NotHere(f"the calls of one trace would be skipped because of another: {UNREADABLE}")
        self._numbers = event_numbers() if WAYS[self.way].classic else None
        kind = KINDS["tracepoint" if WAYS[self.way].classic else "raw"]
        self._loaded = load(image, dict.fromkeys(AT.values(), kind))
        with contextlib.suppress(Refused, LookupError):
            self._loaded.add(image, {_WATCH: KINDS["raw"]})
        self._lock = os.memfd_create("ior-nb seats")
        self._machine = Machine(self._loaded.maps, self._lock)
        self._begin_anew()
        self._free = list(range(SEATS - 1, FIRST_SEAT - 1, -1))
        self._bells: dict[int, socket.socket] = {}  # by seat
        self._ready = select.epoll()
        self._tracing: set[int] = set()
        self._links: list[int] = []

    @contextlib.contextmanager
    def seat(self) -> Iterator[Seat]:
        """Have a seat for a collector, which is to be started before the context ends.

        Raises:
            NotHere: all are taken.
        """
        if not self._free:
            raise NotHere(f"all {SEATS - FIRST_SEAT} seats of the dispatcher are taken; end a trace first")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = self._free.pop()
        self._bells[number] = ours
        self._ready.register(ours, select.EPOLLIN)
        ours.setblocking(False)
        maps, programs = self._loaded.maps, self._loaded.programs
        with theirs:  # closed here then, so that the end of the collector is heard
            yield Seat(
                number,
                self.way,
                theirs.fileno(),
                self._lock,
                tuple(maps[name].fd for name in MAPS),
                tuple(programs[name].fd for name in AT.values()),
            )

    def fileno(self) -> int:
        """Return what is readable when there is something to `hear`."""
        return self._ready.fileno()

    def hear(self) -> None:
        """Answer every collector that begins or ends a trace, or has ended itself."""
        ready = {fd for fd, _ in self._ready.poll(0)}
        for number, bell in list(self._bells.items()):
            if bell.fileno() not in ready:
                continue
            try:
                said = bell.recv(16)
            except BlockingIOError:
                continue
            except OSError:
                said = b""
            if said == BEGINS:
                self._begin(number, bell)
            elif said == ENDS:
                self._end(number)
            else:
                self._release(number)

    def close(self) -> None:
        """Detach and unload."""
        for number in list(self._bells):
            self._release(number)
        self._ready.close()
        self._machine.close()
        self._loaded.close()
        os.close(self._lock)

    def _begin(self, number: int, bell: socket.socket) -> None:
        try:
            if not self._links:
                self._attach()
        except OSError:
            handed: list[int] = []  # it hangs in the kernel by itself, or fails with a reason of its own
        else:
            self._tracing.add(number)
            handed = self._links
        with contextlib.suppress(OSError):  # it has ended, which is heard next
            socket.send_fds(bell, [BEGINS], handed)

    def _end(self, number: int) -> None:
        self._tracing.discard(number)
        if not self._tracing:
            self._detach()

    def _release(self, number: int) -> None:
        if number in self._tracing:  # it could put nothing away
            self._machine.leave(number)
        self._end(number)
        bell = self._bells.pop(number)
        self._ready.unregister(bell)
        bell.close()
        self._free.append(number)

    def _attach(self) -> None:
        programs = self._loaded.programs
        self._begin_anew()
        try:
            if _WATCH in programs:
                self._links.append(attach_raw(RING, programs[_WATCH]))
            for hook in HOOKS:
                self._links.append(attach_link(hook, programs[AT[hook]], self._numbers))
        except BaseException:
            self._detach()
            raise

    def _begin_anew(self) -> None:
        self._machine.begin(alone=False, watches_ring=_WATCH in self._loaded.programs)

    def _detach(self) -> None:
        while self._links:
            os.close(self._links.pop())

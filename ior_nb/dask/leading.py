"""Which process of a place traces it, and which one goes on when that has gone.

The one that does listens on a name of the kernel's (an abstract socket, unix(7)): one process has it at a time, and it
is free again whatever becomes of that. The others are connected to it, so they hear the moment it is gone, and then
each tries to have the next name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from ior_nb.dask.places import place
from ior_nb.runtime import own
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.ids import mark

__all__ = ["Leading", "Turn", "begun_at", "still_there", "turn"]

_AGAIN_S: Final = 0.5
_PID_BYTES: Final = 16


class Leading:
    """That this process traces its place. Everything is called on the loop it was made on.

    Args:
        run: the trace.
        after: the process that did before; 0 for none.

    Raises:
        OSError: another process has the name.
    """

    @own.ours
    def __init__(self, run: str, after: int = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self._others: list[socket.socket] = []
        self._said = b""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._listener.bind(_name(run, after))
            self._listener.listen(socket.SOMAXCONN)
        except OSError:
            self._listener.close()
            raise
        self._loop.add_reader(self._listener, self._accept)

    @own.ours
    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            other, _ = self._listener.accept()
            other.setblocking(False)
            self._others.append(other)
            if self._said:
                other.send(self._said)

    @own.ours
    def begun(self) -> None:
        """Say that the trace has begun: who gives the name up before that has not been there."""
        self._said = str(os.getpid()).encode()
        for other in self._others:
            with contextlib.suppress(OSError):
                other.send(self._said)

    @property
    def is_followed(self) -> bool:
        """Whether another process would go on."""
        return any(map(_is_open, self._others))

    @own.ours
    def give_up(self) -> None:
        """Let another process go on. May be called again."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
        for end in (self._listener, *self._others):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # a child that was forked may have it, too
            end.close()


class Turn(NamedTuple):
    """That it is on this process to trace its place."""

    leading: Leading
    after: int
    """The process that did before."""
    since: int
    """When that one's trace had ended, on the boot clock."""


async def turn(run: str) -> Turn:
    """Wait until the process that traces this place has gone, and this is the one to go on.

    A process that never hears of one that traces, as in a network namespace of its own, waits for ever.
    """
    after = since = 0
    while True:
        if after:
            with contextlib.suppress(OSError):
                return Turn(Leading(run, after), after, since)
        other = _connected(run, after)
        if other is None:
            await asyncio.sleep(_AGAIN_S)
            continue
        with other:
            leader = await _heard(other)
            if leader:
                await _heard(other)
                after, since = leader, boot_clock()


async def _heard(other: socket.socket) -> int:
    """Return what the other end says next: the number of a process; 0 when it is gone."""
    try:
        said = await asyncio.get_running_loop().sock_recv(other, _PID_BYTES)
    except OSError:
        return 0
    return int(said) if said.isdigit() else 0


@own.ours
def _connected(run: str, after: int) -> socket.socket | None:
    """Return a connection to the process that has a name; None where none has it."""
    other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        other.connect(_name(run, after))
    except OSError:
        other.close()
        return None
    return other


@own.ours
def _is_open(other: socket.socket) -> bool:
    try:
        return bool(other.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _name(run: str, after: int) -> str:
    return f"\0ior-nb-{run}-{mark(place())}-{after}"


# ---- the processes of a place


@own.ours
def begun_at(pids: Collection[int]) -> dict[int, str]:
    """Return when each of these processes began, as the kernel writes it, of those that are there."""
    found: dict[int, str] = {}
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            found[pid] = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    return found


def still_there(known: Mapping[int, str]) -> tuple[int, ...]:
    """Return the processes of these that are there still: their numbers may be others' by now."""
    return tuple(pid for pid, began in begun_at(known).items() if known[pid] == began)

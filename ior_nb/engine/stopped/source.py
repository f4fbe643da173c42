"""What a tracer that stops programs yields, whichever it is: `Calls`, and what became of tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

__all__ = ["Birth", "Block", "Calls", "Change", "Source"]


class Change(NamedTuple):
    """Something that is so from a row on."""

    row: int
    """The first call it is true of; the length of the block for those after it."""
    tid: int
    text: bytes = b""
    """What is new; empty: ask /proc."""


class Birth(NamedTuple):
    """A new task: it begins with the name, the directories of its maker."""

    maker: int
    thread: bool
    """Whether it is one of the maker's process."""
    row: int = 0
    """How many calls of the block the maker may have made before."""
    sibling: bool = False
    """Whether its parent is that of its maker."""


class Calls:
    """Calls, ended or not, in the order of their ends: one entry in each column a call.

    Args:
        count: how many.

    Attributes:
        tid, time, latency, nr, ret: of the call; `time` on the boot clock.
        args: its words, as far as the table gives them a role.
        pos, extra, flags: as in the record of the kernel program (`wire.EVENT`).
        ours: whether it is known to be no work of the user.
        file, file2: names of files behind descriptors, as strace writes them between angle brackets; None without one.
            Behind a null byte there may stand mode (octal), device and inode.
        path, path2: path arguments, raw; None where the call has none, or it was not read.
        base, base2: the directories these are relative to; None: the working directory, empty: nobody knows.
        null, null2: whether a path was a null pointer.
    """

    def __init__(self, count: int) -> None:
        self.tid = np.zeros(count, np.int64)
        self.time = np.zeros(count, np.int64)
        self.latency = np.zeros(count, np.int64)
        self.nr = np.zeros(count, np.int64)
        self.ret = np.zeros(count, np.int64)
        self.args = np.zeros((count, 6), np.uint64)
        self.pos = np.full(count, -1, np.int64)
        self.extra = np.zeros(count, np.int64)
        self.flags = np.zeros(count, np.uint8)
        self.ours = np.zeros(count, bool)
        self.null, self.null2 = np.zeros(count, bool), np.zeros(count, bool)
        for name in ("file", "file2", "path", "path2", "base", "base2"):
            setattr(self, name, np.full(count, None, object))

    file: np.ndarray
    file2: np.ndarray
    path: np.ndarray
    path2: np.ndarray
    base: np.ndarray
    base2: np.ndarray

    def __len__(self) -> int:
        return len(self.tid)


@dataclass(slots=True)
class Block:
    """What happened since the last one."""

    calls: Calls
    born: dict[int, Birth] = field(default_factory=dict)
    """By the new task."""
    making: list[Birth] = field(default_factory=list)
    """Tasks that were being made at its end: their number is not known yet, and they may have made calls."""
    ended: list[tuple[int, int]] = field(default_factory=list)
    """(task, when), on the boot clock."""
    execs: list[Change] = field(default_factory=list)
    """Programs executed."""
    comms: list[Change] = field(default_factory=list)
    """Threads renamed."""
    folders: list[Change] = field(default_factory=list)
    """Working directories changed."""
    sockets: dict[bytes, int] = field(default_factory=dict)
    """What sockets are, by their names as in `Calls.file`: words of the wire."""
    roots: list[Change] = field(default_factory=list)
    """Root directories changed."""
    before: int = 0
    """Ends of calls that began before the trace."""
    compat: int = 0
    """Calls the table does not know: 32-bit ones."""
    unknown: int = 0
    """Calls of a number beyond the table."""
    unread: int = 0
    """Lines nobody understood."""


class Source(Protocol):
    """A tracer."""

    @property
    def about(self) -> str:
        """What it is, and what it costs, in a few words."""

    @property
    def doing(self) -> tuple[int, int]:
        """Memory that says whose work each thread does: descriptor and size; (-1, 0) where it looks at none."""

    @property
    def died(self) -> str:
        """How it ended while it held somebody; empty while it has not."""

    @property
    def descriptors(self) -> list[int]:
        """What becomes readable when there is something to gather."""

    def attach(self, pids: list[int], calls: frozenset[int]) -> None:
        """Begin with these processes; return when each of their threads is held.

        Raises:
            Refused: it may not hold the first, or that is gone.
        """

    def holds(self, pid: int) -> bool:
        """Tell whether it holds a process."""

    def gather(self) -> int:
        """Take in what there is, so that nobody waits for us; return how many bytes wait to be understood."""

    def take(self) -> Block:
        """Return what has happened up to now."""

    def detach(self) -> Block:
        """Let everybody go; return the rest."""

    def unended(self) -> Block:
        """Return the calls that had not ended, after `detach`."""

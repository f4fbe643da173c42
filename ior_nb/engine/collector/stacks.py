"""Python stacks: the part of the program that reads them, which interpreters it knows, and what it says.

Loaded when first asked for. A kernel that refuses it traces all the same, without stacks, and says why.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
import select
import struct
import time
from collections.abc import Iterable
from typing import Final

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.hooks import RING
from ior_nb.engine.collector.loader import Loading
from ior_nb.engine.collector.part import Part
from ior_nb.engine.collector.program import FACT_BYTES, LIVE, PYTHON_FUNCTIONS, PYTHON_HOOKS, PYTHON_TAILS
from ior_nb.engine.collector.python import (
    BINARY,
    PYTHON,
    WHY_ELSEWHERE,
    Elsewhere,
    File,
    Found,
    Unknown,
    candidates,
    inspect,
    layout_row,
    mapped,
)
from ior_nb.engine.collector.ring import Ring

__all__ = ["Stacks"]

_NOTHING: Final = BINARY.pack(0, 0, 0, 0, 0, 0)
_LAYOUTS: Final = 16  # rows of the map; the first means none
_NEWS: Final = struct.Struct("<2I")  # the last words of struct live: pythons, learned


class Stacks(Part):
    """The part of one program that reads stacks.

    Args:
        loading: the program; the part is added to it.

    Raises:
        LookupError: the program has no such part.
        Refused: the kernel does not take it; the program is as before.
    """

    def __init__(self, loading: Loading) -> None:
        if not set(PYTHON_FUNCTIONS) <= loading.image.code.keys():
            where = f"{platform.machine()}, Linux {platform.release()}"
            raise LookupError(f"{WHY_ELSEWHERE}; this is {where}")
        super().__init__(loading, PYTHON_FUNCTIONS, PYTHON_TAILS, PYTHON_HOOKS)
        self.facts_fd = self._maps["facts"].fd
        self.facts = Ring(self.facts_fd, FACT_BYTES, 8)
        self._live = mmap.mmap(self._maps["live"].fd, mmap.PAGESIZE)
        self._frames = 0
        self._wake = select.epoll()  # wakes once a question, where poll would for as long as there are facts
        self._wake.register(self.facts_fd, select.EPOLLIN | select.EPOLLET)
        self._rows: dict[bytes, int] = {}
        self._files: dict[tuple[bytes, int, int], Found | str] = {}
        self.unknown: dict[str, str] = {}
        """Programs that may be Python and whose stacks cannot be read -> why."""

    def start(self, frames: int, programs: Iterable[str]) -> None:
        """Look for stacks from now on.

        Args:
            frames: of a stack at most.
            programs: files that will be executed.
        """
        self._frames = frames
        _NEWS.pack_into(self._live, LIVE.size - _NEWS.size, 0, 1)
        self._rows.clear()
        for name in ("pythons", "binaries"):
            self._maps[name].clear()
        self.unknown.clear()
        self._join()
        for hook, name in PYTHON_HOOKS.items():
            # A kernel without io_uring has no hook for it.
            with contextlib.suppress(OSError) if hook == RING else contextlib.nullcontext():
                self._attach(hook, name)
        for path in programs:
            with contextlib.suppress(OSError, ValueError):
                self._meet(mapped(path))

    def stop(self) -> None:
        """Look for them no more. Idempotent."""
        self._detach()
        _NEWS.pack_into(self._live, LIVE.size - _NEWS.size, 0, 0)

    def close(self) -> None:
        """Give the ring back; the rest goes with the program."""
        self.stop()
        self._live.close()
        self._wake.close()
        self.facts.close()

    def learn(self, pid: int, *, counter: int = 0, asked: bytes | None = None) -> None:
        """Find the interpreter of a process, and tell the kernel program of it and of its file.

        Args:
            pid: the process.
            counter: address of a counter of code objects freed in it.
            asked: the file the kernel program asks about.
        """
        try:
            files = candidates(pid)
        except OSError:
            return  # it is gone
        for file in files:
            found = self._meet(file)
            where = file.at.get(found.segment_offset) if isinstance(found, Found) else None
            if isinstance(found, Found) and where is not None:
                serial, row = time.clock_gettime_ns(time.CLOCK_MONOTONIC), self._row(found)
                python = PYTHON.pack(where - found.segment + found.runtime, counter, found.tls, serial, row, 0)
                self._maps["pythons"].set(pid.to_bytes(4, "little"), python)
                news = memoryview(self._live).cast("I")  # a word of its own: the kernel program writes the others
                news[LIVE.size // 4 - 1] = news[LIVE.size // 4 - 1] % 0xFFFFFFFF + 1
                news.release()
        if asked is not None and asked not in [file.key for file in files]:
            self._maps["binaries"].set(asked, _NOTHING, 1)

    def fileno(self) -> int:
        """Return what is readable when the kernel program asks."""
        return self._wake.fileno()

    def drain(self, until: int) -> bytes:
        """Return the facts before a position of the ring, as they go on; questions are answered."""
        self._wake.poll(0)
        facts: list[bytes] = []
        for record in self.facts.records(until):
            if int.from_bytes(record[8:12], "little") == wire.FACT_ASK:
                _, pid, device, inode = wire.ASK.unpack_from(record, wire.HEADER_BYTES)
                self.learn(pid, asked=struct.pack("<QQ", device, inode))
            else:
                facts.append(record)
        return b"".join(facts)

    def _meet(self, file: File) -> Found | str:
        """Look at a file and tell the kernel program; return what is known of it, or why nothing is."""
        found = self._inspected(file)
        binary = _NOTHING
        if isinstance(found, Found):
            row = self._row(found)
            binary = BINARY.pack(found.runtime, found.segment, found.start, found.tls, row, file.library)
        elif found and (file.library or "python" in file.path.rpartition("/")[2]):
            self.unknown[file.path] = found
        self._maps["binaries"].set(file.key, binary)
        return found

    def _inspected(self, file: File) -> Found | str:
        """Return what is known of a file, or why nothing is; a file that has changed is looked at again."""
        try:
            fd = file.open()
        except OSError as error:
            return f"it cannot be read: {error.strerror or error}"
        try:
            state = os.fstat(fd)
            key = (file.key, state.st_mtime_ns, state.st_size)
            if key not in self._files:
                try:
                    self._files[key] = inspect(fd)
                except Elsewhere:
                    self._files[key] = ""
                except (Unknown, OSError) as error:
                    self._files[key] = str(error)
            return self._files[key]
        finally:
            os.close(fd)

    def _row(self, found: Found) -> int:
        """Return the row of a layout; 0 where there is no room for one more."""
        raw = layout_row(found, self._frames)
        if raw not in self._rows and len(self._rows) + 1 < _LAYOUTS:
            self._rows[raw] = len(self._rows) + 1
            self._maps["layouts"].set(self._rows[raw].to_bytes(4, "little"), raw)
        return self._rows.get(raw, 0)

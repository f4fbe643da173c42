"""Faults on mapped files: what sees them, those still open at the end, and the counts by file.

Loaded when first asked for. A kernel that refuses it, or has none of its hooks, traces all the same, and says why.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Final

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.loader import Loading
from ior_nb.engine.collector.mapped import ENDS, FUNCTIONS, HOOKS, TAILS, Fault
from ior_nb.engine.collector.part import Part
from ior_nb.engine.collector.ring import PAGE
from ior_nb.syscalls.table import PSEUDO

__all__ = ["PAGE_FAULT", "Pages"]

PAGE_FAULT: Final = PSEUDO["page_fault"]
_FILE: Final = 80  # bytes of a value of the map before the file's id


class Pages(Part):
    """The part of one program that sees faults on mapped files.

    Args:
        loading: the program; the part is added to it.

    Raises:
        LookupError: the program has no such part.
        Refused: the kernel does not take it; the program is as before.
    """

    def __init__(self, loading: Loading) -> None:
        if not set(ENDS) <= loading.image.code.keys():
            where = "trace events" if loading.way == "tracepoint" else f"Linux {platform.release()}"
            raise LookupError(f"faults are seen at raw tracepoints, from Linux 5.16 on; this is {where}")
        super().__init__(loading, [name for name in FUNCTIONS if name in loading.image.code], TAILS, HOOKS)

    def start(self) -> None:
        """Begin anew; nothing is attached yet."""
        for name in ("faults", "cached", "bios"):
            if name in self._maps:
                self._maps[name].clear()

    def follow(self, *, wanted: bool) -> None:
        """See faults from now on, or no more; the hooks are there only where they are wanted."""
        if wanted and not self._links:
            self._join()
            for hook, name in HOOKS.items():
                if name in self._programs:
                    self._attach(hook, name)
        elif not wanted:
            self._detach()

    def stop(self) -> None:
        """See nothing more; faults that are open stay in their map. Idempotent."""
        self._detach()

    def open(self, generation: int) -> Iterator[tuple[bytes, int]]:
        """Yield records of the faults that no later hook has ended, and the bytes they brought in; call it detached."""
        for value in self._maps["faults"].values():
            fault = Fault.from_buffer_copy(value)
            if not fault.open or not fault.pages:
                continue
            file = self._maps["cached"].get(bytes(fault.key))
            size = fault.pages * PAGE
            yield (
                wire.event_record(
                    time=fault.time,
                    ret=size,
                    pos=fault.index * PAGE,
                    file=fault.file or int.from_bytes(file[_FILE : _FILE + 4] if file else b"", "little"),
                    comm=fault.comm_id,
                    stack=fault.stack,
                    pid=fault.pid,
                    tid=fault.tid,
                    nr=PAGE_FAULT,
                    run_delay=wire.PACKED_UNKNOWN,
                    fetched=wire.PACKED_UNKNOWN,
                    generation=generation,
                ),
                size,
            )

    def counts(self) -> bytes:
        """Return the counts by file so far: records of `wire.CACHED_FILE`."""
        return b"".join(bytes(piece) for piece in self._maps["cached"].pieces())

    def files(self) -> bytes:
        """Return the ids of the files that are counted, as 32-bit words."""
        counts = memoryview(self.counts()).cast("I")
        return counts[_FILE // 4 :: wire.CACHED_FILE_BYTES // 4].tobytes()

"""`Sharing`: a collector's program is told whose work each thread of this process does."""

from __future__ import annotations

import errno
import os
import socket
import struct

from ior_nb.engine.spawn import Collector
from ior_nb.runtime import own

__all__ = ["Sharing", "not_told"]


def not_told(why: str) -> str:
    """Return what has to be said of a trace where nobody is told whose work a thread does."""
    return (
        f"the tracer's and the notebook's own calls cannot be told from yours {why}: "
        "those of threads that do nothing else are left out, the others are rows"
    )


class Sharing:
    """One collector's: it sends the descriptor of a map, which is mapped into this process (`runtime.own`)."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self._words: memoryview | None = None
        self._traces = False

    @property
    def works(self) -> bool:
        """Whether the program is told."""
        return self._words is not None

    def read(self, collector: Collector, buffer: bytearray) -> int:
        """Receive all that has come, bytes and the descriptor beside them; wait for the first. 0: no more will come."""
        room, count = memoryview(buffer), 0
        while count < len(buffer):
            try:
                size = self._receive(collector, room[count:], wait=not count)
            except OSError:
                if not count:
                    raise
                break  # nothing more has come yet; what is wrong else will be met again
            if not size:
                break
            count += size
        return count

    def _receive(self, collector: Collector, room: memoryview, *, wait: bool) -> int:
        flags = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT)
        size, beside, _, _ = collector.connection.recvmsg_into([room], socket.CMSG_SPACE(4), flags)
        for level, kind, data in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._received += struct.unpack(f"={len(data) // 4}i", data[: len(data) // 4 * 4])
        return size

    def begin(self, size: int) -> tuple[str, ...]:
        """Map what was received; return what has to be said where that does not work."""
        received, self._received = self._received, []
        try:
            if not received:
                raise OSError(errno.EACCES, "the map was not let through to this process")
            self._words = own.share(received[0], size)
        except OSError as error:
            return (not_told(f"here ({error.strerror})"),)
        finally:
            for descriptor in received:
                os.close(descriptor)
        return ()

    def traced(self, begins: bool) -> None:
        """A trace begins, or has ended. Idempotent."""
        if self.works and begins != self._traces:
            self._traces = begins
            own.traced(begins)

    def end(self) -> None:
        """The collector is gone. Idempotent."""
        self.traced(False)
        own.unshare(self._words)
        self._words = None

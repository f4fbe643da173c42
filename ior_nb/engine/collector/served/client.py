"""A collector for one client of the service."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Callable
from typing import Any, Final

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.__main__ import Collector, Refused
from ior_nb.engine.collector.machine import Seat
from ior_nb.engine.collector.processes import Viewer
from ior_nb.engine.collector.served.gate import Gate
from ior_nb.engine.collector.served.peer import Stranger
from ior_nb.engine.collector.wire import Frame, Unpacker

__all__ = ["GREETING", "Served", "greeting"]

GREETING: Final = 0
"""The id of the answer that is sent before anything is asked."""
_MOST_ID: Final = (1 << 53) - 1
_SKIPS: Final = (
    "this kernel skips calls of busy processes, and counts them; who runs the service mends it: start it as root or by"
    " systemd, with tracefs mounted (mount -t tracefs tracefs /sys/kernel/tracing) and, where it is above 2 (Debian,"
    " Ubuntu), with kernel.perf_event_paranoid=2 (sysctl)"
)


def greeting(**more: Any) -> bytes:
    """Return the frame that begins every connection, and ends those that are refused."""
    return wire.pack_json(Frame.ANSWER, {"id": GREETING, "ok": True, "protocol": wire.PROTOCOL, **more})


class Served(Collector):
    """The state of the process that works for one client.

    Args:
        connection: to the client.
        gate: what he may ask for.
        audit: is told what was refused.
        seat: at the service's dispatcher.
    """

    def __init__(
        self, connection: socket.socket, gate: Gate, audit: Callable[..., None], seat: Seat | None = None
    ) -> None:
        super().__init__(connection, 0, seat)
        self._owner_fd = gate.peer.handle
        self._unpacker = Unpacker(wire.TO_COLLECTOR)
        self._limit = gate.limits.buffer
        self._gate = gate
        self._audit = audit
        self._queue.append(memoryview(greeting()))
        self._queued += len(self._queue[0])

    def _listens(self) -> int:
        """He is listened to at his pace, and not while he does not read what he has asked for."""
        return select.POLLIN if self._queued <= self._limit and not self._gate.pace.wait() else 0

    def _pause(self) -> float | None:
        wait = self._gate.pace.wait()
        pause = super()._pause()
        return min(filter(None, (wait, pause)), default=None)

    def _received(self) -> bytes:
        return self._gate.peer.receive(self._socket)

    def _do_load(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = super()._do_load(request)
        return answer | {"notes": (_SKIPS,)} if answer.get("notes") else answer  # what mends it a client cannot do

    def _viewer(self) -> Viewer:
        return self._gate.viewer

    def _put(self, kind: Frame, payload: bytes) -> None:
        super()._put(kind, payload)
        if self._queued > 2 * self._limit + wire.MOST_BYTES:  # names are not dropped, as rows without them say nothing
            raise Stranger(f"it does not read: {self._queued >> 20} MiB wait for it")

    def _request(self, payload: bytes) -> tuple[Any, dict[str, Any]]:
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise Stranger("what it sends is no JSON") from error
        number = message.get("id") if isinstance(message, dict) else None
        if isinstance(message, dict):
            message.pop("id", None)
        return number if type(number) is int and 0 <= number <= _MOST_ID else None, message

    def _met(self, message: Any) -> dict[str, Any]:
        try:
            request = self._gate.request(message)
            answer = super()._met(request)
        except Refused as error:
            self._audit("is refused", why=str(error))
            raise
        self._gate.done(request, answer)
        return answer

    def _failed(self, error: Exception) -> dict[str, Any]:
        self._audit("met an error", why=f"{type(error).__name__}: {error}")
        return super()._failed(error) | {"log": ""}  # places of this machine's files are nothing to him

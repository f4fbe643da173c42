"""`Objects`: which objects of a store this process asks for, as its HTTP libraries say; joined with rows of sockets.

Users of `http.client` (requests, urllib3, boto3) are seen by an audit event of Python's, those of aiohttp (fsspec,
s3fs, gcsfs) where it sends a request. Of a request the method, the path without its query, and the header Range are
looked at, and nothing else: neither other headers nor bodies. Clients that are not Python's (those of pyarrow, DuckDB,
Polars) tell nobody: their rows have a peer and no object. Other processes are not seen either.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from ior_nb.real import Lock
from ior_nb.result.objects import Asked, Ranges, summed
from ior_nb.runtime import EventBatch, own
from ior_nb.runtime.clock import boot_clock
from ior_nb.session.audit import listen

__all__ = ["Objects", "ranges_of", "spelled"]

_HEAD: Final = 1 << 16
"""Bytes of a request looked at for the end of its head."""
_MOST: Final = 1 << 20
"""Requests kept; later ones are not."""
_FRAMES: Final = 8
"""Callers looked at: the hook and its wrappers, and those of http.client."""
_RANGE: Final = re.compile(rb"\r\nrange:[ \t]*([^\r]{1,4000})", re.IGNORECASE)
_REQUEST: Final = re.compile(rb"([A-Z]{1,20}) (\S+) HTTP/1\.[01](?:\r\n|\Z)")
_ABSOLUTE: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/]*@)?([^/]*)", re.IGNORECASE)
"""Of what a proxy is asked for, up to the path; who asks may stand before the host."""
_USUAL: Final = re.compile(r":(?:80|443)?\Z")
_PART: Final = re.compile(r"(\d*)-(\d*)")


def spelled(address: object) -> str:
    """Return an address as `getsockname` gives it, as the columns `peer` and `local` have it."""
    if not isinstance(address, tuple) or len(address) < 2:
        return ""
    host, port = str(address[0]).partition("%")[0], address[1]
    if "." in host:
        return f"{host.rpartition(':')[2]}:{port}"
    scope = f"%{address[3]}" if host.lower().startswith("fe80:") and len(address) > 3 and address[3] else ""
    return f"[{host}{scope}]:{port}"


def ranges_of(text: str) -> Ranges:
    """Return the parts that a header Range asks for, first byte and the one behind the last; see `Ranges`."""
    unit, _, parts = text.partition("=")
    if unit.strip().lower() != "bytes":
        return ()
    found: list[tuple[int | None, int | None]] = []
    for part in parts.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None or not (match[1] or match[2]):
            return ()
        if not match[1]:
            found.append((None, int(match[2])))  # the last bytes, wherever they are
        else:
            found.append((int(match[1]), int(match[2]) + 1 if match[2] else None))
    return tuple(found)


def _named(host: str, port: int | None, target: str) -> str:
    """Return what a request is for, without what may be secret of it."""
    path = target.partition("?")[0].partition("#")[0]
    if (absolute := _ABSOLUTE.match(path)) is not None:
        whose, path = absolute[1], path[absolute.end() :]
    else:
        whose = f"{f'[{host}]' if ':' in host else host}:{port or ''}"
    return f"{_USUAL.sub('', whose)}{path or '/'}"


class _Request(NamedTuple):
    time_ns: int
    name: str
    method: str
    ranges: Ranges


class Objects:
    """Watches this process from `begin` to `end`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: dict[tuple[str, str], list[_Request]] = {}  # by both ends, the own one first
        self._count = 0
        self._stops: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Listen from now on."""
        self._stops = [listen("http.client.send", own.ours(self._sent)), *_watch_aiohttp(self.note)]

    def end(self) -> None:
        """Listen no more. Idempotent."""
        while self._stops:
            self._stops.pop()()

    def asked(self, begin: int, end: int) -> dict[str, Asked]:
        """Return what was asked of each object in a stretch of time, boot clock, ns."""
        with self._lock:
            found = [r for requests in self._requests.values() for r in requests if begin <= r.time_ns < end]
        return summed((r.name, r.method, r.ranges) for r in found)

    def note(self, socket: Any, host: str, port: int | None, method: str, target: str, ranges: str) -> None:
        """A request is about to be sent."""
        ends = spelled(socket.getsockname()), spelled(socket.getpeername())
        name = _named(host, port, target)
        with self._lock:
            if self._count < _MOST:
                self._count += 1
                self._requests.setdefault(ends, []).append(_Request(boot_clock(), name, method, ranges_of(ranges)))

    def _sent(self, connection: Any, data: Any) -> None:
        """http.client sends something: of its head alone, which is told from a body by who sends it."""
        if not isinstance(data, (bytes, bytearray)) or not _is_head(data):
            return
        head = bytes(data[:_HEAD]).partition(b"\r\n\r\n")[0]
        request, asked = _REQUEST.match(head), _RANGE.search(head)
        if request is None or connection.sock is None:
            return
        method, target = request[1].decode(), request[2].decode("latin-1")
        ranges = asked[1].decode("latin-1") if asked else ""
        host = getattr(connection, "_tunnel_host", None) or connection.host
        port = getattr(connection, "_tunnel_port", None) or connection.port
        self.note(connection.sock, str(host), port, method, target, ranges)

    def stamp(self, batch: EventBatch) -> EventBatch:
        """Return the rows with their objects: each has what its connection was asked for last, before it began."""
        rows = np.flatnonzero((batch["local"] != 0) & (batch["pid"] == os.getpid())) if self._requests else ()
        if not len(rows):
            return batch
        table = batch.tables["local"]
        keys = batch["local"][rows].astype(np.int64) << 32 | batch["peer"][rows]
        column = np.zeros(len(batch), np.int32)
        for key in np.unique(keys).tolist():
            known = self._requests.get((table[key >> 32], table[key & 0xFFFFFFFF]))
            if known is None:
                continue
            mine = rows[keys == key]
            with self._lock:
                earlier = bisect.bisect_right(known, int(batch["time_ns"][mine].min()), key=lambda one: one.time_ns)
                requests = known[max(earlier - 1, 0) :]  # those before are of earlier rows
            times = np.array([request.time_ns for request in requests], np.uint64)
            codes = batch.tables["object"].intern_many(["", *(request.name for request in requests)])
            column[mine] = codes[np.searchsorted(times, batch["time_ns"][mine], side="right")]
        return batch.with_columns(object=column) if column.any() else batch


def _is_head(data: object) -> bool:
    """Whether this is what `HTTPConnection._send_output` (or an heir's) has made of a request: it calls it `msg`."""
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller
    for _ in range(_FRAMES):
        if frame.f_back is None:
            return False
        frame = frame.f_back
        if frame.f_code.co_name == "_send_output" and frame.f_locals.get("msg") is data:
            return True
    return False


def _watch_aiohttp(note: Callable[..., None]) -> list[Callable[[], None]]:
    """Have requests of aiohttp noted, where it is installed; return what ends it."""
    if importlib.util.find_spec("aiohttp") is None:
        return []
    try:
        client: Any = importlib.import_module("aiohttp").ClientRequest
        send = client.send
    except (ImportError, AttributeError):
        return []

    listeners = [note]

    @own.ours
    def tell(request: Any, connection: Any) -> None:
        with contextlib.suppress(Exception):  # nothing of ours may fail the user's request
            socket = connection.transport.get_extra_info("socket")
            url, ranges = request.url, str(request.headers.get("Range", ""))
            for listener in listeners:
                listener(socket, url.host, url.port, request.method, url.raw_path, ranges)

    @functools.wraps(send)
    async def sends(request: Any, connection: Any) -> Any:
        tell(request, connection)
        return await send(request, connection)

    client.send = sends

    def stop() -> None:
        listeners.clear()  # what somebody has put around ours since keeps that for ever
        if client.send is sends:
            client.send = send

    return [stop]

"""How the service of this machine is found (`ior-nb serve`), and a collector had from it.

On the standard library alone: the doctor asks it where everything else may be missing.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import json
import os
from typing import Any, Final

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.wire import FRAME, Frame
from ior_nb.engine.spawn import Collector
from ior_nb.real import Descriptor

__all__ = ["INSTALL", "Busy", "NoService", "Served", "connect", "place"]

INSTALL: Final = "sudo ior-nb serve --install"
"""What brings it to a machine."""
_PLACE: Final = "/run/ior-nb.sock"
_WAIT_S: Final = 60.0  # the first one may have to compile
_MOST_GREETING: Final = 4096


class NoService(Exception):
    """There is none, or none for this process; the message says why and what to do."""


class Busy(NoService):
    """It has no room just now."""


def place() -> str:
    """Return where its socket is: IOR_NB_SOCKET, else where it is installed."""
    return os.environ.get("IOR_NB_SOCKET") or _PLACE


class Served(Collector):
    """A collector of the service: it ends with its socket, and nobody here may do anything else to it."""

    def kill(self) -> None:
        """End the connection; the service ends the collector."""
        with contextlib.suppress(OSError):  # it has ended
            self.connection.shutdown(_socket.SHUT_RDWR)


def connect() -> Served:
    """Have a collector from the service.

    Raises:
        NoService: there is none for this process.
    """
    where = place()
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    served: Served | None = None
    try:
        connection.settimeout(_WAIT_S)
        try:
            connection.connect(where)
            greeting = _greeting(connection)
        except FileNotFoundError as error:
            raise NoService(f"no service runs on this machine ({where}); who runs it could: {INSTALL}") from error
        except PermissionError as error:
            raise NoService(f"you are not let in by the service ({where}): be in the group it is for") from error
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or error
            raise NoService(f"the service does not answer ({where}: {said}); systemctl status ior-nb") from error
        if not greeting.get("ok"):
            refused = Busy if greeting.get("kind") == "Busy" else NoService
            raise refused(f"the service refuses: {greeting.get('message')}")
        if greeting.get("protocol") != wire.PROTOCOL:
            raise NoService("the service is of another version of ior-nb than this one: update either, and restart it")
        connection.settimeout(None)
        log = Descriptor(os.memfd_create("ior-nb service"))
        served = Served(Descriptor(connection.detach()), log)
    finally:
        if served is None:
            connection.close()
    return served


def _greeting(connection: _socket.socket) -> dict[str, Any]:
    """Receive the first frame, and nothing behind it."""
    length, kind = FRAME.unpack(_exactly(connection, FRAME.size))
    if kind != Frame.ANSWER or length > _MOST_GREETING:
        raise ValueError("what answers is no service of ior-nb")
    message = json.loads(_exactly(connection, length))
    if not isinstance(message, dict):
        raise ValueError("what answers is no service of ior-nb")
    return message


def _exactly(connection: _socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise OSError(errno.ECONNRESET, "it hung up")
        data += more
    return data

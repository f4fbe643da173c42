"""Who is at the other end of a Unix socket, in the kernel's words."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ior_nb.engine.collector.processes import numbers

__all__ = ["Peer", "Stranger", "all_mine"]

_SO_PEERPIDFD: Final = 77  # Linux 6.5
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
_LONGEST: Final = 64 << 10


class Stranger(Exception):
    """Somebody else speaks than who has connected, or nobody who can be served."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that has connected."""

    pid: int
    """As this process numbers it."""
    uid: int
    handle: int
    """A descriptor of it (pidfd)."""
    comm: str
    """What it calls itself: hostile text."""
    numbers: tuple[int, ...] = ()
    """Its numbers by pid namespace, ours first; more than one where it lives in one below."""

    @classmethod
    def of(cls, connection: socket.socket) -> Peer:
        """Return who has connected.

        Raises:
            Stranger: it is gone, or runs with the rights of somebody else.
        """
        pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if pid <= 0:
            raise Stranger("it lives in a pid namespace this service cannot see (hostPID)")
        handle = -1
        with contextlib.suppress(OSError):
            handle = struct.unpack("i", connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4))[0]
        try:
            handle = handle if handle >= 0 else os.pidfd_open(pid)
        except OSError as error:
            raise Stranger(f"process {pid} is gone ({error.strerror})") from error
        if not all_mine(pid, uid):
            os.close(handle)
            raise Stranger(f"process {pid} is gone, or has other ids than that of user {uid}")
        comm = ""
        with contextlib.suppress(OSError):
            comm = Path(f"/proc/{pid}/comm").read_bytes().rstrip(b"\n").decode(errors="replace")
        return cls(pid, uid, handle, comm, tuple(numbers(pid)))

    def receive(self, connection: socket.socket) -> bytes:
        """Receive what it has sent; the socket has SO_PASSCRED. Descriptors that came along are closed by the kernel.

        Raises:
            Stranger: another process has sent it: the socket was handed on.
        """
        data, beside, _, _ = connection.recvmsg(_LONGEST, socket.CMSG_LEN(_CREDENTIALS.size), socket.MSG_CMSG_CLOEXEC)
        for level, kind, words in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                pid, uid, _ = _CREDENTIALS.unpack(words)
                if not data or (pid, uid) == (self.pid, self.uid):
                    return data
                raise Stranger(f"the socket was handed on: process {pid} of user {uid} has written to it")
        if data:
            raise Stranger("the kernel does not say who has written")
        return data


def all_mine(pid: int, uid: int, proc: Path = Path("/proc")) -> bool:
    """Tell whether a process runs as a user and nobody else: by its real, effective, saved and file system ids."""
    try:
        status = (proc / str(pid) / "status").read_bytes()
    except OSError:
        return False
    line = next((line for line in status.split(b"\n") if line.startswith(b"Uid:")), b"")
    return line.split()[1:] == [str(uid).encode()] * 4

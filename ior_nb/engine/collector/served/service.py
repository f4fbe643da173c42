"""The service: one process that takes connections, and one collector for each, which it forks.

It begins with the rights it was started with, and keeps two (`confine`). Nothing a client sends is read here: it asks
the kernel who has connected, and counts.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pwd
import select
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from ior_nb.engine.collector import cache, hooks, loader
from ior_nb.engine.collector.bpf import Refused as KernelRefused
from ior_nb.engine.collector.bpf import unlimit_memory
from ior_nb.engine.collector.dispatcher import Dispatcher
from ior_nb.engine.collector.machine import INITIAL_PID_NAMESPACE, Seat, namespace_here
from ior_nb.engine.collector.rights import missing_rights
from ior_nb.engine.collector.served import confine
from ior_nb.engine.collector.served.audit import Audit
from ior_nb.engine.collector.served.client import Served, greeting
from ior_nb.engine.collector.served.gate import EVENT_BYTES, NAME_BYTES, Gate, Limits, Pace
from ior_nb.engine.collector.served.peer import Peer, Stranger

__all__ = ["SOCKET", "NotServing", "Service", "bound", "serve", "systemd_socket"]

SOCKET: Final = "/run/ior-nb.sock"
_FIRST_PASSED: Final = 3  # SD_LISTEN_FDS_START
_WAITING: Final = 64
_REMEMBERED: Final = 4096  # users whose pace is known


class NotServing(Exception):
    """The service cannot begin; the message says why and what to do."""


@dataclass(slots=True)
class _Users:
    """Who has how many collectors."""

    limits: Limits
    clients: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Handle of a collector (pidfd) -> its user, and its process id."""
    paces: dict[int, Pace] = field(default_factory=dict)

    def refusal(self, uid: int) -> str:
        """Return why a user gets no collector just now; empty where he does."""
        if uid not in self.paces:
            if len(self.paces) >= _REMEMBERED:
                self.paces = {user: pace for user, pace in self.paces.items() if pace.wait()}
            self.paces[uid] = Pace(self.limits.connections / 10, self.limits.connections)
        pace = self.paces[uid]
        if pace.wait():
            return f"user {uid} connects more than {self.limits.connections} times in ten seconds"
        pace.take()
        if sum(user == uid for user, _ in self.clients.values()) >= self.limits.clients:
            return f"user {uid} has {self.limits.clients} traces already: end one (a notebook's kernel has one)"
        if len(self.clients) >= self.limits.everybody:
            return f"{self.limits.everybody} clients are served already"
        return ""


class Service:
    """The process that takes connections.

    Args:
        listener: the socket.
        limits: of each user.
        audit: the log.
        dispatcher: what all collectors hang in the kernel by; None where each does so by itself.
    """

    def __init__(
        self, listener: socket.socket, limits: Limits, audit: Audit, dispatcher: Dispatcher | None = None
    ) -> None:
        self._listener = listener
        self._dispatcher = dispatcher
        self._users = _Users(limits)
        self._limits = limits
        self._audit = audit
        listener.setblocking(False)

    def run(self, ended: Callable[[], bool] = lambda: False) -> None:
        """Serve until told to end."""
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        if self._dispatcher is not None:
            poller.register(self._dispatcher, select.POLLIN)
        while not ended():
            for handle, _ in poller.poll(1000):
                if handle in self._users.clients:
                    _, pid = self._users.clients.pop(handle)
                    poller.unregister(handle)
                    os.close(handle)
                    os.waitpid(pid, 0)
                elif self._dispatcher is not None and handle == self._dispatcher.fileno():
                    self._dispatcher.hear()
                elif (new := self._take()) is not None:
                    poller.register(new, select.POLLIN)

    def _take(self) -> int | None:
        """Take a connection; return the handle of the collector it got, None where it got none."""
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone again, or there are no descriptors left just now
            return None
        with connection:
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # who waits for the greeting is in time
                peer = Peer.of(connection)
            except (Stranger, OSError) as error:
                self._refuse(connection, "PermissionDenied", str(error))
                return None
            try:
                refusal = self._users.refusal(peer.uid)
                if refusal:
                    self._refuse(connection, "Busy", refusal, uid=peer.uid, pid=peer.pid)
                    return None
                return self._fork(connection, peer)
            finally:
                os.close(peer.handle)

    def _refuse(self, connection: socket.socket, kind: str, why: str, **who: Any) -> None:
        self._audit("refuses", **who, why=why)
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(greeting(ok=False, kind=kind, message=why))

    def _fork(self, connection: socket.socket, peer: Peer) -> int | None:
        parent = os.getpid()
        try:
            with self._dispatcher.seat() if self._dispatcher is not None else contextlib.nullcontext() as seat:
                pid = os.fork()
                if pid == 0:
                    self._become_collector(connection, peer, parent, seat)
        except (OSError, loader.NotHere) as error:
            self._refuse(connection, "Busy", f"no process can be started: {error}", uid=peer.uid, pid=peer.pid)
            return None
        handle = os.pidfd_open(pid)
        self._users.clients[handle] = peer.uid, pid
        return handle

    def _become_collector(self, connection: socket.socket, peer: Peer, parent: int, seat: Seat | None) -> NoReturn:
        """Work for one client, and end."""
        status = 1
        audit = self._audit.of(uid=peer.uid, pid=peer.pid, comm=peer.comm)
        try:
            if not confine.die_with_parent(parent):
                os._exit(0)
            kept = {0, 1, 2, connection.fileno(), peer.handle, *(seat.descriptors() if seat is not None else ())}
            for descriptor in {int(each.name) for each in Path("/proc/self/fd").iterdir()} - kept:
                with contextlib.suppress(OSError):  # that of the list
                    os.close(descriptor)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            audit("begins")
            client = Served(connection, Gate(peer, self._limits, audit), audit, seat)
            try:
                client.run()
            finally:
                client.close()
            audit("ends")
            status = 0
        except (Stranger, ValueError) as error:
            audit("is cut off", why=str(error))
        except OSError as error:
            audit("ends", why=str(error))
        except BaseException:
            audit("is cut off", why=traceback.format_exc(limit=-3))
        finally:
            os._exit(status)


def serve(listener: socket.socket, limits: Limits, *, user: str) -> None:
    """Give rights up, and serve until a signal ends it.

    Args:
        listener: the socket.
        limits: of each user.
        user: whom root becomes.

    Raises:
        NotServing: tracing does not work here, or rights cannot be given up.
    """
    audit = Audit()
    lacking = missing_rights()
    if lacking:
        raise NotServing(f"{lacking}: start the service as root, or with systemd (ior-nb serve --install)")
    if namespace_here() != INITIAL_PID_NAMESPACE:
        raise NotServing(
            "the service lives in a pid namespace, where users' processes have other numbers: hostPID: true"
        )
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise NotServing("another thread would keep its rights: start the service as a program of its own")
    with contextlib.suppress(OSError):  # on busy processors a late drain is what loses events
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    try:
        number = pwd.getpwnam(user).pw_uid if os.getuid() == 0 else os.getuid()
    except KeyError as error:
        raise NotServing(f"there is no user {user!r}: name one that has nothing (--user)") from error
    if number == 0:
        raise NotServing("root's files are root's without any capability: name a user that has nothing (--user)")
    unlimit_memory()
    # From then on folders of root's alone are closed.
    importlib.import_module("ior_nb.engine.collector.tracer")
    hooks.remember(_passed_numbers() or hooks.event_numbers() or {})
    try:
        confine.keep_only_tracing(number)
        _prepare()
        dispatcher = _dispatcher()
        confine.close_doors()
    except OSError as error:
        raise NotServing(f"rights cannot be given up: {error.strerror or error}") from error
    stopped: list[int] = []
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, _: stopped.append(number))
    took = {name: getattr(limits, name) for name in ("clients", "everybody", "memory", "requests")}
    audit("serves", **took, hooks=dispatcher.way if dispatcher is not None else "each trace by itself")
    Service(listener, limits, audit, dispatcher).run(lambda: bool(stopped))
    audit("ends")


def _passed_numbers() -> dict[str, int] | None:
    """Return the numbers of the trace events, which systemd reads for a service that is not root; None without."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return None if folder is None else hooks.numbers_in({hook: Path(folder, hook) for hook in hooks.HOOKS})


def _prepare() -> None:
    """Have a process of its own compile the program, where it is not kept, and keep what it says: forks load that.

    Raises:
        NotServing: it cannot be made, or the kernel does not take it.
    """
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(ours)
            with os.fdopen(theirs, "w") as answer:
                json.dump(_compiled(), answer)
            status = 0
        finally:
            os._exit(status)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    made = json.loads(text or '{"error": "the process that compiles the program has ended"}')
    if "error" in made:
        raise NotServing(f"tracing does not work here: {made['error']}")
    cache.remember(made)


def _dispatcher() -> Dispatcher | None:
    try:
        return Dispatcher(event_bytes=EVENT_BYTES, name_bytes=NAME_BYTES)
    except (loader.NotHere, KernelRefused):
        return None


def _compiled() -> dict[str, Any]:
    try:
        loading = loader.load_program(event_bytes=EVENT_BYTES, name_bytes=NAME_BYTES)
    except (loader.NotHere, KernelRefused, ImportError) as error:
        return {"error": str(error)}
    except Exception as error:  # bcc raises bare Exception when the compiler fails
        return {"error": f"{type(error).__name__}: {error}"}
    return dict(loading.kept)


def systemd_socket() -> socket.socket | None:
    """Return the socket systemd has passed on, None where it has not."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=_FIRST_PASSED)


def bound(path: str) -> socket.socket:
    """Return a socket at a path that listens to everybody; one nobody listens on any more is taken away first.

    Raises:
        NotServing: it cannot be.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        with socket.socket(socket.AF_UNIX) as trial:
            try:
                trial.connect(path)
                raise NotServing(f"{path}: somebody serves there already")
            except ConnectionRefusedError:
                if not Path(path).is_socket() or Path(path).is_symlink():  # the kernel says the same of every file
                    raise NotServing(f"{path}: is there, and is no socket; give another --socket") from None
                Path(path).unlink()
            except FileNotFoundError:
                pass
        before = os.umask(0o111)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(_WAITING)
    except OSError as error:
        listener.close()
        raise NotServing(f"{path}: {error.strerror or error}") from error
    except BaseException:
        listener.close()
        raise
    return listener

"""Threads, locks and descriptors of our own, whatever the program does with its.

gevent and eventlet change the modules of the standard library so that threads become greenlets of the main thread,
before or after this package is imported; debuggers and profilers reach into new threads in the same way. Ours must be
none of that: they wait for the collector while the main thread works, and their numbers are left out of a trace. So the
C modules are loaded a second time, where nobody has changed anything, and what `threading` makes of them is made here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import importlib
import importlib.util
import os
from _queue import SimpleQueue
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from threading import Lock, RLock, local

__all__ = [
    "Condition",
    "Descriptor",
    "Event",
    "Lock",
    "RLock",
    "SimpleQueue",
    "Thread",
    "current",
    "ident",
    "local",
    "native_id",
    "processes",
    "select",
    "threads",
]


def _untouched(name: str) -> ModuleType:
    """Return a new copy of a module."""
    spec = importlib.import_module(name).__spec__
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_thread: Final[Any] = _untouched("_thread")
select: Final[Any] = _untouched("select")
_HIGH: Final = 500  # beyond what a program opens: the number it has just closed is the one its next file gets

if not TYPE_CHECKING:
    Lock, RLock, local = _thread.allocate_lock, _thread.RLock, _thread._local  # noqa: SLF001 - `threading` calls it local


@functools.cache
def processes() -> Any:
    """Return `subprocess`, untouched."""
    module: Any = _untouched("subprocess")
    setattr(module, "_USE_POSIX_SPAWN", False)  # noqa: B010 - glibc's leaves signals 32 and 33 ignored
    return module


class Descriptor:
    """A descriptor of ours, with what it was opened for: any code here may close it, and then it is somebody else's.

    Args:
        fd: it is moved away from the low numbers; `close` closes it, and nobody else.
        path: of the file, where it can be opened again.
    """

    def __init__(self, fd: int, path: str | os.PathLike[str] | None = None) -> None:
        self._fd, self._path = fd, path
        try:
            self._identity = _identity(fd)
        except OSError:
            os.close(fd)
            raise
        with contextlib.suppress(OSError):  # the limit is lower
            self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
            os.close(fd)

    @property
    def fd(self) -> int:
        """Its number.

        Raises:
            OSError: it is ours no more.
        """
        if self._fd < 0:
            raise OSError(errno.EBADF, "closed")
        with contextlib.suppress(OSError):
            if _identity(self._fd) == self._identity:
                return self._fd
        if self._path is not None and self._open_again(self._path):
            return self._fd
        raise OSError(errno.EBADF, "this program has closed a descriptor that was not its own")

    def close(self) -> None:
        """Close it, if it is still ours. Idempotent."""
        self._path = None
        with contextlib.suppress(OSError):
            os.close(self.fd)
        self._fd = -1

    def _open_again(self, path: str | os.PathLike[str]) -> bool:
        with contextlib.suppress(OSError):
            again = Descriptor(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
            if again._identity == self._identity:
                self._fd = again._fd
                return True
            again.close()
        return False


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


class Condition:
    """As `threading.Condition` on a `Lock`, where nobody notifies but all.

    Attributes:
        lock: to be held for everything. Not entered by way of this object: an interrupt would find it half entered.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self._waiting: deque[Lock] = deque()

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back until somebody notifies; tell whether that was in time."""
        mine = Lock()
        mine.acquire()
        self._waiting.append(mine)
        try:
            self.lock.release()
            return _taken(mine, timeout)
        finally:
            self.lock.acquire()

    def wait_for(self, true: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until something is true; tell whether that was in time. The time is that of one notification."""
        while not (found := true()):
            if not self.wait(timeout):
                return true()
        return found

    def notify_all(self) -> None:
        """Wake everybody who waits."""
        while self._waiting:
            self._waiting.popleft().release()


class Event:
    """As `threading.Event`, without a lock that an interrupt could leave taken: who sets it never waits."""

    def __init__(self) -> None:
        self._happened = False
        self._waiting: deque[Lock] = deque()

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._happened

    def set(self) -> None:
        """It has happened."""
        self._happened = True
        with contextlib.suppress(IndexError):  # somebody else may set it too
            while True:
                self._waiting.popleft().release()

    def clear(self) -> None:
        """It has not."""
        self._happened = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it; tell whether it has happened."""
        mine = Lock()
        mine.acquire()
        self._waiting.append(mine)
        if self._happened or _taken(mine, timeout):  # looked at after joining the queue, and set before it is emptied
            return True
        with contextlib.suppress(ValueError):
            self._waiting.remove(mine)
        return self._happened


class Thread:
    """A daemon thread. Where one waits for it, it may be unable to start, or be interrupted while it does.

    Args:
        target: what it does.
        arguments: of the target.
        name: of the thread, for people.
    """

    def __init__(self, target: Callable[..., None], *arguments: object, name: str) -> None:
        self.name = name
        self.native_id: int | None = None
        """The kernel's number for it, once it runs."""
        self._do: Callable[[], None] | None = functools.partial(target, *arguments)
        self._began: list[int] = []
        self._running = Event()
        self._ended = Event()

    def start(self) -> None:
        """Start it, and wait until it runs.

        Raises:
            OSError: there are no more threads.
        """
        try:
            # One step for the interpreter: an interrupt comes before it or after it, never between thread and list.
            self._began.extend(map(_thread.start_new_thread, (self._run,), ((),)))
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, f"no thread can be started ({error})") from error
        self._running.wait()

    def run(self) -> None:
        """Do what it is for, in the thread."""
        do, self._do = self._do, None  # what it holds ends with it
        if do is not None:
            do()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end; tell whether it is not running any more. One that was never started is not."""
        return not self._began or self._ended.wait(timeout)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return bool(self._began) and not self._ended.is_set()

    def _run(self) -> None:
        self.native_id = _thread.get_native_id()
        _alive[ident()] = self
        self._running.set()
        try:
            self.run()
        finally:
            _alive.pop(ident(), None)
            self._ended.set()


_alive: Final[dict[int, Thread]] = {}
os.register_at_fork(after_in_child=_alive.clear)


def current() -> Thread | None:
    """Return the thread this is called in, None when it is not one of ours."""
    return _alive.get(ident())


def ident() -> int:
    """Return what Python calls the calling thread, be it in a greenlet."""
    number: int = _thread.get_ident()
    return number


def native_id() -> int:
    """Return the kernel's number of the calling thread."""
    number: int = _thread.get_native_id()
    return number


def threads() -> list[Thread]:
    """Return our threads that run, those of all sessions."""
    return list(_alive.values())


def _taken(lock: Lock, timeout: float | None) -> bool:
    if timeout is None:
        return lock.acquire()
    return lock.acquire(timeout=min(timeout, _thread.TIMEOUT_MAX)) if timeout > 0 else lock.acquire(blocking=False)

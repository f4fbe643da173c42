"""The thread in which traces start and end: no interrupt comes there, so that neither is left half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ior_nb.errors import SourceUnavailable
from ior_nb.real import Event, Lock, SimpleQueue, Thread, current
from ior_nb.runtime import own

__all__ = ["Worker"]

T = TypeVar("T")


class Worker:
    """Does one job after the other, in a thread that lives as long as the process."""

    def __init__(self) -> None:
        self._turn = Lock()  # of two threads, which an interrupt may have been the cause of, one works
        self._thread: Thread | None = None
        self._working: Thread | None = None
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def do(self, job: Callable[[], T]) -> T:
        """Have it done, and wait for that. Who is interrupted while he waits goes on at once, and the job too.

        Raises:
            SourceUnavailable: no thread can be started.
        """
        thread = current()
        if thread is not None and thread is self._working:
            return job()
        done = Event()
        results: list[T] = []
        failures: list[BaseException] = []

        caller = own.here()

        def run() -> None:
            own.act_for(caller)
            try:
                results.append(job())
            except BaseException as error:
                failures.append(error)
            finally:
                done.set()

        self.later(run)
        done.wait()
        if failures:
            raise failures.pop()  # not kept: it holds its frames, and they hold it
        return results[0]

    def later(self, job: Callable[[], None]) -> None:
        """Have it done; it must not raise.

        Raises:
            SourceUnavailable: no thread can be started.
        """
        if self._thread is None or not self._thread.is_alive():
            thread = own.OwnThread(self._work, name="ior-worker")
            try:
                thread.start()
            except OSError as error:
                raise SourceUnavailable(f"nothing can be traced: {error.strerror}") from error
            self._thread = thread
        self._jobs.put(job)

    def _work(self) -> None:
        with self._turn:
            self._working = current()
            while True:
                self._jobs.get()()

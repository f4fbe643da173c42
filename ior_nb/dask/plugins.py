"""The plugins that a trace gives a cluster: one notes tasks in each worker, one meets nannies that come later."""

from __future__ import annotations

import os
import platform
import threading
from typing import Any, Final

from distributed import Nanny
from distributed import Worker as DaskWorker
from distributed.diagnostics.plugin import NannyPlugin, WorkerPlugin

from ior_nb.dask.host import join, leave, tell
from ior_nb.dask.places import spools
from ior_nb.dask.spans import ENDING, Notes, Spool
from ior_nb.dask.told import LATE, TASKS, Order
from ior_nb.runtime.clock import boot_clock

__all__ = ["Late", "Tasks"]


_RUNS: Final = ("executing", "long-running")
_RUNNING: Final = (*_RUNS, "cancelled", "resumed")
"""States of a task whose thread may be in it."""


class Tasks(WorkerPlugin):
    """Notes which thread of a worker did which task when; a restarted worker gets it before its first task.

    Args:
        order: what is traced.
    """

    def __init__(self, order: Order) -> None:
        self.name = TASKS + order.run
        self._order = order

    async def setup(self, worker: DaskWorker) -> None:
        """Begin to note. What is in the way is told at the end: the work of the cluster goes on."""
        self._worker = worker
        self._notes: Notes | None = None
        if worker.nanny is None:
            await join(self._order, worker)
        try:
            folder = spools(self._order.run)
            folder.mkdir(mode=0o700, exist_ok=True)
            name = f"{os.getpid()}-{boot_clock()}{ENDING}"  # threads of one process may be several workers
            self._spool = Spool(folder / name, {"worker": worker.address, "pid": os.getpid()})
        except OSError as error:  # as where the folder is that of another user's workers
            note = f"tasks of the worker {worker.address} are not told apart: {error}"
            await tell(worker, self._order.run, (platform.node(), note))
            return
        with worker.active_threads_lock:
            notes = Notes(worker.active_threads, self._spool, _number)
            self._before = notes.begun()
            worker.active_threads = self._notes = notes

    def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
        """A task has changed its state: if it has run, and no thread has said so, note that."""
        if self._notes is None or start not in _RUNNING or finish in _RUNNING:
            return
        name = str(key)
        with self._worker.active_threads_lock:
            if name in self._before:
                self._spool.end(self._before.pop(name))
                self._notes.forget(name)
            elif name in self._notes.noted:
                self._notes.noted.discard(name)
            elif start in _RUNS:  # on the event loop, or in another process
                self._spool.begin(0, name)

    async def teardown(self, worker: DaskWorker) -> None:
        """Note nothing more."""
        if self._notes is not None:
            self._stop(worker, self._notes)
        if worker.nanny is None:
            await leave(self._order.run, worker)

    def _stop(self, worker: DaskWorker, notes: Notes) -> None:
        with worker.active_threads_lock:
            if worker.active_threads is notes:
                worker.active_threads = notes.before
            notes.stop()
            self._notes = None


class Late(NannyPlugin):
    """Traces nannies that come when the trace has begun, and ends the trace of those that go before it does.

    Args:
        order: what is traced.
    """

    restart = False

    def __init__(self, order: Order) -> None:
        self.name = LATE + order.run
        self._order = order

    async def setup(self, nanny: Nanny) -> None:
        """Trace it, unless its process is traced."""
        await join(self._order, nanny)

    async def teardown(self, nanny: Nanny) -> None:
        """End its trace, if the client has not."""
        await leave(self._order.run, nanny)


def _number() -> int:
    return threading.current_thread().native_id or 0

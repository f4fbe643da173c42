"""Ways to have files read by workers, as users have them: each file is opened, read and closed once, under its label.

A worker may import this module by its name, however it is started.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import ior_nb

__all__ = ["COUNT", "LIBRARIES", "WAYS", "read"]

COUNT: Final = 2
"""Workers."""


def read(path: str) -> int:
    """Read a file; return who did it."""
    with ior_nb.label(Path(path).name):
        descriptor = os.open(path, os.O_RDONLY)
        os.pread(descriptor, 100, 0)
        os.close(descriptor)
    return os.getpid()


def _executor(executor: Executor, paths: list[str]) -> list[int]:
    with executor:
        return list(executor.map(read, paths))


def _processes(method: str, paths: list[str]) -> list[int]:
    return _executor(ProcessPoolExecutor(COUNT, multiprocessing.get_context(method)), paths)


def _pool(method: str, paths: list[str]) -> list[int]:
    with multiprocessing.get_context(method).Pool(COUNT) as pool:
        return pool.map(read, paths, chunksize=1)


class Loader:
    """A loader as torch has it: workers with a queue of indices each, and one of results, which come back in order.

    Args:
        paths: the data set.
        method: how workers are started.
    """

    def __init__(self, paths: list[str], method: str) -> None:
        context: Any = multiprocessing.get_context(method)
        self._asked: list[Any] = [context.Queue() for _ in range(COUNT)]
        self._done: Any = context.Queue()
        self._size = len(paths)
        self._workers = [
            context.Process(target=_work, args=(paths, asked, self._done), daemon=True) for asked in self._asked
        ]

    def __iter__(self) -> Iterator[int]:
        for worker in self._workers:
            worker.start()
        for index in range(self._size):
            self._asked[index % COUNT].put(index)
        for asked in self._asked:
            asked.put(None)
        held: dict[int, int] = {}
        for index in range(self._size):
            while index not in held:
                number, value = self._done.get()
                held[number] = value
            yield held.pop(index)
        for worker in self._workers:
            worker.join()


def _work(paths: list[str], asked: Any, done: Any) -> None:
    while (index := asked.get()) is not None:
        done.put((index, read(paths[index])))


def _loader(method: str, paths: list[str]) -> list[int]:
    return list(Loader(paths, method))


def _joblib(backend: str, paths: list[str]) -> list[int]:
    joblib: Any = importlib.import_module("joblib")
    try:
        return list(joblib.Parallel(n_jobs=COUNT, backend=backend)(joblib.delayed(read)(path) for path in paths))
    finally:
        if backend == "loky":
            importlib.import_module("joblib.externals.loky").get_reusable_executor().shutdown()


def _forkserver(paths: list[str]) -> list[int]:
    try:
        return _pool("forkserver", paths)
    finally:
        with contextlib.suppress(AttributeError):
            importlib.import_module("multiprocessing.forkserver")._forkserver._stop()  # else it stays, as a child


WAYS: Final[dict[str, Callable[[list[str]], list[int]]]] = {
    "threads": lambda paths: _executor(ThreadPoolExecutor(COUNT), paths),
    "processes, fork": partial(_processes, "fork"),
    "pool, fork": partial(_pool, "fork"),
    "pool, spawn": partial(_pool, "spawn"),
    "pool, forkserver": _forkserver,
    "loader, fork": partial(_loader, "fork"),
    "joblib, loky": partial(_joblib, "loky"),
    "joblib, threading": partial(_joblib, "threading"),
    "joblib, multiprocessing": partial(_joblib, "multiprocessing"),
}
LIBRARIES: Final = {way: "joblib" for way in WAYS if way.startswith("joblib")}
"""Ways that need something that may be missing."""

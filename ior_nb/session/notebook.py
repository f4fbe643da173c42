"""The notebook this process is a kernel of: which threads serve it, and where its work and the user's meet.

Threads are known by what they are: objects that the kernel holds, and native threads by the sockets they wait for.
Where the notebook calls the user's code, or that code the notebook's, stands in tables, and each such place says so
(`runtime.own`). What a version of IPython or ipykernel has not is left alone.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ior_nb import real
from ior_nb.runtime import own

__all__ = ["Notebook", "here"]

_TASKS: Final = Path("/proc/self/task")
_DESCRIPTORS: Final = Path("/proc/self/fd")
_LOOKS: Final = 50  # at a native thread that happens to be busy
_LOOK_S: Final = 0.002

# The user's code calls these, and what they do is the notebook's: where each hangs, seen from the shell, and its name.
_SERVES: Final = (
    ("kernel.session", "msg"),  # every message to the page: what is displayed, comms of widgets, output
    ("kernel.session", "send"),
    ("kernel._stdout.__class__", "_is_master_process"),  # of what `write` does, which IPython replaces for each cell
    ("kernel._stdout.__class__", "flush"),
    ("kernel._stdout.pub_thread", "schedule"),
    ("kernel", "_input_request"),
    ("", "showtraceback"),
    ("displayhook", "start_displayhook"),  # a cell's value; the value itself makes what is shown of it
    ("displayhook", "write_output_prompt"),
    ("displayhook", "write_format_data"),
    ("displayhook", "finish_displayhook"),
    ("", "run_cell"),  # all but the code it runs
    ("history_manager", "_stop_save_thread"),  # by a hook before each fork
    ("history_manager", "_restart_thread_if_stopped"),
)
# And a debugger that is attached does these in the user's threads: where each hangs, the module first, and its name.
_DEBUGS: Final = (
    ("pydevd_file_utils", "_abs_and_canonical_path"),  # of every file whose code is run
    ("pydevd.PyDB", "notify_thread_created"),
    ("pydevd.PyDB", "notify_thread_not_alive"),
    ("pydevd_tracing", "set_trace_to_threads"),
    ("_pydevd_bundle.pydevd_constants", "get_pid"),  # of every thread that begins
)
# And the notebook calls these, which are the user's: handlers of messages, by kind.
_CALLBACKS: Final = ("comm_msg",)


def here() -> Notebook | None:
    """Return the notebook, met for the first time when something is traced; None in any other process."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return None
    if shell not in _known:
        _known[shell] = Notebook(shell)
    return _known[shell]


_known: dict[Any, Notebook] = {}


class Notebook:
    """An IPython shell, and the kernel behind it where there is one."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._app = getattr(getattr(shell, "kernel", None), "parent", None)
        self._cells = _Cells()
        self._runs_cells: set[int] = set()  # threads
        self._native: Mapping[int, int] = {}
        self._debugger_met = False
        self._open_doors()

    # ---- where its work and the user's meet

    def _open_doors(self) -> None:
        shell = self._shell
        for path, name in _SERVES:
            _wrap(_at(shell, path), name, own.notebooks)
        _wrap(shell, "run_code", self._cells_code)
        _wrap(getattr(shell, "displayhook", None), "compute_format_data", _formatting)
        handlers = getattr(getattr(shell, "kernel", None), "shell_handlers", {})
        for kind in _CALLBACKS:
            if kind in handlers:
                handlers[kind] = own.users(handlers[kind])
        own.tasks_are_their_starters()
        if _running_code(shell):
            self._cells.depth = 1  # nobody told of its beginning
        shell.events.register("pre_run_cell", self._begins)
        shell.events.register("post_run_cell", self._ended)

    def _cells_code(self, run_code: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """Wrap what runs the code of a cell. What a page runs silently is no cell, and not the user's."""

        @functools.wraps(run_code)
        async def run(*arguments: Any, **options: Any) -> Any:
            return await own.steps(run_code(*arguments, **options), own.USERS if self._cells.depth else own.OURS)

        return run

    def _begins(self, info: Any = None) -> None:
        """Event `pre_run_cell`."""
        self._cells.depth += 1
        self._meet_debugger()
        self._runs_cells.add(own.here())
        own.survey(self.threads())

    def _ended(self, result: Any = None) -> None:
        """Event `post_run_cell`: until the next one this thread is the notebook's."""
        self._cells.depth = max(0, self._cells.depth - 1)
        if not self._cells.depth:
            self._runs_cells.add(own.here())
            own.set_whole(own.NOTEBOOKS)

    def _meet_debugger(self) -> None:
        if self._debugger_met or "pydevd" not in sys.modules:
            return
        self._debugger_met = True
        for path, name in _DEBUGS:
            module, _, rest = path.partition(".")
            _wrap(_at(sys.modules.get(module), rest), name, own.notebooks)

    # ---- its threads

    def threads(self) -> Mapping[int, int]:
        """Return the threads that are not the user's: number -> whose work they do; -1 where they say so themselves."""
        found = dict.fromkeys(_numbers(self._python_threads()), own.NOTEBOOKS)
        return {**found, **self._native_threads(), **dict.fromkeys(self._runs_cells, -1)}

    def _python_threads(self) -> Iterator[Any]:
        shell, app, kernel = self._shell, self._app, getattr(self._shell, "kernel", None)
        yield _at(shell, "history_manager.save_thread")
        for name in ("heartbeat", "control_thread", "shell_channel_thread", "poller"):
            yield getattr(app, name, None)
        yield _at(app, "iopub_thread.thread")
        for stream in (getattr(kernel, "_stdout", None), getattr(kernel, "_stderr", None), sys.stdout, sys.stderr):
            yield getattr(stream, "watch_fd_thread", None)
        yield from list(getattr(_at(app, "shell_channel_thread.manager"), "_cache", {}).values())  # subshells
        yield from _debugger_threads()

    def _native_threads(self) -> Mapping[int, int]:
        """Return ZeroMQ's threads that serve the kernel's ports; they live as long as it does."""
        if not self._native and self._app is not None:
            names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
            ports = {port for name in names if (port := getattr(self._app, name, None))}
            self._native = dict.fromkeys(_waiting_at(ports), own.NOTEBOOKS)
        return self._native


class _Cells(threading.local):
    """How many cells a thread runs, one in the other."""

    depth = 0


def _formatting(compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap how a cell's value is shown: by the user's code, but for what our own work has given."""
    by_us = own.ours(compute)

    @functools.wraps(compute)
    def format_data(result: Any) -> Any:
        return by_us(result) if own.given(result) else compute(result)

    return format_data


def _wrap(where: Any, name: str, how: Callable[[Any], Any]) -> None:
    function = getattr(where, name, None)
    if callable(function):
        with contextlib.suppress(AttributeError):  # a stream of another kind
            setattr(where, name, how(function))


def _at(start: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        start = getattr(start, name, None)
    return start


def _running_code(shell: Any) -> bool:
    """Tell whether this thread runs the code of a cell now."""
    code = getattr(getattr(type(shell), "run_code", None), "__code__", None)
    frame: Any = inspect.currentframe()
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


def _numbers(threads: Iterable[Any]) -> Iterator[int]:
    return (number for thread in threads if (number := getattr(thread, "native_id", None)))


def _debugger_threads() -> Iterator[Any]:
    """Return the threads of a debugger that is attached: pydevd keeps a list of them."""
    debugger = sys.modules.get("pydevd")
    attached = debugger.get_global_debugger() if debugger is not None else None
    yield from list(getattr(attached, "created_pydb_daemon_threads", None) or ())


# ---- native threads


def _waiting_at(ports: set[int]) -> set[int]:
    """Return the native threads that serve a socket of these ports, and each one's reaper, which it has beside it.

    ZeroMQ begins two threads for a context, the reaper and at once the one that reads and writes. Both wait with epoll:
    the second for the sockets, the first for nothing but its mailbox.
    """
    python = {t.native_id for t in threading.enumerate()} | {t.native_id for t in real.threads()}
    native = sorted(int(entry.name) for entry in _TASKS.iterdir() if int(entry.name) not in python)
    waits = {number: _waits_for(number) for number in native}
    found: set[int] = set()
    for at, number in enumerate(native):
        if any(_port(descriptor) in ports for descriptor in waits[number]):
            found.add(number)
            if at and len(waits[native[at - 1]]) == 1:
                found.add(native[at - 1])
    return found


def _waits_for(number: int) -> list[int]:
    """Return the descriptors of the epoll a native thread waits in; none for one that waits otherwise."""
    for _ in range(_LOOKS):
        try:
            words = (_TASKS / str(number) / "syscall").read_text().split()
        except OSError:
            return []
        if words[0] != "running":
            break
        time.sleep(_LOOK_S)
    else:
        return []
    with contextlib.suppress(OSError, IndexError, ValueError):
        epoll = int(words[1], 16)
        if str((_DESCRIPTORS / str(epoll)).readlink()) == "anon_inode:[eventpoll]":
            lines = Path(f"/proc/self/fdinfo/{epoll}").read_text().splitlines()
            return [int(line.split()[1]) for line in lines if line.startswith("tfd:")]
    return []


def _port(descriptor: int) -> int:
    """Return the port a socket is bound to, of an ipc socket the number behind its path; 0 for all else."""
    with contextlib.suppress(OSError, ValueError), socket.socket(fileno=os.dup(descriptor)) as known:
        name = known.getsockname()
        return int(name[1]) if isinstance(name, tuple) else int(str(name).rpartition("-")[2])
    return 0

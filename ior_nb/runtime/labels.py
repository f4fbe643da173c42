"""`label`: what a stretch of the user's work is called, in the column `label` of all rows of it.

A label is its thread's. Labels nest: inside `outer`, `inner` is `outer/inner`. A shared one is also that of the other
threads of its process and of its child processes, as long as it lasts; what these say themselves stands below it.
Nothing has to be set up in a worker process, however it was started: see `labellog`.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from ior_nb.errors import ConfigError, IorWarning
from ior_nb.real import RLock, local
from ior_nb.runtime import own
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.labellog import OVERLAP, Change, Log

__all__ = ["LONGEST", "Label", "follow", "label", "unfollow"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

LONGEST: Final = 4096
"""Bytes of a label with all it stands in."""
_inside: Final[ContextVar[tuple[Label, ...]]] = ContextVar("ior_nb_labels", default=())
"""Labels that the running coroutine, or those that started it, have begun."""


class _Ending:
    """Goes with its thread, whose number is somebody else's then."""

    def __init__(self, thread: int) -> None:
        self._thread = thread
        self._process = _process

    def __del__(self) -> None:
        if self._process is _process and self._thread in self._process.current:
            self._process.note(self._thread, "")


class _Stack(local):
    """The labels of the calling thread, outermost first."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self.ending: _Ending | None = None


class _Process:
    """What there is once a process; a forked child begins with its own."""

    def __init__(self) -> None:
        self.stack = _Stack()
        self.shared: list[Label] = []
        self.current: dict[int, str] = {}
        """What each thread that has a label is called; 0 for the shared ones."""
        self.sharing = RLock()
        """Held while `shared` changes, which is all threads'."""
        self.followers: tuple[list[tuple[int, str]], ...] = ()
        self._begins = RLock()
        self._log: Log | None = None
        self._broken = False

    def note(self, thread: int, text: str) -> None:
        """From now on a thread has a text."""
        if text:
            self.current[thread] = text
        else:
            self.current.pop(thread, None)
        if not thread:
            for told in self.followers:
                told.append((boot_clock(), text))
        if self._log is None and not self._broken:
            self._begin()
        if self._log is not None and not self._broken and not self._add(thread, text):
            self._give_up("there are more of them than are kept of one process")

    def overlap(self) -> None:
        """Say that labels of this process were not inside one another, so that rows of one may have another's."""
        if self._log is not None and not self._broken:
            self._add(OVERLAP, "")

    def _add(self, thread: int, text: str) -> bool:
        assert self._log is not None
        try:
            return self._log.add(Change(boot_clock(), thread, text), self.current)
        except OSError as error:
            self._give_up(f"{error.strerror}: {error.filename or 'shared memory'}")
            return True

    @own.ours
    def _begin(self) -> None:
        with self._begins:
            try:
                self._log = self._log or Log()
            except OSError as error:
                self._give_up(f"{error.strerror}: {error.filename or 'shared memory'}")

    def _give_up(self, why: str) -> None:
        self._broken = True
        warnings.warn(f"rows of this process have no more labels from here on: {why}", IorWarning, stacklevel=2)


_process = _Process()
_parents: Final[list[_Process]] = []  # kept: to unmap what they have mapped is a call of the child's


def _in_child() -> None:
    global _process
    _parents.append(_process)
    _process = _Process()


os.register_at_fork(after_in_child=_in_child)


class Label:
    """A label: a context manager, a decorator, or a pair of `start` and `stop`. `label` makes one."""

    def __init__(self, text: str, *, shared: bool = False) -> None:
        self.text = _checked(text)
        self.shared = shared
        self.path = ""
        """What rows have: its text, below those it stands in."""
        self.running = False
        self._process = _process
        self._thread = 0
        self.by: tuple[int, Any] = 0, None
        """Who started it: a thread, and which coroutine there."""
        self.outer: Label | None = None
        """The one it stands in."""

    def __repr__(self) -> str:
        return f"label({self.text!r}{', shared=True' if self.shared else ''})"

    def __reduce__(self) -> tuple[Callable[[str], Label], tuple[str]]:
        return functools.partial(Label, shared=self.shared), (self.text,)  # in another process it is not in force

    def start(self) -> Label:
        """Rows from now on have it, until `stop`; return itself.

        Raises:
            ConfigError: it has been started and not stopped, or it stands in so many that its text is too long.
        """
        if self.running and self._process is _process:
            raise ConfigError(f"{self!r} is in force already; stop it before it is started again, or make another")
        if self.shared:
            with _process.sharing:
                return self._start()
        return self._start()

    def _start(self) -> Label:
        labels, by = self._labels(), (own.here(), _coroutine())
        around = labels if self.shared else [label for label in labels if label.is_around(by[1])]
        outer = around[-1] if around else None
        path = f"{outer.path}/{self.text}" if outer is not None else self.text
        if (size := len(path.encode())) > LONGEST:
            raise ConfigError(f"labels nest too deep: {size:,} bytes, at most {LONGEST:,}: {path:.60}...")
        self.path, self.running = path, True
        self._process, self._thread = _process, 0 if self.shared else by[0]
        self.by, self.outer, between = by, outer, len(around) < len(labels)
        if by[1] is not None:
            _inside.set((*_inside.get(), self))
        labels.append(self)
        if self._thread and _process.stack.ending is None:
            _process.stack.ending = _Ending(self._thread)
        _process.note(self._thread, path)
        if between:
            _process.overlap()
        return self

    def stop(self) -> None:
        """Rows from now on do not have it, nor any that was started inside it by whoever started it. Idempotent.

        Raises:
            ConfigError: it was never started, or by another thread.
        """
        if not self.path:
            raise ConfigError(f"{self!r} was never started: `with` or `start` do so")
        if not self.running or self._process is not _process:  # the latter is its parent's, in a forked child
            return
        if self.shared:
            with _process.sharing:
                self._stop()
        else:
            self._stop()

    def _stop(self) -> None:
        labels = self._labels()
        if self not in labels:
            raise ConfigError(f"{self!r} was started by another thread, which has to stop it")
        stay: list[Label] = []
        if labels[-1] is self:
            labels.pop()
            self.running = False
        else:
            stay = self._take_out(labels)
        if self.by[1] is not None:
            _inside.set(tuple([label for label in _inside.get() if label.running]))
        _process.note(self._thread, labels[-1].path if labels else "")
        if stay:
            _process.overlap()

    def _take_out(self, labels: list[Label]) -> list[Label]:
        """Take it out from among others, and those that whoever began it has begun inside it.

        Those that others began since (coroutines of the thread; threads, where labels are shared) stay, without it in
        their paths; they are returned.
        """
        inside = labels[labels.index(self) :]
        stay = [label for label in inside if label.by != self.by]
        for label in inside:
            label.running = label in stay
        labels[-len(inside) :] = stay
        for label in stay:
            while label.outer is not None and not label.outer.running:
                label.outer = label.outer.outer
            label.path = f"{label.outer.path}/{label.text}" if label.outer is not None else label.text
        return stay

    def is_around(self, coroutine: Any) -> bool:
        """Tell whether what a coroutine starts now is inside it, rather than between two steps of another one."""
        by = self.by[1]
        return by is None or by is coroutine or by.done() or self in _inside.get()

    def _labels(self) -> list[Label]:
        return _process.shared if self.shared else _process.stack.labels

    def __enter__(self) -> Label:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Decorate a function: every call of it has the label.

        Raises:
            ConfigError: it is a generator or a coroutine function, whose calls end before its body begins.
        """
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigError(f"{function.__qualname__} is async: a label is a thread's, which others use meanwhile")
        if inspect.isgeneratorfunction(function):
            raise ConfigError(f"{function.__qualname__} is a generator: use `with ior_nb.label(...)` inside it")

        @functools.wraps(function)
        def labelled(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with Label(self.text, shared=self.shared):
                return function(*args, **kwargs)

        return labelled


def label(text: str, *, shared: bool = False) -> Label:
    """Return a label for a stretch of work: `with ior_nb.label("epoch 3"): ...`, or its `start()` and `stop()`.

    The rows of calls that this thread begins meanwhile have the text in their column `label`, those inside another
    label `outer/inner`. It works in every process of this user on this machine, whoever traces it. Code with `await`
    or `yield` inside has it also for what else its thread does meanwhile.

    Args:
        text: what the stretch is called.
        shared: the other threads of this process and its child processes have it as well; what they say themselves
            stands below it.

    Raises:
        ConfigError: the text is empty or no text.
    """
    return Label(text, shared=shared)


def follow() -> list[tuple[int, str]]:
    """Return the shared label of this process, with 0 for its time, and from now on each change, with its own."""
    told = [(0, _process.current.get(0, ""))]
    _process.followers += (told,)
    return told


def unfollow(told: list[tuple[int, str]]) -> None:
    """Have nothing more told. Idempotent."""
    _process.followers = tuple(other for other in _process.followers if other is not told)


def _coroutine() -> Any:
    """Return the task of asyncio that runs in this thread; None outside of one."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:  # noqa: SLF001 - the way that raises nothing
        return None
    return asyncio.current_task()


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise ConfigError(f"a label is a text, not {text!r:.80}: label(f'epoch {{n}}')")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ConfigError(f"a label is text that can be written as UTF-8, not {text!r:.80}") from error
    if not text.strip():
        raise ConfigError(f"a label has to say something, not {text!r:.80}")
    if "\0" in text:
        raise ConfigError(f"a label has no zero byte, as {text!r:.80} has one: leave it out")
    if size > LONGEST:
        raise ConfigError(f"a label has at most {LONGEST:,} bytes, not {size:,}: {text!r:.60}...")
    return text

"""How far a long work has come: whoever goes over many rows says it here, and a bar shows it where somebody can see it.

A work is what a user asked for: a table, an export, a load. It is the calling thread's from `work` on, so that what
goes over rows need not know whose it is: `over` tells the work there is, and costs nothing where there is none. A bar
comes when a work has lasted a second, and goes with it, whatever ends it: an interrupt too, which the next piece meets.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, ParamSpec, Protocol, TypeVar

from ior_nb.real import native_id
from ior_nb.runtime.text import middle_cut, show_count

__all__ = ["Bar", "Line", "Step", "all_told", "over", "reached", "shown_by", "told", "work"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")
_C = TypeVar("_C", bound=type)
_AFTER_S: Final = 1.0
_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Step:
    """How far something has come."""

    what: str
    """What is being done, in a word or two."""
    done: int
    """Of `whole`, so much is done."""
    whole: int
    """How much there is."""
    left_s: float
    """Seconds left; below 0 where nobody knows yet."""
    unit: str = "row"
    """What is counted."""

    def text(self) -> str:
        """Return it as a line."""
        left = f", {self.left_s:,.0f} s left" if self.left_s >= 0 else ""
        return f"{self.what}: {self.done:,} of {show_count(self.whole, self.unit)}{left}"


class Bar(Protocol):
    """Shows a work."""

    def show(self, step: Step) -> None:
        """Show how far it has come."""

    def close(self) -> None:
        """Leave nothing behind."""


class Line:
    """A line on a terminal, written over and over."""

    @classmethod
    def of_terminal(cls) -> Line | None:
        """Return one on the standard error, if that is a terminal: nothing is for a file or a pipe."""
        try:
            return cls() if sys.stderr.isatty() else None
        except (AttributeError, ValueError):  # there is none, or it is closed
            return None

    def show(self, step: Step) -> None:
        """Write it; where it does not fit its middle is left out."""
        try:
            width = os.get_terminal_size(2).columns
        except OSError:
            width = 80
        self._write(middle_cut(step.text(), max(width - 1, 20)))

    def close(self) -> None:
        """Clear it."""
        self._write("")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone, and that is no reason to stop
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


_bar: Callable[[], Bar | None] = Line.of_terminal


def shown_by(make: Callable[[], Bar | None]) -> None:
    """Let this make the bars from now on; it returns None where nobody would see one."""
    global _bar
    _bar = make


class _Work:
    """What a user waits for.

    Args:
        what: it, in a word or two.
        clock: seconds that never go back.
    """

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what, self._clock = what, clock
        self._bar: Bar | None = None
        self._next = clock() + _AFTER_S
        self._pass: tuple[int, str] | None = None
        self._began, self._done = 0.0, 0

    def reached(self, done: int, whole: int, unit: str) -> None:
        """Say how far it is; less than before begins anew."""
        now = self._clock()
        if self._pass != (whole, unit) or done < self._done:
            self._pass, self._began = (whole, unit), now
        self._done = done
        if now < self._next:
            return
        self._next = now + _EVERY_S
        if self._bar is None:
            self._bar = _bar()
        if self._bar is None:
            self._next = float("inf")
            return
        spent = now - self._began
        left = spent * (whole - done) / done if done and spent else -1.0
        self._bar.show(Step(self._what, done, whole, left, unit))

    def end(self) -> None:
        if self._bar is not None:
            self._bar.close()


_current: Final[ContextVar[_Work | None]] = ContextVar("ior_nb_work", default=None)


@contextlib.contextmanager
def work(what: str, *, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Let what is done inside be one work, with one bar; inside another work, or beside the main thread, do nothing.

    Args:
        what: it, in a word or two.
        clock: seconds that never go back.
    """
    if _current.get() is not None or native_id() != os.getpid():
        yield
        return
    own = _Work(what, clock)
    token = _current.set(own)
    try:
        yield
    finally:
        _current.reset(token)
        own.end()


def reached(done: int, whole: int, unit: str = "row") -> None:
    """Say how far the work that this is a part of has come, if it is part of one."""
    if (own := _current.get()) is not None:
        own.reached(done, whole, unit)


def over(items: Iterable[_T], size: Callable[[_T], int], unit: str = "row") -> Iterator[_T]:
    """Yield items, and say after each how far that is.

    Args:
        items: pieces of a work.
        size: how large one is.
        unit: what that counts.
    """
    if _current.get() is None:
        yield from items
        return
    known: Sequence[_T] = list(items)
    sizes = [size(item) for item in known]
    whole, done = sum(sizes), 0
    reached(0, whole, unit)
    for item, amount in zip(known, sizes, strict=True):
        yield item
        done += amount
        reached(done, whole, unit)


def told(what: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorator: a call is a work of that name."""

    def wrap(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with work(what):
                return function(*args, **kwargs)

        return run

    return wrap


def all_told(made: _C) -> _C:
    """Class decorator: each public method is a work of its name, and so is what shows the whole, or counts it."""
    shown = dict.fromkeys(("__repr__", "__str__", "_repr_html_", "_repr_mimebundle_"), "summary") | {"__len__": "count"}
    for name, member in list(vars(made).items()):
        if name.startswith("_") and name not in shown:
            continue
        if isinstance(member, types.FunctionType):
            setattr(made, name, told(shown.get(name, name))(member))
        elif isinstance(member, property) and member.fget is not None:
            setattr(made, name, property(told("count")(member.fget), member.fset, member.fdel, member.__doc__))
    return made

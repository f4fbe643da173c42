"""Whose work a thread of this process does: the user's, the notebook's, or ours.

Each thread has a byte, at its number. Collectors have it too (an array map of the kernel program, mapped into this
process by `share`): at every call the kernel program reads the caller's byte, and what is not the user's work is left
out and counted as such. A change is one store to memory: no system call, no rights, exact to the call.

Who does our work says so around it: `ours`, `notebooks` and `users` wrap a function, `steps` a coroutine. They nest.
What is begun in the course of a work belongs to it: its threads, and where the work is ours its processes too
(bpf/tasks.c). A forked child has its parent's mapping, and says so under its own number.
"""

from __future__ import annotations

import contextvars
import ctypes
import functools
import mmap
import os
import threading
import types
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from ior_nb.real import Lock, Thread, current, ident, local, native_id, threads

__all__ = [
    "NOTEBOOKS",
    "OURS",
    "USERS",
    "OwnThread",
    "act_for",
    "all_ours",
    "given",
    "here",
    "not_users",
    "notebooks",
    "ours",
    "set_whole",
    "share",
    "steps",
    "survey",
    "tasks_are_their_starters",
    "unshare",
    "users",
]

USERS: Final = 0
NOTEBOOKS: Final = 1
OURS: Final = 2
"""The numbers of wire.py, which this floor may not import; a test compares them."""

_P = ParamSpec("_P")
_R = TypeVar("_R")
_C = TypeVar("_C", bound=type)

_NUMBERS: Final = 1 << 22  # no thread has a higher number: PID_MAX_LIMIT of include/linux/threads.h

_states = bytearray(_NUMBERS)  # what is true here; zero pages, of which only those written to are memory
_shared: tuple[memoryview, ...] = ()  # the same for each collector
_sharing = Lock()
_serving: Mapping[int, int] = {}  # the last survey
_traces = 0
_forked = False
_users_work: contextvars.ContextVar[bool] = contextvars.ContextVar("ior_nb_users_work", default=False)


class _Thread(local):
    """What is known of the calling thread."""

    at = 0
    """Where its byte is. 0 is nobody's: a thread that has not been asked for, or the parent's, in a forked child."""
    given: Callable[[], object] = staticmethod(lambda: None)
    """What our work gave last."""
    acts_for = 0
    """Where the byte of the thread is that waits for what this one does for it."""


_thread = _Thread()


def _here() -> int:
    """Return where the byte of the calling thread is."""
    at = _thread.at
    if not at:
        # Python has asked for the number when it began the thread: asking again is a system call. A dummy's may be that
        # of another thread, which had this ident before, or made the dummy, as debuggers do.
        mine: Any = current() or (None if _forked else threading._active.get(ident()))  # type: ignore[attr-defined] # noqa: SLF001
        told = mine is not None and not isinstance(mine, threading._DummyThread)  # noqa: SLF001 - nothing else tells
        _thread.at = at = mine.native_id if told else native_id()
        known = _serving.get(at, _shared[-1][at] if _traces else USERS)  # what a trace has seen begin it has told
        _write(at, max(known, USERS))
    return at


# A change is written out where it is needed, twice: a function for it could be interrupted before its first statement,
# and whoever is interrupted on the way back would not be the user's any more.


def _doing(state: int) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    work = state == USERS

    def wrap(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            __tracebackhide__ = True
            at = _here()
            before = _states[at]
            token = _users_work.set(work)
            try:
                _states[at] = state
                for words in _shared:
                    words[at] = state
                result = function(*args, **kwargs)
                if state == OURS:
                    _remember(result)
                return result
            finally:
                at = _thread.at  # not the same in a child that was forked meanwhile
                _states[at] = before
                for words in _shared:
                    words[at] = before
                _users_work.reset(token)

        return run

    return wrap


users = _doing(USERS)
"""Wrap what runs the user's code."""
notebooks = _doing(NOTEBOOKS)
"""Wrap what serves the notebook."""
ours = _doing(OURS)
"""Wrap what is the tracer's own work."""


@types.coroutine
def _stepped(coroutine: Coroutine[Any, Any, _R], state: int) -> Generator[Any, Any, _R]:
    work = state == USERS
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        at = _here()
        before = _states[at]
        token = _users_work.set(work)
        try:
            _states[at] = state
            for words in _shared:
                words[at] = state
            asked = coroutine.send(sent) if thrown is None else coroutine.throw(thrown)
        except StopIteration as done:
            result: _R = done.value
            return result
        finally:
            at = _thread.at
            _states[at] = before
            for words in _shared:
                words[at] = before
            _users_work.reset(token)
        try:
            sent, thrown = (yield asked), None
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:  # whatever it is, it is for the coroutine
            thrown = error


def steps(coroutine: Coroutine[Any, Any, _R], state: int = USERS) -> Awaitable[_R]:
    """Return what runs a coroutine: its steps are the user's, and what the loop does between them is not."""
    return _stepped(coroutine, state)


def all_ours(made: _C) -> _C:
    """Class decorator: what the class offers is our work, whoever calls it."""
    shown = ("__enter__", "__exit__", "__repr__", "_repr_html_", "_repr_mimebundle_", "_ipython_display_")
    for name, member in list(vars(made).items()):
        if isinstance(member, types.FunctionType) and (not name.startswith("_") or name in shown):
            setattr(made, name, ours(member))
        elif isinstance(member, property) and member.fget is not None and not name.startswith("_"):
            setattr(made, name, property(ours(member.fget), member.fset, member.fdel, member.__doc__))
    return made


def _remember(result: object) -> None:
    if result is None:
        return
    try:
        _thread.given = weakref.ref(result)
    except TypeError:  # nobody can refer to a number or a text, and they are shown without a call
        return


def given(value: object) -> bool:
    """Tell whether this is what our work gave this thread last, so that showing it is our work as well."""
    return value is not None and _thread.given() is value


def here() -> int:
    """Return the calling thread's number."""
    return _here()


def act_for(thread: int) -> None:
    """Say that the calling thread works for another, which waits for it: `survey` lets that one be, as its caller."""
    _thread.acts_for = thread


class OwnThread(Thread):
    """A thread that does our work, and nothing else, to its last call."""

    def run(self) -> None:
        """Do it."""
        set_whole(OURS)
        try:
            super().run()
        finally:
            if not _traces:
                set_whole(USERS)  # whoever is given the number next


def state() -> int:
    """Return whose work the calling thread does."""
    return _states[_here()]


def set_whole(state: int) -> None:
    """Say whose work the calling thread does from now on: what the wrappers say ends with a call, this stays."""
    _write(_here(), state)


def _write(at: int, state: int) -> None:
    _states[at] = state
    for words in _shared:
        words[at] = state


def survey(notebook: Mapping[int, int]) -> None:
    """Say of every living thread whose work it does, where that is not the user's.

    Threads that are neither ours nor the notebook's are the user's, also those that a library began in the course of
    our work and kept. The calling thread knows better and is let be, and so are those whose state is -1.

    Args:
        notebook: number of a thread -> whose work it does; -1: it says so itself.
    """
    global _serving
    living = _living()
    _serving = {**notebook, **dict.fromkeys(_own_threads(), OURS)}
    known = (_here(), _thread.acts_for)
    for at in living:
        state = _serving.get(at, USERS)
        if at not in known and state >= 0:
            _write(at, state)
    for at in _own_threads():  # one may have begun meanwhile, and have said so before it was written over
        _write(at, OURS)


def _living() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc/self/task")]


def _own_threads() -> list[int]:
    found = [thread.native_id for thread in threads() if isinstance(thread, OwnThread)]
    return [number for number in found if number is not None]


def not_users() -> list[int]:
    """Return the numbers of the other living threads that do not work for the user."""
    known = (_here(), _thread.acts_for)
    return [at for at in _living() if at not in known and _states[at]]


# ---- background work


def tasks_are_their_starters() -> None:
    """From now on a callback that a loop of the notebook runs is the user's where the user's code asked for it.

    Its context tells: it is a copy of the one it was asked for in, and so are those of all that follows from it.
    """
    from asyncio.events import Handle  # in a notebook it is there

    run = Handle._run  # noqa: SLF001 - the one place through which every callback goes
    if not hasattr(run, "__wrapped__"):
        theirs = users(run)

        @functools.wraps(run)
        def asked_for(self: Any) -> None:
            if self._context.get(_users_work) and _states[_here()] == NOTEBOOKS:
                theirs(self)
            else:
                run(self)

        Handle._run = asked_for  # type: ignore[method-assign] # noqa: SLF001


# ---- sharing


def traced(begins: bool) -> None:
    """A trace has begun, or ended: in between the kernel program knows of every thread that begins or ends."""
    global _traces
    with _sharing:
        _traces += 1 if begins else -1


def share(descriptor: int, size: int) -> memoryview:
    """Let a collector know; return what ends it. The descriptor is not needed any more.

    Raises:
        OSError: the map cannot be mapped.
    """
    global _shared
    words = _mapped(descriptor, size)
    with _sharing:
        for at in _living():
            words[at] = _states[at]
        _shared = (*_shared, words)
    return words


def unshare(words: memoryview | None) -> None:
    """A collector has ended. Idempotent."""
    global _shared
    with _sharing:
        _shared = tuple(other for other in _shared if other is not words)


def _mapped(descriptor: int, size: int) -> memoryview:
    """Return a map's bytes, all there can be; those beyond the map's are nobody's.

    Not by `mmap.mmap`, which keeps a descriptor, that the user's code may close, and another file gets its number.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    # Room for every number first: a thread whose number is beyond the map writes to memory nobody looks at.
    reserved = libc.mmap(None, _NUMBERS, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if reserved in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    size = min(size, _NUMBERS)
    found = libc.mmap(reserved, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | _MAP_FIXED, descriptor, 0)
    if found != reserved:
        number = ctypes.get_errno()
        libc.munmap(reserved, _NUMBERS)
        raise OSError(number, os.strerror(number))
    held = (ctypes.c_ubyte * _NUMBERS).from_address(reserved)
    weakref.finalize(held, libc.munmap, reserved, _NUMBERS).atexit = False
    return memoryview(held).cast("B")


_MAP_FIXED: Final = 0x10


def _in_child() -> None:
    """In a forked child: its thread has another number; whoever is about to write the old one writes to nobody's."""
    global _thread, _forked, _sharing
    _thread, _forked, _sharing = _Thread(), True, Lock()


os.register_at_fork(after_in_child=_in_child)

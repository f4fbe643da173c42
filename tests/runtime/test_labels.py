"""What the user says of stretches of his work."""

from __future__ import annotations

import asyncio
import functools
import os
import pickle
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ior_nb
from ior_nb.errors import ConfigError, IorWarning
from ior_nb.runtime import labellog
from ior_nb.runtime.labellog import Log, Reader, files
from ior_nb.runtime.labels import LONGEST, follow, unfollow

pytestmark = pytest.mark.usefixtures("place")


def _said(place: Path) -> list[tuple[int, str]]:
    return [(change.thread, change.text) for *_, path in files(place) for change in Reader(path).news()]


def _texts(place: Path) -> list[str]:
    return [text for _, text in _said(place)]


def _label_many(times: int) -> None:
    for n in range(times):
        ior_nb.label(str(n)).start().stop()


def test_a_label_lasts_as_long_as_its_block(place: Path) -> None:
    """It begins and ends with the block, on the number of the calling thread."""
    with ior_nb.label("epoch 3"):
        pass

    assert _said(place) == [(threading.get_native_id(), "epoch 3"), (threading.get_native_id(), "")]


def test_labels_nest(place: Path) -> None:
    """The inner one stands below the outer one, which is back when the inner one ends."""
    with ior_nb.label("outer"), ior_nb.label("inner"):
        pass

    assert _texts(place) == ["outer", "outer/inner", "outer", ""]


def test_start_and_stop_do_as_the_block_does(place: Path) -> None:
    """One label can be used again and again."""
    label = ior_nb.label("epoch")
    for _ in range(2):
        label.start()
        label.stop()

    assert _texts(place) == ["epoch", "", "epoch", ""]


def test_a_decorator_labels_every_call(place: Path) -> None:
    """Also a call in the course of another one; what the function returns and is called stays."""

    @ior_nb.label("f")
    def down(n: int) -> int:
        """Go down."""
        return 0 if n == 0 else 1 + down(n - 1)

    assert down(1) == 1
    assert (down.__name__, down.__doc__) == ("down", "Go down.")
    assert _texts(place) == ["f", "f/f", "f", ""]


def test_an_error_passes_and_ends_the_label(place: Path) -> None:
    """What the block raises is raised."""
    with pytest.raises(KeyError), ior_nb.label("bad"):
        raise KeyError

    assert _texts(place) == ["bad", ""]


def test_stopping_a_label_stops_those_inside(place: Path) -> None:
    """What was started inside and never stopped does not outlive what it stands in."""
    outer, inner = ior_nb.label("outer").start(), ior_nb.label("inner").start()

    outer.stop()
    inner.stop()

    assert _texts(place) == ["outer", "outer/inner", ""]


def test_threads_have_labels_of_their_own(place: Path) -> None:
    """What one thread is in is not what another one says."""

    def work() -> None:
        with ior_nb.label("theirs"):
            pass

    with ior_nb.label("mine"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert _said(place)[1:3] == [(thread.native_id, "theirs"), (thread.native_id, "")]
    assert _texts(place) == ["mine", "theirs", "", ""]


def test_a_thread_that_ends_is_called_nothing(place: Path) -> None:
    """Its number is given to others, who have not said what it said."""
    thread = threading.Thread(target=lambda: ior_nb.label("left").start())
    thread.start()
    thread.join()

    assert _said(place) == [(thread.native_id, "left"), (thread.native_id, "")]


def test_a_shared_label_is_the_processs(place: Path) -> None:
    """It has no thread, and what threads say stands below it where rows are made."""
    with ior_nb.label("epoch", shared=True), ior_nb.label("batch"):
        pass

    assert _said(place) == [
        (0, "epoch"),
        (threading.get_native_id(), "batch"),
        (threading.get_native_id(), ""),
        (0, ""),
    ]


def test_who_follows_is_told_the_shared_labels() -> None:
    """The one in force, and each change with its time, until he has heard enough; threads' labels are their own."""
    with ior_nb.label("before", shared=True):
        told = follow()
        with ior_nb.label("mine"), ior_nb.label("epoch", shared=True):
            pass
    unfollow(told)
    with ior_nb.label("after", shared=True):
        pass

    assert [text for _, text in told] == ["before", "before/epoch", "before", ""]
    assert [at for at, _ in told] == sorted(at for at, _ in told)


def test_coroutines_are_not_inside_one_another(place: Path) -> None:
    """What takes turns in a thread stands in what is around all of it, and ends for itself; that it did is told."""

    async def work(name: str, turn: asyncio.Event, done: asyncio.Event) -> None:
        with ior_nb.label(name), ior_nb.label("in"):
            turn.set()
            await done.wait()

    async def both() -> None:
        turn, never = asyncio.Event(), asyncio.Event()
        with ior_nb.label("outer"):
            first = asyncio.create_task(work("a", turn, never))
            await turn.wait()
            second = asyncio.create_task(work("b", asyncio.Event(), done := asyncio.Event()))
            await asyncio.sleep(0)
            never.set()
            await first
            done.set()
            await second

    asyncio.run(both())
    readers = [Reader(path) for *_, path in files(place)]
    texts = [change.text for reader in readers for change in reader.news()]

    a, b = ["outer/a", "outer/a/in"], ["outer/b", "outer/b/in"]
    assert texts == ["outer", *a, *b, "outer/b/in", "outer/b/in", "outer/b", "outer", ""]
    assert [reader.overlap for reader in readers] == [True]


def test_labels_that_threads_share_end_for_themselves(place: Path) -> None:
    """One that another thread has started inside goes on without the outer ones; that they overlapped is told."""
    first, inner, second = (ior_nb.label(name, shared=True) for name in ("a", "in", "b"))
    first.start()
    inner.start()
    thread = threading.Thread(target=second.start)
    thread.start()
    thread.join()
    first.stop()
    running = second.running
    second.stop()
    readers = [Reader(path) for *_, path in files(place)]
    texts = [change.text for reader in readers for change in reader.news()]

    assert running
    assert texts == ["a", "a/in", "a/in/b", "b", ""]
    assert [reader.overlap for reader in readers] == [True]


def test_labels_that_are_inside_one_another_do_not_overlap(place: Path) -> None:
    """Nor do those of a coroutine that another one waits for, or shared ones of two threads, the inner one first."""

    async def inner() -> None:
        with ior_nb.label("inner"):
            await asyncio.sleep(0)

    async def outer() -> None:
        with ior_nb.label("outer"):
            await asyncio.create_task(inner())

    asyncio.run(outer())
    with ior_nb.label("epoch", shared=True):
        thread = threading.Thread(target=ior_nb.label("theirs", shared=True)(os.getpid))
        thread.start()
        thread.join()

    assert _texts(place) == ["outer", "outer/inner", "outer", "", "epoch", "epoch/theirs", "epoch", ""]
    assert [reader.overlap for *_, path in files(place) if (reader := Reader(path)).news()] == [False]


def test_labels_of_finished_coroutines_are_around_what_comes_later(place: Path) -> None:
    """As that of a cell of a notebook, which runs in one and is over when the next one begins."""
    label = ior_nb.label("cells")

    async def cell() -> None:
        label.start()

    asyncio.run(cell())
    with ior_nb.label("later"):
        pass
    label.stop()

    assert _texts(place) == ["cells", "cells/later", "cells", ""]


def test_a_forked_child_has_its_own(place: Path) -> None:
    """It begins without a label, and the end of its parent's is not its own."""
    with ior_nb.label("parent"):
        child = os.fork()
        if not child:
            with ior_nb.label("child"):
                pass
        os._exit(0) if not child else os.waitpid(child, 0)

    assert sorted(_said(place)) == sorted(
        [(child, "child"), (child, ""), (threading.get_native_id(), "parent"), (threading.get_native_id(), "")]
    )


def test_a_forked_child_may_leave_its_parents_block(place: Path) -> None:
    """The child's copy of the block ends as blocks do, and says nothing."""
    child = 1
    with ior_nb.label("parent"):
        child = os.fork()
    if not child:
        os._exit(0)

    assert os.waitpid(child, 0)[1] == 0
    assert _texts(place) == ["parent", ""]


def test_a_label_makes_no_system_call(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the first one of a process, which makes the file."""
    ior_nb.label("first").start().stop()
    for name in ("open", "stat", "lstat", "listdir", "mkdir", "getpid", "kill"):
        monkeypatch.setattr(os, name, functools.partial(pytest.fail, name))

    with ior_nb.label("second"):
        pass

    monkeypatch.undo()


def test_without_shared_memory_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning says that there are no labels, and why."""
    monkeypatch.setattr(Log, "_next", lambda _: os.posix_fallocate(-1, 0, 1))

    with pytest.warns(IorWarning, match=r"no more labels from here on: Bad file descriptor") as told:
        _label_many(3)

    assert len(told) == 1


def test_more_than_is_kept_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that labels without end while it is traced is told where it ends."""
    monkeypatch.setattr(labellog, "_MOST", 1)
    labellog.mark()

    with pytest.warns(IorWarning, match="more of them than are kept"):
        _label_many(3000)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has to say something"),
        ("  ", "has to say something"),
        ("a\0b", "no zero byte"),
        (3, r"is a text, not 3: label\(f'epoch \{n\}'\)"),
        (None, "is a text"),
        ("\ud800", "UTF-8"),
        ("x" * (LONGEST + 1), "at most 4,096 bytes, not 4,097"),
    ],
)
def test_a_text_that_is_none_is_an_error(text: Any, why: str) -> None:
    """The error says what a label is and what was seen."""
    with pytest.raises(ConfigError, match=why):
        ior_nb.label(text)


def test_labels_without_end_inside_each_other_are_an_error() -> None:
    """A recursion that labels each of its steps is told before its texts take the memory."""
    with pytest.raises(ConfigError, match="nest too deep"), ior_nb.label("x" * LONGEST), ior_nb.label("y"):
        pass


def test_a_label_in_force_is_not_started_again() -> None:
    """One object is one stretch at a time."""
    with ior_nb.label("a") as label, pytest.raises(ConfigError, match=r"label\('a'\) is in force already"):
        label.start()


def test_a_label_never_started_is_not_stopped() -> None:
    """The error says what starts it."""
    with pytest.raises(ConfigError, match="was never started: `with` or `start` do so"):
        ior_nb.label("a").stop()


def test_a_label_is_stopped_by_its_own_thread() -> None:
    """Another one is told so."""
    found: list[str] = []

    def stop(label: Any) -> None:
        try:
            label.stop()
        except ConfigError as error:
            found.append(str(error))

    with ior_nb.label("a") as label:
        thread = threading.Thread(target=stop, args=(label,))
        thread.start()
        thread.join()

    assert found == ["label('a') was started by another thread, which has to stop it"]


def test_a_label_goes_to_other_processes_as_it_was_made() -> None:
    """What is decorated can be sent to workers: there nothing is in force yet."""
    with ior_nb.label("a", shared=True) as label:
        sent = pickle.loads(pickle.dumps(label))

    assert repr(sent) == "label('a', shared=True)"
    with sent:
        pass


async def _coroutine() -> None: ...


async def _steps() -> AsyncIterator[int]:
    yield 1


def _generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [_coroutine, _steps, _generator])
def test_what_runs_after_its_call_is_not_decorated(function: Callable[[], object]) -> None:
    """A label that ends before the work begins would be none, without a word."""
    with pytest.raises(ConfigError, match=function.__name__):
        ior_nb.label("a")(function)

from __future__ import annotations

import _thread
import asyncio
import contextvars
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ior_nb.engine.collector import wire
from ior_nb.runtime import own


@pytest.fixture
def words() -> Iterator[memoryview]:
    """What a collector sees."""
    memory = os.memfd_create("words")
    os.truncate(memory, 1 << 22)
    shared = own.share(memory, 1 << 22)
    os.close(memory)
    yield shared
    own.unshare(shared)


def now() -> int:
    """Return whose work the calling thread does."""
    return own.state()


def test_the_numbers_are_those_of_the_kernel_program() -> None:
    """Both sides mean the same by a byte."""
    assert (own.USERS, own.NOTEBOOKS, own.OURS) == (wire.W_USERS, wire.W_NOTEBOOKS, wire.W_OURS)


def test_works_nest_and_end(words: memoryview) -> None:
    """A wrapped function does its work inside, and what was done before goes on after it; so a collector sees it."""
    seen: list[tuple[int, int]] = []
    me = threading.get_native_id()

    def look() -> None:
        seen.append((now(), words[me]))

    @own.ours
    def verb() -> None:
        look()
        own.notebooks(look)()
        own.users(look)()
        look()

    verb()
    look()

    assert seen == [(own.OURS,) * 2, (own.NOTEBOOKS,) * 2, (own.USERS,) * 2, (own.OURS,) * 2, (own.USERS,) * 2]


def test_an_exception_ends_a_work(words: memoryview) -> None:
    """Who is interrupted goes on as the user."""
    with pytest.raises(KeyboardInterrupt):
        own.ours(lambda: (_ for _ in ()).throw(KeyboardInterrupt).__next__())()

    assert (now(), words[threading.get_native_id()]) == (own.USERS, own.USERS)


def test_every_thread_speaks_for_itself(words: memoryview) -> None:
    """What one does says nothing of another."""
    go, done, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        go.wait()
        seen.append((now(), words[threading.get_native_id()]))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()

    @own.ours
    def verb() -> None:
        go.set()
        done.wait()

    verb()
    thread.join()

    assert seen == [(own.USERS, own.USERS)]


def test_a_thread_is_itself_where_threading_takes_it_for_another(words: memoryview) -> None:
    """Its work is said at its own number, whatever number its dummy has; nobody else's byte changes."""
    me, seen, done = threading.get_native_id(), [], threading.Event()

    def look() -> None:
        seen.append((words[me], words[threading.get_native_id()]))

    def other() -> None:
        # as debuggers make them for threads they have not begun, and as they stay behind for who has the ident next
        threading.current_thread()._native_id = me  # type: ignore[attr-defined]
        own.notebooks(look)()
        threading._active.pop(threading.get_ident())  # type: ignore[attr-defined]
        done.set()

    _thread.start_new_thread(other, ())
    done.wait(10)

    assert seen == [(own.USERS, own.NOTEBOOKS)]


def test_the_steps_of_a_coroutine_are_a_work_and_the_loop_between_is_not() -> None:
    """What a coroutine does is the user's, also after it waited, was interrupted or failed; the loop is as before."""
    seen: list[int] = []

    async def users_code() -> str:
        seen.append(now())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        seen.append(now())
        await asyncio.sleep(0)
        seen.append(now())
        return "done"

    async def kernel() -> Any:
        asyncio.get_running_loop().call_later(0.005, lambda: between.append(now()))
        return await own.steps(users_code())

    between: list[int] = []
    result = own.notebooks(asyncio.run)(kernel())

    assert result == "done"
    assert seen == [own.USERS] * 3
    assert between == [own.NOTEBOOKS]
    assert now() == own.USERS


def test_background_work_is_that_of_who_asked_for_it() -> None:
    """A task or callback that the user's code began is the user's between cells; the notebook's are not."""
    own.tasks_are_their_starters()
    seen: dict[str, list[int]] = {"user": [], "notebook": [], "of the task": []}

    async def background(name: str) -> None:
        for _ in range(3):
            seen[name].append(now())
            await asyncio.sleep(0)
        if name == "user":
            asyncio.get_running_loop().call_soon(lambda: seen["of the task"].append(now()))

    async def cell() -> None:
        tasks.append(asyncio.create_task(background("user")))

    async def kernel() -> None:
        tasks.append(asyncio.create_task(background("notebook")))
        await own.steps(cell())
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    own.notebooks(asyncio.run)(kernel())

    assert seen == {"user": [own.USERS] * 3, "notebook": [own.NOTEBOOKS] * 3, "of the task": [own.USERS]}


def test_a_context_of_its_own_does_not_take_the_user_s_work_away() -> None:
    """In the user's own loop everything is the user's, whatever context it runs in."""
    own.tasks_are_their_starters()
    seen: list[int] = []

    async def main() -> None:
        done = asyncio.Event()

        def callback() -> None:
            seen.append(now())
            done.set()

        asyncio.get_running_loop().call_soon(callback, context=contextvars.Context())
        await done.wait()

    asyncio.run(main())

    assert seen == [own.USERS]


def test_a_thread_of_ours_is_ours_to_its_last_call(words: memoryview) -> None:
    """An `OwnThread` does our work from its first line on; untraced its number is free again when it has ended."""
    seen: list[tuple[int, int]] = []

    def work() -> None:
        seen.append((threading.get_native_id(), words[threading.get_native_id()]))

    thread = own.OwnThread(work, name="ior-test")
    thread.start()
    thread.join()

    assert seen == [(thread.native_id, own.OURS)]
    assert words[thread.native_id or 0] == own.USERS


def test_a_survey_says_of_every_thread_what_it_is(words: memoryview) -> None:
    """Threads given are the notebook's or speak for themselves, ours are ours, others are the user's by any name."""
    gate = threading.Event()
    users = threading.Thread(target=gate.wait, name="ior-pump")
    notebooks, cells = (threading.Thread(target=gate.wait) for _ in range(2))

    def wait() -> None:
        gate.wait()

    ours = own.OwnThread(wait, name="ior-test")
    for thread in (users, notebooks, cells, ours):
        thread.start()
    numbers = [thread.native_id or 0 for thread in (users, notebooks, cells, ours)]
    words[numbers[0]] = own.NOTEBOOKS  # left behind by who had the number before
    words[numbers[2]] = own.NOTEBOOKS
    own.survey({numbers[1]: own.NOTEBOOKS, numbers[2]: -1})
    found = [words[number] for number in numbers]
    gate.set()

    assert found == [own.USERS, own.NOTEBOOKS, own.NOTEBOOKS, own.OURS]
    assert now() == own.USERS


def test_what_our_work_gave_last_is_known_again() -> None:
    """Showing a result of ours is our work as well; an equal object of the user's is not it."""

    class Result:
        pass

    result = own.ours(Result)()
    other = Result()

    assert own.given(result)
    assert not own.given(other)
    assert not own.given(None)


def test_a_class_may_be_ours_as_a_whole() -> None:
    """Public methods and properties of a marked class are our work; private ones are called by them."""

    @own.all_ours
    class Offered:
        def method(self) -> int:
            return now()

        @property
        def value(self) -> int:
            return now()

        def __repr__(self) -> str:
            return str(now())

    assert (Offered().method(), Offered().value, repr(Offered())) == (own.OURS, own.OURS, str(own.OURS))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_writes_nothing_for_its_parent(words: memoryview) -> None:
    """A child that returns through its parent's works leaves the parent's byte alone, and has one of its own."""
    me = threading.get_native_id()
    ends = os.pipe()

    @own.ours
    def forks() -> int:
        return os.fork()

    child = forks()
    if not child:
        inside = own.notebooks(lambda: words[os.getpid()])()
        os.write(ends[1], bytes([inside, words[os.getpid()]]))
        os._exit(0)
    words[me] = own.NOTEBOOKS
    told = os.read(ends[0], 2)
    os.waitpid(child, 0)
    kept, words[me] = words[me], own.USERS
    for end in ends:
        os.close(end)

    assert told == bytes([own.NOTEBOOKS, own.USERS])
    assert kept == own.NOTEBOOKS


def test_numbers_beyond_the_map_harm_nobody() -> None:
    """A map smaller than the highest number of a thread can be written to anywhere."""
    memory = os.memfd_create("words")
    os.truncate(memory, 4096)
    shared = own.share(memory, 4096)
    shared[(1 << 22) - 1] = own.OURS
    size = os.fstat(memory).st_size
    own.unshare(shared)
    os.close(memory)

    assert size == 4096


def test_what_cannot_be_mapped_is_refused() -> None:
    """A descriptor that is no map is an OSError, and nothing is shared."""
    ends = os.pipe()
    with pytest.raises(OSError, match=r"\w"):
        own.share(ends[0], 4096)
    for end in ends:
        os.close(end)

    assert own._shared == ()

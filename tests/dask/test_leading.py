"""One process of a place traces it, and when that has gone another one goes on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Status

from ior_nb.dask import clocks, host, leading
from ior_nb.dask.above import Above
from ior_nb.dask.leading import Leading, begun_at, still_there, turn
from ior_nb.dask.told import Order


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a name that nobody has."""
    monkeypatch.setattr(leading, "_AGAIN_S", 0.01)


async def waiting(run: str, leads: Leading, count: int) -> list[asyncio.Task[leading.Turn]]:
    """Return some who wait for their turn and have been heard by who leads."""
    tasks = [asyncio.create_task(turn(run)) for _ in range(count)]
    while len(leads._others) < count:
        await asyncio.sleep(0.01)
    return tasks


def test_one_has_the_name_and_another_trace_another_name() -> None:
    """Who comes second is refused; when the first has given it up, it is free."""

    async def check() -> None:
        run = uuid.uuid4().hex
        first = Leading(run)
        with pytest.raises(OSError, match="in use"):
            Leading(run)
        Leading(uuid.uuid4().hex).give_up()
        first.give_up()
        first.give_up()
        Leading(run).give_up()

    asyncio.run(check())


def test_one_of_those_who_wait_goes_on_and_the_others_wait_for_that_one() -> None:
    """Each turn comes when the one before is over, and says whose that was."""

    async def check() -> None:
        run = uuid.uuid4().hex
        leads = Leading(run)
        leads.begun()
        tasks = await waiting(run, leads, 3)
        for _ in range(3):
            assert leads.is_followed
            leads.give_up()
            done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0.05)
            assert len(done) == 1
            assert [task for task in others if task.done()] == []
            leads, after, _ = done.pop().result()
            assert after == os.getpid()
            leads.begun()
            tasks = list(others)
            while len(leads._others) < len(tasks):
                await asyncio.sleep(0.01)
        assert not leads.is_followed
        leads.give_up()

    asyncio.run(asyncio.wait_for(check(), 20))


def test_who_could_not_begin_is_nobody_to_go_on_after() -> None:
    """The next one has its turn after the same process as that one."""

    async def check() -> None:
        run = uuid.uuid4().hex
        first = Leading(run)
        first.begun()
        first._said = b"7"
        tasks = await waiting(run, first, 2)
        first.give_up()
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        leads, after, _ = done.pop().result()
        leads.give_up()
        last, same, _ = await others.pop()
        last.give_up()
        assert after == same == 7

    asyncio.run(asyncio.wait_for(check(), 20))


def test_a_name_ends_with_its_process() -> None:
    """Also of one that is killed, at once: nobody has to say anything."""
    run = uuid.uuid4().hex
    code = (
        "import asyncio, sys\nfrom ior_nb.dask.leading import Leading\n"
        f"async def main():\n    Leading({run!r}).begun()\n    print(flush=True)\n    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        async def check() -> int:
            task = asyncio.create_task(turn(run))
            await asyncio.sleep(0.3)
            assert not task.done()
            process.kill()
            leads, after, _ = await task
            leads.give_up()
            return after

        after = asyncio.run(asyncio.wait_for(check(), 20))

    assert after == process.pid


def test_a_number_that_is_another_process_s_by_now_is_not_there() -> None:
    """A trace that goes on is of the processes the first one was of."""
    known = begun_at([os.getpid(), 2**22 + 5])

    assert still_there(known) == (os.getpid(),)
    assert still_there({os.getpid(): "1"}) == ()


def test_a_trace_that_is_ended_while_it_begins_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The end waits for the begin: nothing is traced for ever that nobody knows of."""
    done: list[str] = []

    def begin(self: Any) -> None:
        time.sleep(0.2)
        done.append("begun")

    async def check() -> None:
        run = uuid.uuid4().hex
        order = Order(run=run, folder=str(tmp_path), token="none", wanted={})
        begins = asyncio.create_task(host._begin(order, (1,), server=None))
        await asyncio.sleep(0.05)
        await host.end(run, Above(), None)
        await begins
        host.clean(run, ())

    monkeypatch.setattr(host._Host, "begin", begin)
    monkeypatch.setattr(host._Host, "stop", lambda self: done.append("stopped"))
    asyncio.run(asyncio.wait_for(check(), 20))

    assert done == ["begun", "stopped"]


def test_a_client_is_not_gone_because_one_nanny_of_the_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler is asked by one that is open."""
    closed, open_ = SimpleNamespace(status=Status.closed), SimpleNamespace(status=Status.running)
    asked: list[Any] = []

    async def is_there(server: Any, run: str) -> bool:
        asked.append(server)
        return server is open_

    async def check() -> None:
        order = Order(run="run", folder="", token="", wanted={})
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(host._watch(order, closed), 0.3)

    monkeypatch.setattr(clocks, "client_is_there", is_there)
    monkeypatch.setattr(host, "_LOOK_S", 0.01)
    monkeypatch.setitem(host._servers, "run", {"one": closed, "other": open_})
    asyncio.run(check())

    assert len(asked) > host._LOOKS
    assert set(map(id, asked)) == {id(open_)}

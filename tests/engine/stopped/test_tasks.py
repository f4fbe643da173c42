"""Whose calls they are, and who may not be held."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ior_nb.engine.stopped import tasks as module
from ior_nb.engine.stopped.source import Birth, Block, Calls
from ior_nb.engine.stopped.tasks import Tasks, comm_of, has_ended, program_name, why_not, yama_scope

GONE = (1 << 22) + 1
"""No task has this number."""


def test_a_thread_has_its_makers_process_and_a_child_its_makers_folder() -> None:
    """What a task has from the one that made it needs no /proc: it may be gone already."""
    tasks = Tasks({7: 1})
    tasks.pids, tasks.comms, tasks.folders = {7: 7}, {7: b"maker"}, {7: b"/home"}
    tasks.learn({GONE, GONE + 1}, {GONE: Birth(7, True), GONE + 1: Birth(GONE, False)})

    assert (tasks.pids[GONE], tasks.pids[GONE + 1]) == (7, GONE + 1)
    assert tasks.comms[GONE + 1] == b"maker"
    assert tasks.parents[GONE + 1] == 7
    assert tasks.folders[GONE + 1] == b"/home"
    assert tasks.begun == [(GONE + 1, 7)]


def test_a_number_that_is_in_use_again_is_another_task() -> None:
    """A process that has ended is forgotten, and the next one of its number has another parent."""
    tasks = Tasks({7: 1})
    tasks.learn({7, GONE + 1}, {GONE: Birth(7, False)})
    ended = tasks.end(Block(Calls(0), ended=[(GONE, 5)]))
    tasks.learn(set(), {GONE: Birth(GONE + 1, False)})

    assert ended == [(GONE, 5)]
    assert tasks.parents[GONE] == GONE + 1


def test_a_child_may_be_its_makers_sibling() -> None:
    """With CLONE_PARENT the parent is that of the maker."""
    tasks = Tasks({7: 1})
    tasks.learn({7, GONE}, {GONE: Birth(7, False, sibling=True)})

    assert tasks.parents[GONE] == 1


def test_a_birth_that_is_told_late_changes_nothing() -> None:
    """A vfork returns when its child has executed a program, or has ended: what is known of the child stays."""
    tasks = Tasks({7: 1})
    tasks.learn({7, GONE}, {})
    tasks.comms[GONE] = b"program"
    news = tasks.learn({7, GONE}, {GONE: Birth(7, False)})

    assert news == {}
    assert tasks.comms[GONE] == b"program"


def test_a_task_that_is_gone_before_its_birth_is_told_is_of_the_one_maker() -> None:
    """One call is making a task, one task is unknown to /proc as well: these belong together, whatever comes later."""
    tasks = Tasks({7: 1})
    tasks.pids, tasks.comms, tasks.folders = {7: 7}, {7: b"maker"}, {7: b"/home"}
    news = tasks.learn({7, GONE}, {}, [Birth(7, False, 3)])

    assert news == {GONE: Birth(7, False, 3)}
    assert tasks.begun == [(GONE, 7)]
    assert (tasks.comms[GONE], tasks.folders[GONE]) == (b"maker", b"/home")
    assert tasks.learn({7, GONE}, {GONE: Birth(7, False)}) == {}


@pytest.mark.parametrize(("tids", "making"), [({GONE}, 2), ({GONE, GONE + 1}, 1), ({GONE}, 0)])
def test_nobody_guesses_who_made_a_task(tids: set[int], making: int) -> None:
    """Where two could be the maker, or two the made, the parent of a task that is gone is not known."""
    tasks = Tasks({7: 1, 8: 1})
    tasks.learn({7, 8}, {7: Birth(7, False), 8: Birth(8, False)})
    news = tasks.learn(tids, {}, [Birth(7 + k, False) for k in range(making)])

    assert news == {}
    assert {tasks.parents[tid] for tid in tids} == {0}


def test_a_long_line_of_forks_is_met() -> None:
    """Thousands of processes, each made by the one before, may be told of at once."""
    tasks = Tasks({7: 1})
    tasks.pids, tasks.comms, tasks.folders = {7: 7}, {7: b"maker"}, {7: b"/home"}
    line = range(GONE, GONE + 3000)
    tasks.learn({line[-1]}, {pid: Birth(pid - 1 if pid > GONE else 7, False) for pid in line})

    assert tasks.parents[line[-1]] == line[-2]
    assert tasks.comms[line[-1]] == b"maker"


def test_a_living_task_is_asked_for() -> None:
    """This process has its parent, its name and its folder from /proc."""
    tasks = Tasks({})
    tasks.learn({os.getpid()}, {})

    assert tasks.parents[os.getpid()] == os.getppid()
    assert tasks.comms[os.getpid()] == comm_of(os.getpid()) != b""
    assert tasks.folders[os.getpid()] == os.fsencode(Path.cwd())


@pytest.mark.parametrize(
    ("scope", "told"), [("1\n", "parents only"), ("2\n", "only root may"), ("3\n", "until the next boot"), ("0\n", "")]
)
def test_yama_is_told_with_its_setting(scope: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal says which setting it comes from, and what changes it."""
    (tmp_path / "scope").write_text(scope)
    monkeypatch.setattr(module, "_YAMA", tmp_path / "scope")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() or 7)
    monkeypatch.setattr(module, "_status", lambda pid: {"TracerPid": "0", "VmSize": "9 kB", "Uid": f"{os.geteuid()}"})
    monkeypatch.setattr(module, "_owner", lambda pid: os.geteuid())

    assert yama_scope() == int(scope)
    assert told in why_not(os.getpid())
    assert bool(told) == bool(why_not(os.getpid()))


def test_a_process_that_is_gone_or_anothers_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in words of its own."""
    assert why_not(GONE) == f"process {GONE} is gone"
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    monkeypatch.setattr(module, "_status", lambda pid: {"TracerPid": "0", "VmSize": "9 kB", "Uid": "8 8 8 8"})

    assert "is not yours (user 8, you are 7)" in why_not(1)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"State": "Z (zombie)"}, "has ended already"),
        ({"State": "S (sleeping)"}, "is a part of the kernel"),
        ({"State": "S (sleeping)", "VmSize": "9 kB", "Uid": "7", "CapPrm": "01"}, "has capabilities that you have not"),
        ({"State": "S (sleeping)", "VmSize": "9 kB", "Uid": "7", "CapPrm": "00"}, "keeps others from looking at it"),
    ],
)
def test_who_cannot_be_held_says_why(status: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel refuses in three words is told with its reason."""
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    monkeypatch.setattr(module, "_owner", lambda pid: 0)
    monkeypatch.setattr(module, "_status", lambda pid: {"CapEff": "00"} if pid == os.getpid() else status)

    assert told in why_not(GONE)


def test_a_process_without_its_first_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not ended: other threads go on."""
    monkeypatch.setattr(module, "threads", lambda pid: [pid, pid + 1])
    monkeypatch.setattr(module, "_status", lambda pid: {"State": "Z (zombie)"})

    assert not has_ended(GONE)
    assert "the first thread" in why_not(GONE)


def test_a_program_names_its_task_as_the_kernel_does() -> None:
    """The last component of the path, 15 bytes of it."""
    assert program_name(b"/usr/bin/a-program-of-a-long-name") == b"a-program-of-a-"

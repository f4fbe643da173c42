"""Threads and locks that no patch reaches."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ior_nb import real

ROOT = Path(__file__).resolve().parents[1]


def test_a_thread_has_its_own_number_and_name() -> None:
    """It is known by both while it runs, and by neither afterwards."""
    seen: list[tuple[str, int | None, int, bool]] = []

    def work() -> None:
        me = real.current()
        assert me is not None
        seen.append((me.name, me.native_id, threading.get_native_id(), me in real.threads()))

    thread = real.Thread(work, name="ior-test")
    thread.start()
    ended = thread.join(10)

    assert ended
    assert seen == [("ior-test", thread.native_id, thread.native_id, True)]
    assert thread.native_id != threading.get_native_id()
    assert thread not in real.threads()
    assert real.current() is None


def test_a_thread_that_was_never_started_is_joined_at_once() -> None:
    """There is nothing to wait for, and nothing to fail."""
    thread = real.Thread(print, name="ior-test")

    assert thread.join()
    assert not thread.is_alive()


def test_no_more_threads_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like any other lack: an OSError, and the thread counts as never started."""

    def refuse(*arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(real, "_thread", type("Refusing", (), {"start_new_thread": staticmethod(refuse)}))
    thread = real.Thread(print, name="ior-test")
    with pytest.raises(OSError, match="no thread can be started"):
        thread.start()

    assert thread.join()


def test_an_event_wakes_who_waits_in_time() -> None:
    """Waiting ends with the event or with the time, and says which."""
    event = real.Event()
    early = event.wait(0.001)
    thread = real.Thread(event.set, name="ior-test")
    thread.start()

    assert event.wait(10)
    assert not early
    event.clear()
    assert not event.is_set()


def test_a_condition_wakes_all() -> None:
    """Every thread that waits goes on when one notifies."""
    condition, came, out = real.Condition(), [0], [False]

    def wait() -> None:
        with condition.lock:
            came[0] += 1
            condition.notify_all()
            condition.wait_for(lambda: out[0])

    threads = [real.Thread(wait, name=f"ior-test-{n}") for n in range(3)]
    for thread in threads:
        thread.start()
    with condition.lock:
        condition.wait_for(lambda: came[0] == 3)
        out[0] = True
        condition.notify_all()

    assert all(thread.join(10) for thread in threads)


def test_a_descriptor_that_was_closed_and_taken_is_not_ours(tmp_path: Path) -> None:
    """Its number is refused, and closing it closes nobody else's."""
    ours = real.Descriptor(os.open(tmp_path / "ours", os.O_CREAT | os.O_RDWR))
    number = ours.fd
    theirs = os.open(tmp_path / "theirs", os.O_CREAT | os.O_RDWR)
    os.dup2(theirs, number)
    with pytest.raises(OSError, match="closed a descriptor that was not its own"):
        _ = ours.fd
    ours.close()

    assert os.fstat(number).st_ino == os.fstat(theirs).st_ino
    os.close(number)
    os.close(theirs)


def test_a_descriptor_lies_away_from_those_a_program_opens(tmp_path: Path) -> None:
    """The number a program frees is the one its next file gets, so ours are not among them; nor are they inherited."""
    ours = real.Descriptor(os.open(tmp_path / "ours", os.O_CREAT | os.O_RDWR))

    assert ours.fd >= 500
    assert not os.get_inheritable(ours.fd)
    ours.close()
    with pytest.raises(OSError, match="closed"):
        _ = ours.fd


def test_a_file_that_was_closed_is_opened_again_by_its_path(tmp_path: Path) -> None:
    """Whatever has its number now; another file of that name is not taken for it."""
    path = tmp_path / "ours"
    ours = real.Descriptor(os.open(path, os.O_CREAT | os.O_RDWR), path)
    before = ours.fd
    os.close(before)
    os.write(ours.fd, b"more")
    os.close(ours.fd)
    content = path.read_bytes()
    path.rename(tmp_path / "moved")
    path.write_bytes(b"precious")

    assert content == b"more"
    with pytest.raises(OSError, match="was not its own"):
        _ = ours.fd
    assert path.read_bytes() == b"precious"


PATCH = """
def patch():
    import _thread, os, queue, select, socket, subprocess, sys, threading, time
    def patched(module, name):
        original = getattr(module, name)
        def check():
            if sys._getframe(2).f_globals.get("__name__", "").startswith("ior_nb"):
                raise AssertionError(f"{module.__name__}.{name} was called")
        def function(*arguments, **more):
            check()
            return original(*arguments, **more)
        def begin(self, *arguments, **more):
            check()
            original.__init__(self, *arguments, **more)
        is_class = isinstance(original, type) and module is not _thread
        setattr(module, name, type(name, (original,), {"__init__": begin}) if is_class else function)
    for module, names in (
        (_thread, "start_new_thread allocate_lock RLock"),
        (threading, "Thread Event Condition Timer"),  # locks: numpy makes its own in our name
        (queue, "Queue"),
        (select, "poll select"),
        (socket, "socketpair socket"),
        (subprocess, "Popen run"),
        (os, "fork posix_spawn waitpid"),
        (time, "sleep"),
    ):
        for name in names.split():
            patched(module, name)
"""
BODY = """
with ior_nb.trace(engine=sys.argv[1], record=sys.argv[2]) as t:
    for _ in range(11):
        os.stat("/etc/hostname")
print(int((t.batch.text("file") == "/etc/hostname").sum()), t.accounting.complete, t.recording is not None)
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("engine", ["demo", pytest.param("bcc", marks=pytest.mark.live)])
def test_patched_modules_do_no_harm(when: str, engine: str, tmp_path: Path) -> None:
    """Whatever stands in the place of threads, sockets and processes, before or after the import, is not used."""
    load = "import ior_nb.session.tracing, ior_nb.engine.bcc, ior_nb.engine.demo\n"
    order = ("patch()\n", load) if when == "before" else (load, "patch()\n")
    code = "import os, sys\n" + PATCH + order[0] + order[1] + "import ior_nb\n" + BODY
    done = subprocess.run(
        [sys.executable, "-c", code, engine, str(tmp_path / "r.parquet")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert done.stdout.split()[1:] == ["True", "True"], done.stderr
    assert engine == "demo" or done.stdout.startswith("11 ")


@pytest.mark.live
@pytest.mark.parametrize(
    "patch", ["from gevent import monkey; monkey.patch_all()", "import eventlet; eventlet.monkey_patch()"]
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_greenlets_do_no_harm(patch: str, when: str, tmp_path: Path) -> None:
    """The main thread is not taken for one of ours, and nothing hangs."""
    code = "\n".join((patch, "import ior_nb") if when == "before" else ("import ior_nb, ior_nb.engine.bcc", patch))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{code}\nimport os, sys\n{BODY}", "bcc", str(tmp_path / "r.parquet")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert done.stdout.split() == ["11", "True", "True"], done.stderr

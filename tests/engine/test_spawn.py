from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ior_nb.engine import spawn
from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.spawn import Collector, sudo_works, waited


@pytest.mark.parametrize(("exit_status", "works"), [(0, True), (1, False)])
def test_sudo_is_asked_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_status: int, works: bool
) -> None:
    """`sudo -n true` decides, by its exit status."""
    sudo = tmp_path / "sudo"
    sudo.write_text(f'#!/bin/sh\n[ "$*" = "-n true" ] || exit 3\nexit {exit_status}\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert sudo_works() is works


def test_no_sudo_is_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without sudo is no error."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert sudo_works() is False


def test_a_sudo_that_cannot_start_is_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken sudo is told from a working one without an exception."""
    sudo = tmp_path / "sudo"
    sudo.write_bytes(b"\x7fELF, but not really")
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert sudo_works() is False


# ---- waiting


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The processor time a process has taken at each look, ten seconds after the one before."""
    taken: list[float] = []
    monkeypatch.setattr(spawn, "_LOOK_S", 10.0)
    monkeypatch.setattr(spawn, "_cpu_seconds", lambda pid: taken.pop(0))
    return taken


def test_a_process_that_works_is_waited_for(looks: list[float]) -> None:
    """However long it takes: an emulated machine is slow, not broken."""
    looks += [n / 10 for n in range(1000)]

    assert waited(lambda seconds: not looks, 1, idle_s=20.0)


def test_a_process_that_does_nothing_is_given_up(looks: list[float]) -> None:
    """Work done before does not count, and pauses shorter than the limit do no harm."""
    looks += [1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 4.0]

    assert not waited(lambda seconds: False, 1, idle_s=20.0)
    assert looks == [4.0]


def test_a_wait_may_have_an_end(looks: list[float]) -> None:
    """Even for one that works."""
    looks += [1.0, 2.0, 3.0, 4.0]

    assert not waited(lambda seconds: False, 1, idle_s=20.0, most_s=30.0)
    assert looks == [4.0]


def test_children_work_too() -> None:
    """Of a collector under sudo it is the child that does the work."""
    code = "import os\nif os.fork() == 0:\n while sum(os.times()[:2]) < .3: pass\n print(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        taken = spawn._cpu_seconds(process.pid)
        process.communicate()

    assert taken >= 0.25
    assert spawn._cpu_seconds(process.pid) == 0
    assert spawn._cpu_seconds(os.getpid()) > 0


def test_a_stopped_process_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does nothing until somebody lets it go on, which may be never."""
    monkeypatch.setattr(spawn, "_LOOK_S", 0.01)
    with subprocess.Popen(["sleep", "60"]) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        done = waited(lambda seconds: False, process.pid)
        process.kill()

    assert not done


def test_a_process_that_sleeps_is_given_up_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who neither computes nor waits for a processor or a disk has forgotten what was asked of him."""
    looks: list[float] = []
    monkeypatch.setattr(spawn, "_cpu_seconds", lambda pid: 1.0)
    monkeypatch.setattr(spawn, "_state", lambda pid: "S" if len(looks) > 10 else "D")

    def look(seconds: float) -> bool:
        looks.append(seconds)
        return False

    assert not waited(look, 1, idle_s=60.0, asleep_s=5.0)
    assert len(looks) == 15


def test_what_is_on_its_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may sleep because nobody has yet looked at what it sent."""
    looks: list[float] = []
    monkeypatch.setattr(spawn, "_cpu_seconds", lambda pid: 1.0)
    monkeypatch.setattr(spawn, "_state", lambda pid: "S")

    def look(seconds: float) -> bool:
        looks.append(seconds)
        return len(looks) > 99

    assert waited(look, 1, asleep_s=5.0, busy=lambda: True)


# ---- a collector


@pytest.fixture
def started() -> Iterator[Callable[[str], Collector]]:
    """`started(code)` starts a collector that runs a few lines instead; it is ended after the test."""
    made: list[Collector] = []

    def start(run: str) -> Collector:
        made.append(spawn.spawn(run))
        return made[-1]

    yield start
    for collector in made:
        collector.hang_up()
        collector.close()


SERVE = "import socket; connection = socket.socket(fileno=0)\n"


def test_a_collector_is_nobodys_child(started: Callable[[str], Collector]) -> None:
    """Whoever waits for all of his children does not wait for it: not while it runs, and not for what started it."""
    collector = started(SERVE + "connection.recv(1)")

    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert Path(f"/proc/{collector.pid}").exists()


def test_a_collector_ends_with_its_socket(started: Callable[[str], Collector]) -> None:
    """`hang_up` waits for that."""
    collector = started(SERVE + "connection.recv(1)")
    collector.hang_up()

    assert spawn._state(collector.pid) in ("", "Z")  # it is for process 1 to bury


@pytest.mark.parametrize("why", ["signal.pause()", "os.kill(os.getpid(), signal.SIGSTOP)"])
def test_a_collector_that_does_not_end_is_killed(
    why: str, started: Callable[[str], Collector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deaf or a stopped one too, and in seconds."""
    monkeypatch.setattr(spawn, "_END_S", 0.1)
    monkeypatch.setattr(spawn, "_LOOK_S", 0.1)
    collector = started(f"import signal; {why}; signal.pause()")
    collector.hang_up()

    assert spawn._state(collector.pid) in ("", "Z")  # it is for process 1 to bury


def test_a_collector_has_none_of_the_owners_descriptors_and_signals(started: Callable[[str], Collector]) -> None:
    """What it held would keep a pipe of the user's open; what was ignored or blocked would be for it too."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        collector = started(
            SERVE + "connection.sendall(' '.join(os.listdir('/proc/self/fd')).encode()); connection.recv(1)"
        )
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(write)
    numbers = collector.socket.recv(100).split()
    status = Path(f"/proc/{collector.pid}/status").read_text()

    assert os.read(read, 1) == b""
    assert set(numbers) <= {b"0", b"1", b"2", b"3"}  # the last is the folder being read
    assert re.search(r"SigBlk:\s0+$", status, re.MULTILINE)
    ignored = re.search(r"SigIgn:\s(\w+)$", status, re.MULTILINE)
    assert ignored is not None
    assert not int(ignored[1], 16) & 1 << signal.SIGTERM - 1
    os.close(read)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise RuntimeError('no luck today')", "RuntimeError: no luck today"),
        ("os.write(2, b'one\\ntwo\\x1b[31m\\n\\n'); sys.exit(3)", "two?[31m"),
        ("import ctypes; ctypes.string_at(0)", "Fatal Python error: Segmentation fault"),
        ("os._exit(1)", ""),
    ],
)
def test_the_last_words_of_a_collector_are_kept(code: str, said: str, started: Callable[[str], Collector]) -> None:
    """What it wrote to standard error, of which one line is shown."""
    collector = started(code)
    collector.hang_up()

    assert collector.said() == said


def test_a_collector_that_cannot_begin_is_an_error_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sudo that asks, a Python that does not start: what they say is the reason, and nothing is left."""
    monkeypatch.setattr(spawn, "_ALONE", "import sys; sys.exit('a password is required')")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its text is looked at below
        spawn.spawn()

    assert caught.value.strerror == "a password is required"
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_another_program_that_runs_python_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sys.executable` of an embedding program is not asked to be an interpreter."""
    monkeypatch.setattr(sys, "executable", "/bin/true")

    assert Path(spawn._python()).name.startswith("python3.")


def test_another_program_without_a_python_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what was looked for, and where."""
    monkeypatch.setattr(sys, "executable", "/bin/true")
    monkeypatch.setattr(sys, "base_prefix", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OSError, match="there is no python3") as caught:
        spawn._python()

    assert "/bin/true" in str(caught.value)


# ---- what a session says of it


@pytest.mark.parametrize(
    ("way", "compiled", "not_kept", "line"),
    [
        ("raw", False, "", "bcc: raw tracepoints, program from the cache"),
        ("raw", True, "", "bcc: raw tracepoints, program compiled"),
        ("tracepoint", False, "", "bcc: trace events (+66 ns a call), program from the cache"),
        ("raw-preemptible", True, "", "bcc: raw tracepoints, which this kernel can preempt, program compiled"),
        ("raw", True, "nothing is kept in /no", "bcc: raw tracepoints, program compiled (nothing is kept in /no)"),
    ],
)
def test_the_engine_says_how_it_traces(way: str, compiled: bool, not_kept: str, line: str) -> None:
    """The way, its cost where it has one, and where the program came from; nothing before it is loaded."""
    engine = BccEngine()
    engine.way, engine.compiled, engine._not_kept = way, compiled, not_kept
    assert engine.how == ""
    engine._collector = SimpleNamespace(pid=None)  # type: ignore[assignment]

    assert engine.how == line


def test_buffers_are_no_larger_than_the_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a small container neither side buffers what a large machine would."""
    large = BccEngine(buffer_bytes=1 << 20)
    monkeypatch.setattr("ior_nb.engine.collected.memory_limit", lambda: 64 << 20)
    small = BccEngine()

    assert (large._intake.limit, small._intake.limit) == (1 << 20, 8 << 20)

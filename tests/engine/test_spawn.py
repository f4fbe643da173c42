from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ior_nb.engine import spawn
from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.spawn import sudo_works, waited


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
    engine._socket = object()  # type: ignore[assignment]

    assert engine.how == line


def test_buffers_are_no_larger_than_the_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a small container neither side buffers what a large machine would."""
    large = BccEngine(buffer_bytes=1 << 20)
    monkeypatch.setattr("ior_nb.engine.bcc.memory_limit", lambda: 64 << 20)
    small = BccEngine()

    assert (large.raw_limit, small.raw_limit) == (1 << 20, 8 << 20)

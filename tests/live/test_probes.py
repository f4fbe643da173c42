"""Failures that are none, and calls that wait, as real programs make them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ior_nb.result.trace import Trace
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace

MANY = 101
Act = Callable[[str], object]


def probes_and_errors(found: Trace, call: str) -> tuple[int, int]:
    """Return how many probes and errors a call has, after a look that tables, kernel and filters say the same."""
    table = found.syscalls().set_index("syscall")
    probes, errors = (int(table[name][call]) for name in ("probes", "errors"))
    counted = found.counters[call]
    assert probes + errors == counted["probes"] + counted["errors"]
    assert len(found.filter(f"syscall={call} and probes")) == probes
    assert len(found.filter(f"syscall={call} and errors")) == errors
    return probes, errors


def test_terminal_that_is_none_is_a_probe(session: TracerSession, tmp_path: Path) -> None:
    """Python asks each file it opens whether it is a terminal; another request that the file refuses has failed."""
    path = tmp_path / "a"
    path.touch()
    with trace(session=session) as t:
        for _ in range(MANY):
            path.open().close()
        fd = os.open(path, os.O_RDONLY)
        for _ in range(7):
            with contextlib.suppress(OSError):
                fcntl.ioctl(fd, 0x5490)  # TIOCVHANGUP's neighbour: nothing a file knows
        os.close(fd)

    assert probes_and_errors(t, "ioctl") == (MANY, 7)
    assert t.counters["ioctl"]["probes"] == MANY
    assert "7 failed; 101 probes" in t.summary().totals()
    assert t.df()["is_error"].sum() == MANY + 7


def test_places_along_a_path_are_probes_only_when_the_file_is_found(session: TracerSession, tmp_path: Path) -> None:
    """Misses of a file found later are, those of one that is nowhere are not; live, in a filter, and read again."""
    places = [tmp_path / f"p{i}" for i in range(5)]
    for place in places:
        place.mkdir()
    (places[-1] / "here").touch()

    def look(name: str) -> None:
        for place in places:
            with contextlib.suppress(FileNotFoundError), (place / name).open():
                return

    with trace(session=session, record=tmp_path / "run.parquet") as t:
        for _ in range(23):
            look("here")
        look("nowhere")
    with trace(session=session, filter="errors") as failed:
        look("here")
        look("nowhere")

    assert probes_and_errors(t, "openat") == (23 * 4, 5)
    assert sorted(failed.df()["file"]) == [str(place / "nowhere") for place in places]
    assert t.errors()["example"].tolist() == [str(places[0] / "nowhere")]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_has_no_failures(session: TracerSession, tmp_path: Path) -> None:
    """What it looks for in its repositories, and does not need, is asked; a file it was told to read is missing."""
    run = "cd $0; git init -q r; cd r; echo x >a; git add a; git -c user.name=a -c user.email=a@b commit -qm a; cd ..; "
    run += "git clone -q r s; git -C s log -p; git -C s status; git init -q --bare b; git -C s push -q ../b HEAD:m"
    with trace(session=session, command=["sh", "-c", run, str(tmp_path)]) as t:
        pass
    with trace(session=session, command=["git", "-C", str(tmp_path / "s"), "apply", "none.patch"]) as missing:
        pass
    errors, sentence = t.errors(), missing.summary().headline()

    assert t.returncode == 0
    assert errors[~errors["syscall"].isin(["connect", "rmdir"])].to_dict("records") == []
    assert "none.patch was missing" in sentence


def test_program_looked_for_along_path(session: TracerSession, tmp_path: Path) -> None:
    """A program that is in the third folder of PATH failed nowhere; one that is in none failed in all."""
    folders = [tmp_path / f"b{i}" for i in range(3)]
    for folder in folders:
        folder.mkdir()
    shutil.copy("/bin/true", folders[-1] / "prog")
    env = {"PATH": ":".join(map(str, folders))}
    with trace(session=session, syscalls="execve", families="Process") as t:
        subprocess.run(["prog"], env=env, check=True)
        with pytest.raises(FileNotFoundError):
            subprocess.run(["absent"], env=env, check=False)

    assert probes_and_errors(t, "execve") == (2, 3)


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("newfstatat", lambda d: Path(d, "none").exists()),
        ("mkdir", lambda d: os.makedirs(d, exist_ok=True)),
        ("lseek", lambda d: _at_a_pipe(lambda r, w: os.lseek(r, 0, os.SEEK_CUR))),
        ("read", lambda d: _at_a_pipe(_read_at_once)),
        ("getxattr", lambda d: os.getxattr(d, "user.none")),
        ("recvfrom", lambda d: _at_two_sockets(lambda s: s.recv(1))),
        ("connect", lambda d: _at_a_socket(lambda s: s.connect(("192.0.2.1", 9)))),
        ("getpeername", lambda d: _at_a_socket(lambda s: s.getpeername())),
        ("readlink", os.readlink),
    ],
)
def test_answers_of_normal_work_are_probes(session: TracerSession, tmp_path: Path, call: str, act: Act) -> None:
    """Existence, folders that are there, positions of pipes, no data yet, attributes, connections: only asked."""
    with trace(session=session) as t:
        for _ in range(MANY):
            with contextlib.suppress(OSError):
                act(str(tmp_path))

    assert probes_and_errors(t, call) == (MANY, 0)


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("openat", lambda d: Path(d, "none").read_bytes()),
        ("openat", lambda d: os.open(d, os.O_WRONLY)),
        ("unlink", lambda d: Path(d, "none").unlink()),
        ("mkdir", lambda d: Path(d, "none/deeper").mkdir()),
        ("rmdir", lambda d: os.rmdir("/")),
        ("write", lambda d: os.write(0 if os.isatty(0) else os.open(d, os.O_RDONLY), b"x")),
        ("connect", lambda d: socket.create_connection(("127.0.0.1", 1))),
    ],
)
def test_failures_are_errors(session: TracerSession, tmp_path: Path, call: str, act: Act) -> None:
    """What a program wanted and did not get is an error."""
    with trace(session=session) as t, contextlib.suppress(OSError):
        act(str(tmp_path))

    assert probes_and_errors(t, call) == (0, 1)


def test_waits_are_a_list_and_a_sum_of_their_own(session: TracerSession, tmp_path: Path) -> None:
    """A child waited for, a pipe nobody writes to and a sleep are no slow input and output."""
    code = "import os, time; time.sleep(0.3); os.write(1, b'x'); os.close(1); time.sleep(0.1)"
    with trace(session=session, families="all") as t:
        subprocess.run([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, check=True)
        (tmp_path / "a").write_bytes(b"y" * 1000)
    waits, slow = t.waiting(100), t.slowest(100)
    found = t.summary()

    assert {"wait4", "read"} <= set(waits["syscall"])
    assert {"clock_nanosleep", "select", "pselect6"} & set(waits["syscall"])
    assert waits["latency_ns"].max() > 150_000_000
    assert slow["latency_ns"].max() < waits["latency_ns"].max()
    assert not {"wait4", "clock_nanosleep", "select", "futex"} & set(slow["syscall"])
    assert found.waiting_ns == t.stats().loc["waiting_ns", "value"]
    assert [row.latency_ns for row in found.waits] == waits["latency_ns"][: len(found.waits)].tolist()
    assert [row.latency_ns for row in found.slowest] == slow["latency_ns"][: len(found.slowest)].tolist()
    assert " waiting" in found.totals()


def test_names_and_folders_are_not_bytes_read(session: TracerSession, tmp_path: Path) -> None:
    """Where am I, what is in the folder, where does the link lead: none of that is bytes of a file."""
    (tmp_path / "file").write_bytes(b"z" * 997)
    (tmp_path / "link").symlink_to("file")
    with trace(session=session) as t:
        for _ in range(MANY):
            os.getcwd()
            os.listdir(tmp_path)
            os.readlink(tmp_path / "link")
        (tmp_path / "file").read_bytes()

    assert t.summary().bytes_read == 997
    assert not np.any(t.filter("syscall=getdents64").df()["bytes"])


def _at_a_pipe(act: Callable[[int, int], object]) -> None:
    ends = os.pipe()
    try:
        act(*ends)
    finally:
        for end in ends:
            os.close(end)


def _read_at_once(end: int, _: int) -> None:
    os.set_blocking(end, False)
    os.read(end, 1)


def _at_a_socket(act: Callable[[socket.socket], object]) -> None:
    with socket.socket() as one:
        one.setblocking(False)
        act(one)


def _at_two_sockets(act: Callable[[socket.socket], object]) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        act(one)


def test_a_search_is_not_waited_for_longer_than_it_may_last(session: TracerSession, tmp_path: Path) -> None:
    """A row that may be a probe comes by itself, though nothing happens after it."""
    with trace(session=session) as found:
        session.engine().go_live()
        with contextlib.suppress(OSError):
            os.close(os.open(tmp_path / "missing", os.O_RDONLY))
        deadline = time.monotonic() + 20
        while not sum(map(len, found.batches())) and time.monotonic() < deadline:
            pass  # any call would be a row, and what comes later ends the waiting
        came = time.monotonic() < deadline

    assert came

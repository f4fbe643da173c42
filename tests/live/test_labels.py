"""Labels of real rows: of this process, its threads, its workers however they were started, and of programs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import ior_nb
from ior_nb.result.trace import Trace
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from tests.live.workers import LIBRARIES, WAYS

FILES = 13


def _found(trace: Trace, folder: Path, *columns: str) -> Counter[tuple[object, ...]]:
    """Return how many rows of the files in a folder have which values."""
    rows = trace.df()
    rows = rows[rows["file"].astype(str).str.startswith(f"{folder}/")]
    return Counter(rows[list(columns)].astype(object).itertuples(index=False, name=None))


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Files of known sizes."""
    for number in range(FILES):
        (tmp_path / f"{number:02}.dat").write_bytes(bytes(number + 1))
    return sorted(map(str, tmp_path.iterdir()))


@pytest.mark.parametrize("way", WAYS)
def test_workers_are_traced_with_every_file_and_label(
    session: TracerSession, files: list[str], tmp_path: Path, way: str
) -> None:
    """Each file has its three calls, by the worker that made them, under the worker's label below the shared one."""
    if (library := LIBRARIES.get(way)) and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")

    with ior_trace(session=session) as found, ior_nb.label("epoch 3", shared=True):
        pids = WAYS[way](files)

    assert found.accounting.complete, found.accounting.line()
    assert _found(found, tmp_path, "file", "pid", "syscall", "label", "bytes") == {
        (path, pid, syscall, f"epoch 3/{Path(path).name}", number + 1 if syscall == "pread64" else 0): 1
        for number, (path, pid) in enumerate(zip(files, pids, strict=True))
        for syscall in ("openat", "pread64", "close")
    }
    assert ("threads" in way or "threading" in way) == (set(pids) == {os.getpid()})


def test_rows_have_the_label_of_their_thread_and_time(session: TracerSession, files: list[str], tmp_path: Path) -> None:
    """Before, inside, deeper inside and after a label, and of a thread that is in another one, or in none."""

    def elsewhere(label: str) -> None:
        if label:
            ior_nb.label(label).start()
        Path(files[4 if label else 5]).read_bytes()

    with ior_trace(session=session, syscalls="openat") as found:
        Path(files[0]).read_bytes()
        with ior_nb.label("outer"):
            Path(files[1]).read_bytes()
            with ior_nb.label("inner"):
                Path(files[2]).read_bytes()
            for label in ("theirs", ""):
                thread = threading.Thread(target=elsewhere, args=(label,))
                thread.start()
                thread.join()
        Path(files[3]).read_bytes()

    labels = {Path(str(file)).stem: label for file, label in _found(found, tmp_path, "file", "label")}
    assert labels == {"00": "", "01": "outer", "02": "outer/inner", "03": "", "04": "theirs", "05": ""}


def test_a_trace_that_begins_inside_a_label_has_it(session: TracerSession, files: list[str], tmp_path: Path) -> None:
    """What is in force when tracing begins is in force for its first row."""
    with ior_nb.label("before"), ior_trace(session=session, syscalls="openat") as found:
        Path(files[0]).read_bytes()

    assert set(_found(found, tmp_path, "label")) == {("before",)}


def test_a_filter_by_label_keeps_its_rows_alone(session: TracerSession, files: list[str], tmp_path: Path) -> None:
    """Also while tracing: a row is judged when it has its label."""
    with ior_trace(session=session, filter="label=epoch*") as found:
        for number in range(3):
            with ior_nb.label(f"epoch {number}" if number else "warm up"):
                Path(files[number]).read_bytes()

    assert set(_found(found, tmp_path, "label")) == {("epoch 1",), ("epoch 2",)}
    assert set(found.labels()["label"]) == {"epoch 1", "epoch 2"}
    assert found.accounting.complete, found.accounting.line()


def test_many_labels_are_all_kept(session: TracerSession, files: list[str], tmp_path: Path) -> None:
    """A trace that nobody watches is labelled at its end, from the first label to the last."""
    with ior_trace(session=session, syscalls="openat") as found:
        for number in range(5003):
            with ior_nb.label(f"step {number}"):
                os.close(os.open(files[0], os.O_RDONLY))

    assert _found(found, tmp_path, "label") == {(f"step {number}",): 1 for number in range(5003)}


def test_a_shared_label_is_that_of_programs(session: TracerSession, files: list[str], tmp_path: Path) -> None:
    """Also of one that is no Python, and of its children."""
    with ior_trace(session=session, syscalls="openat") as found:
        for label in ("first", "second"):
            with ior_nb.label(label, shared=True):
                command = f"cat {files[0]}; (cat {files[1]})"
                subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)

    assert _found(found, tmp_path, "file", "label") == {
        (file, label): 1 for file in files[:2] for label in ("first", "second")
    }


SCRIPT = """
import sys, ior_nb
for path in sys.argv[1:]:
    with ior_nb.label(path.rpartition("/")[2]), open(path) as file:
        file.read()
"""


def test_a_program_that_is_traced_labels_its_own_rows(session: TracerSession, files: list[str], tmp_path: Path) -> None:
    """It need not know who traces it."""
    with ior_trace(session=session, command=[sys.executable, "-c", SCRIPT, *files], syscalls="openat") as found:
        pass

    assert found.returncode == 0
    assert _found(found, tmp_path, "file", "label") == {(path, Path(path).name): 1 for path in files}


@pytest.mark.parametrize("engine", ["strace", "ptrace"])
def test_labels_need_no_bpf(engine: str, files: list[str], tmp_path: Path, required: object) -> None:
    """Whatever makes the rows: labels are joined with them afterwards."""
    with TracerSession(engine=engine) as session, ior_trace(session=session, syscalls="openat") as found:
        for path in files:
            with ior_nb.label(Path(path).name):
                Path(path).read_bytes()

    assert _found(found, tmp_path, "file", "label") == {(path, Path(path).name): 1 for path in files}


KILLED = """
import os, sys, threading, ior_nb
reader, writer = os.pipe()
threading.Thread(target=os.read, args=(reader, 1), daemon=True).start()
ior_nb.label("killed", shared=True).start()
ior_nb.label("inner").start()
for line in sys.stdin:
    print(open(sys.argv[1]).read(), flush=True)
"""
AGAIN = """
import subprocess, sys, time
from pathlib import Path
import ior_nb

def started(*command):
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

def reads(process):
    print("", file=process.stdin, flush=True)
    process.stdout.readline()

def killed(process):
    process.kill()
    process.communicate()

def of_the_same_number():
    for _ in range(100):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(one.pid - 1))
        found = started("sh", "-c", "while read line; do read text < $0; echo; done", path)
        if found.pid == one.pid:
            return found
        killed(found)

_, when, killer, path = sys.argv
one = started(sys.executable, "-c", killer, path)
reads(one)
until = time.monotonic() + 0.02  # when a process began the kernel says by the tick
while time.monotonic() < until:
    reads(one)
if when == "before":
    killed(one)
    two = of_the_same_number()
with ior_nb.trace(syscalls="openat") as t:
    if when == "meanwhile":
        reads(one)
        killed(one)
        two = of_the_same_number()
    reads(two)
killed(two)
rows = t.filter(f"file={path}").df()
print(*(f"{comm}:{label}" for comm, label in rows[rows["pid"] == one.pid][["comm", "label"]].itertuples(index=False)))
"""


@pytest.mark.parametrize(("when", "expected"), [("before", ["sh:"]), ("meanwhile", ["python:killed/inner", "sh:"])])
def test_who_is_given_the_number_of_one_that_was_killed_has_none_of_its_labels(
    when: str, expected: list[str], tmp_path: Path, required: Callable[[str], None]
) -> None:
    """Before the trace or in its course, and though the last of its threads to end had made no call."""
    (tmp_path / "file").write_text("text")
    inside = [sys.executable, "-c", AGAIN, when, KILLED, str(tmp_path / "file")]
    command = ["unshare", "--pid", "--fork", "--mount-proc", *inside]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare: unshare failed" in ran.stderr:
        required("needs the right to make pid namespaces")

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == expected

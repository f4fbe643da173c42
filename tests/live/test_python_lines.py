"""The line of Python that made each call: compared with what the traced program says of itself."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ior_nb
from ior_nb.engine import bcc, spawn
from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.collector import wire
from ior_nb.engine.collector.python import TABLE, _parse
from ior_nb.result.trace import Trace
from ior_nb.runtime.stacks import CUT, Frame, parsed
from ior_nb.session.session import TracerSession

PROGRAMS = Path(__file__).parent / "pystacks"
CHURNED = 6000
OFTEN = 800  # and calls of functions that are called often
CALLS = "pread64,execve,exit_group,mmap"


def pythons() -> list[str]:
    """Return the Pythons of this machine whose frames are known, one a version."""
    known: dict[str, str] = {}
    places = [Path("/usr/bin"), *Path.home().glob(".pyenv/versions/*/bin"), Path("/usr/local/bin")]
    for minor in range(11, 16):
        for place in places:
            found = shutil.which(f"python3.{minor}", path=str(place))
            if found:
                version = subprocess.run([found, "-V"], capture_output=True, text=True, check=False).stdout.strip()
                known.setdefault(version, found)
    known.setdefault("this", sys.executable)
    return list(known.values())


def told(folder: Path) -> dict[int, list[Frame]]:
    """Return what the program wrote of itself: number of the call -> its stack, innermost first."""
    found: dict[int, list[Frame]] = {}
    for file in folder.glob("t.*"):
        for line in file.read_text().splitlines():
            number, frames = json.loads(line)
            found[number] = [Frame(name, path, at) for path, name, at in frames]
    return found


def seen(trace: Trace) -> dict[int, list[Frame]]:
    """Return the same as traced."""
    batch = trace.batch
    rows = np.flatnonzero(batch.text("syscall") == "pread64")
    numbers, stacks = batch["offset"][rows].tolist(), batch.text("stack")[rows].tolist()
    return {number: list(reversed(parsed(stack))) for number, stack in zip(numbers, stacks, strict=True)}


def wrong(trace: Trace, folder: Path) -> list[tuple[list[Frame], list[Frame]]]:
    """Return (traced, true) of every call whose stack is not exactly what the program says."""
    traced, different = seen(trace), []
    for number, whole in told(folder).items():
        found, frames = traced[number], whole
        if found and found[-1].function == CUT:  # frames that are being made are among those counted
            del found[-1]
            frames = frames[: max(len(found), wire.FRAMES - 2)]
        if found != frames:
            different.append((found, frames))
    return different


@pytest.fixture(autouse=True)
def stacks_are_here(session: TracerSession) -> None:
    """Nothing is compared where there is no part that reads stacks, and the result says so; a kernel has to take it."""
    with ior_nb.trace(syscalls="getpid", session=session) as trace:
        pass
    if told := [note for note in trace.notes if note.startswith("no Python lines: ")]:
        assert "refuses" not in told[0], told[0]
        pytest.skip(told[0])


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a traced program writes down its stacks."""
    (tmp_path / "t").touch()
    monkeypatch.setenv("TRUTH", str(tmp_path / "t"))
    monkeypatch.setenv("STRESS", str(CHURNED // 10))
    return tmp_path


def traced(python: str, program: str, session: TracerSession) -> Trace:
    """Return the trace of one of the programs."""
    with ior_nb.trace(command=[python, str(PROGRAMS / program)], syscalls=CALLS, session=session) as trace:
        pass
    return trace


@pytest.mark.parametrize("python", pythons())
def test_every_place_is_at_its_exact_file_line_and_function(python: str, truth: Path, session: TracerSession) -> None:
    """Functions, lambdas, generators, coroutines, threads, children, C calling back and more: the whole stack."""
    trace = traced(python, "places.py", session)

    assert trace.returncode == 0
    assert len(told(truth)) == 379
    assert wrong(trace, truth) == []


def test_stacks_are_the_same_by_trace_events(truth: Path) -> None:
    """Where the program hangs so: of an interpreter in a library, found when that is mapped, and of its children."""
    command = [pythons()[-2:][0], str(PROGRAMS / "places.py")]
    with (
        TracerSession(engine=BccEngine(way="tracepoint")) as session,
        ior_nb.trace(command=command, syscalls=CALLS, session=session) as trace,
    ):
        pass

    assert trace.returncode == 0
    assert len(told(truth)) == 379
    assert wrong(trace, truth) == []


@pytest.mark.parametrize("python", pythons())
def test_code_that_comes_and_goes_at_the_same_addresses_is_never_mixed_up(
    python: str, truth: Path, session: TracerSession
) -> None:
    """Functions are made and freed over and over, in eight threads; every stack is that of its own call."""
    trace = traced(python, "churn.py", session)

    assert len(told(truth)) == CHURNED + OFTEN
    assert wrong(trace, truth) == []


@pytest.mark.parametrize("python", pythons())
def test_children_that_make_code_of_their_own_are_never_mixed_up(
    python: str, truth: Path, session: TracerSession
) -> None:
    """After a fork each has its own code at the same addresses, with the same versions and counters."""
    trace = traced(python, "forked.py", session)

    assert len(told(truth)) == 21
    assert wrong(trace, truth) == []


@pytest.mark.parametrize("python", pythons())
def test_what_a_class_does_while_it_is_made_has_its_lines(python: str, truth: Path, session: TracerSession) -> None:
    """Once a class is called often the interpreter stands in code of its own below `__init__`: that hides no line."""
    trace = traced(python, "classes.py", session)

    assert len(told(truth)) == 100
    assert wrong(trace, truth) == []


@pytest.mark.parametrize("python", pythons())
def test_a_long_line_table_has_every_line(python: str, truth: Path, session: TracerSession) -> None:
    """A module of 24,000 lines: calls in its midst are at their lines."""
    trace = traced(python, "long_table.py", session)

    assert len(told(truth)) == 7
    assert wrong(trace, truth) == []


@pytest.mark.parametrize("python", pythons())
def test_what_is_not_in_memory_gives_no_stack(python: str, truth: Path, session: TracerSession, tmp_path: Path) -> None:
    """A call while its code, its frames or its thread's state cannot be read has no stack, and it is counted."""
    library = tmp_path / "hidden.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", library, PROGRAMS / "hidden.c"], check=True)
    version = subprocess.run([python, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, check=True)
    chunk_at = TABLE[int(version.stdout)]["t_chunk"]
    command = [python, str(PROGRAMS / "hidden.py"), str(library), str(chunk_at)]
    with ior_nb.trace(command=command, syscalls=CALLS, session=session) as trace:
        pass

    found = seen(trace)
    assert trace.returncode == 0
    assert all(found[number] for number in (1, 3, 5, 7))
    assert not any(found[number] for number in (2, 4, 6))
    assert trace.accounting.without_stack["unreadable"] >= 3
    assert wrong(trace, truth) == []


def own_file(python: str) -> tuple[str, str]:
    """Return the program of a Python, and what a copy of it needs to find its modules."""
    ask = "import os, sys; print(os.path.realpath(sys.executable), sys.base_prefix)"
    program, home = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    return program, home


JAIL = """
mount --rbind / "$1"
mount --bind "$2" "$1/usr/bin/true"
chroot "$1" /usr/bin/true -c pass
exec chroot "$1" /usr/bin/true "$3"
"""


def test_a_python_in_a_container_is_told_by_its_file_and_not_by_its_name(
    truth: Path, session: TracerSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a mount namespace and a root of its own, at a path that is another program outside; its children too."""
    program, home = own_file(pythons()[0])
    monkeypatch.setenv("PYTHONHOME", home)
    shutil.copy(program, tmp_path / "python")  # a file that nobody has met
    (tmp_path / "root").mkdir()
    words = ["sh", "-ec", JAIL, "sh", str(tmp_path / "root"), str(tmp_path / "python"), str(PROGRAMS / "places.py")]
    command = ["unshare", "--mount", "--propagation", "private", *words]
    with ior_nb.trace(command=command, syscalls=CALLS, session=session) as trace:
        pass

    assert trace.returncode == 0
    assert len(told(truth)) == 379
    assert wrong(trace, truth) == []


def test_an_interpreter_that_is_not_known_for_sure_has_no_stacks_and_is_named(
    session: TracerSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alpha's frames may lie elsewhere: its calls are counted under a reason, and the result says which Python."""
    program, home = own_file(pythons()[0])
    monkeypatch.setenv("PYTHONHOME", home)
    early = tmp_path / "python3"
    shutil.copy(program, early)
    with early.open("r+b") as file:
        segments, symbols = _parse(file.fileno())
        place = next(s[2] - s[3] for s in segments if s[0] == 1 and 0 <= symbols["Py_Version"] - s[3] < s[4])
        file.seek(place + symbols["Py_Version"])
        file.write(b"\xa0")  # the release level: an alpha
    line = "import os\nfor _ in range(7): os.stat('/etc/passwd')"
    with ior_nb.trace(command=[str(early), "-c", line], syscalls="newfstatat", session=session) as trace:
        pass

    rows = trace.batch.take(trace.batch.text("file") == "/etc/passwd")
    assert trace.returncode == 0
    assert len(rows) == 7
    assert not rows["stack"].any()
    assert trace.accounting.without_stack == {"no_python": len(trace.batch)}
    assert [note for note in trace.notes if str(early) in note and "is no final release" in note]


@pytest.mark.parametrize("python", pythons())
def test_looking_at_every_function_is_told_with_what_it_took(python: str, session: TracerSession) -> None:
    """Python 3.11 does not say whether code is new, later ones do: the result says how many stacks took how long."""
    line = "import os\nzero = os.open('/dev/zero', 0)\ndef f20(): [os.pread(zero, 1, 0) for _ in range(3001)]\n"
    line += "for n in range(20): exec(f'def f{n}(): f{n + 1}()')\nf0()"  # what takes less than 1 ms is not worth a word
    with ior_nb.trace(command=[python, "-c", line], syscalls="pread64", session=session) as trace:
        pass

    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    found = [re.match(r"([\d,]+) Python stacks took .* each function was looked at", note) for note in trace.notes]
    counted = [int(match[1].replace(",", "")) for match in found if match]
    assert [count >= 3001 for count in counted] == [True] * ("3.11" in version)


def test_code_of_this_process_is_never_mixed_up(truth: Path, session: TracerSession) -> None:
    """The same where the code objects freed are counted instead of looked at."""
    with ior_nb.trace(syscalls=CALLS, session=session) as trace:
        runpy.run_path(str(PROGRAMS / "churn.py"))

    assert wrong(trace, truth) == []


# What makes a collector's program take the addresses of code objects for their identity.
WEAKENED = """
from dataclasses import replace
from ior_nb.engine.collector import cache, loader
cache.folder = lambda: None
loader.WAYS["raw"] = replace(loader.WAYS["raw"], identity=False)
"""


def test_addresses_alone_do_not_tell_code_apart(truth: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above have teeth: with identity weakened to addresses they see stacks that are another's."""
    run = spawn._RUN.replace("sys.exit(", f"{WEAKENED}sys.exit(")
    monkeypatch.setattr(bcc, "spawn", lambda: spawn.spawn(run))
    command = [sys.executable, str(PROGRAMS / "churn.py")]
    with (
        TracerSession(engine=BccEngine(way="raw")) as session,
        ior_nb.trace(command=command, syscalls=CALLS, session=session) as trace,
    ):
        pass

    assert len(wrong(trace, truth)) > 100


def test_calls_without_a_stack_are_the_sum_of_their_reasons(session: TracerSession) -> None:
    """Every finished row without a stack has been counted under one reason, and no other."""
    line = f"{sys.executable} -c 'import os; [os.stat(\"/\") for _ in range(7)]'; ls / >/dev/null; true"
    with ior_nb.trace(command=["sh", "-c", line], families="all", session=session) as trace:
        pass

    batch = trace.batch
    missing = (batch["stack"] == 0) & ~batch.in_flight
    assert trace.accounting.outside_window == 0
    assert sum(trace.accounting.without_stack.values()) == missing.sum() > 7
    assert set(trace.accounting.without_stack) >= {"no_python"}


def test_a_call_with_many_buffers_has_a_stack_nobody_has_met(session: TracerSession) -> None:
    """Adding up 1,024 lengths and naming 32 functions is done in many steps: the row and its stack are there."""
    code = "import os\nzero, buffers = os.open('/dev/zero', 0), [bytearray(1)] * 1024\n"
    code += "f40 = lambda: os.preadv(zero, buffers, 0)\n"
    code += "for n in range(40): exec(f'def f{n}(): return f{n + 1}()')\nf0()"
    with ior_nb.trace(command=[sys.executable, "-c", code], syscalls="preadv,preadv2", session=session) as trace:
        pass

    assert trace.batch["ret"].tolist() == [1024]
    assert [frame.function for frame in parsed(trace.batch.text("stack").tolist()[0])] == [
        CUT,
        *(f"f{n}" for n in range(9, 40)),
        "<lambda>",
    ]


def test_a_program_that_loads_a_python_late_has_stacks_from_then_on(
    session: TracerSession, truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in threads that were found to be without one: calls of C have none, those of Python have theirs."""
    ask = (
        "import sys, sysconfig as s; print(s.get_config_var('LIBDIR'), s.get_config_var('INSTSONAME'), sys.base_prefix)"
    )
    asked = [subprocess.run([p, "-c", ask], capture_output=True, text=True, check=True) for p in pythons()]
    found = [(Path(folder, name), home) for folder, name, home in (done.stdout.split() for done in asked)]
    shared = [(library, home) for library, home in found if ".so" in library.name and library.exists()]
    if not shared:
        pytest.skip("no Python here is a library")
    library, home = shared[-1]
    monkeypatch.setenv("PYTHONHOME", home)
    command = [tmp_path / "embeds", library, truth / "t"]
    subprocess.run(["gcc", "-w", "-o", command[0], PROGRAMS / "embeds.c", "-lpthread", "-ldl"], check=True)
    with ior_nb.trace(command=[str(word) for word in command], syscalls="pread64", session=session) as trace:
        pass

    stacks = seen(trace)
    assert trace.returncode == 0
    assert {number: [frame.function for frame in stacks[number]] for number in range(1, 6)} == {
        1: [],
        2: [],
        3: [],
        4: ["f", "<module>"],
        5: ["<module>"],
    }


def test_without_stacks_nothing_is_looked_for(session: TracerSession) -> None:
    """`stacks="off"` leaves the columns empty, and counts no reason, also after a trace that had them."""
    command = [sys.executable, "-c", "open('/etc/passwd').read()"]
    with ior_nb.trace(command=command, session=session) as before:
        pass
    with ior_nb.trace(command=command, stacks="off", session=session) as trace:
        pass

    assert before.batch["stack"].any()
    assert not trace.batch["stack"].any()
    assert not trace.accounting.without_stack


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="the system has no Python of its own")
def test_a_command_has_stacks_from_its_first_call() -> None:
    """Its interpreter is known before it runs, in a collector that has met none."""
    command = ["/usr/bin/python3", "-S", "-c", "import os; os.stat('/')"]
    with TracerSession() as session, ior_nb.trace(command=command, session=session) as trace:
        pass

    found = trace.batch.take(trace.batch.text("py_file") == "<string>")
    assert found.text("py_func").tolist()[-1] == "<module>"
    assert trace.accounting.without_stack.get("no_python", 0) == 0

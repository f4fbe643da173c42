"""The line that opened the file of each call: compared with what the traced program says of itself."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import ior_nb
from ior_nb.engine.bcc import BccEngine
from ior_nb.result.trace import Trace
from ior_nb.session.session import TracerSession
from tests.live.test_python_lines import pythons, stacks_are_here  # noqa: F401 - a fixture

PROGRAM = Path(__file__).parent / "pystacks" / "openers.py"
CALLS = "openat,pread64,close,dup,dup2,pipe2,socketpair,socket,accept4,memfd_create,eventfd2,mmap,execve,recvmsg"


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file the traced program opens; beside it, it writes down the lines."""
    path = tmp_path / "t"
    path.write_bytes(b"x" * 4096)
    monkeypatch.setenv("TRUTH", str(path))
    return path


def seen(trace: Trace) -> dict[int, int]:
    """Return the line that opened the file of each numbered call; 0 for none."""
    batch = trace.batch
    found: dict[int, int] = {}
    for row in np.flatnonzero(batch.text("syscall") == "pread64").tolist():
        place = batch[row]["opened_at"]
        assert not place or place.startswith((f"{PROGRAM}:", "<string>:"))
        found[int(batch["requested_bytes"][row])] = int(place.rpartition(":")[2] or 0)
    return found


@pytest.mark.parametrize("python", pythons())
def test_every_file_has_the_line_that_opened_it(python: str, truth: Path, session: TracerSession) -> None:
    """By whoever it is read, under whatever number, and never a line of another file at the same address."""
    with ior_nb.trace(command=[python, str(PROGRAM)], syscalls=CALLS, session=session) as trace:
        pass

    assert trace.returncode == 0
    told = {int(number): line for number, line in json.loads(Path(f"{truth}.json").read_text()).items()}
    traced = seen(trace)
    assert {n: traced.get(n) for n, line in told.items()} == told


def test_the_line_that_opened_a_file_is_known_by_trace_events(truth: Path) -> None:
    """Where the program hangs so: also of files that a call made which is no record."""
    with (
        TracerSession(engine=BccEngine(way="tracepoint")) as session,
        ior_nb.trace(command=[sys.executable, str(PROGRAM)], syscalls=CALLS, session=session) as trace,
    ):
        pass

    told = {int(number): line for number, line in json.loads(Path(f"{truth}.json").read_text()).items()}
    traced = seen(trace)
    assert {n: traced.get(n) for n, line in told.items()} == told


def test_a_file_opened_before_the_trace_has_no_line(truth: Path, session: TracerSession) -> None:
    """Not even one that an earlier trace has seen being opened: between two traces nobody looks."""
    with ior_nb.trace(syscalls=CALLS, session=session) as first:
        fd = os.open(truth, os.O_RDONLY)
        os.pread(fd, 7, 0)
    with ior_nb.trace(syscalls=CALLS, session=session) as second:
        os.pread(fd, 11, 0)
    os.close(fd)

    before, after = (set(trace.batch.text("opened_at")[trace.batch["fd"] == fd].tolist()) for trace in (first, second))
    assert {place.rpartition(":")[0] for place in before} == {__file__}
    assert after == {""}

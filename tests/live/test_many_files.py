"""Names over long traces: any number of files, and none of those still held is forgotten."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from ior_nb.engine.bcc import BccEngine
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace

PIPES = 90_001  # more than the kernel's map of files holds

WORKLOAD = """
import os, sys, threading
held = os.open(sys.argv[1], os.O_RDONLY)
os.chdir(os.path.dirname(sys.argv[1]))
slow_end, fast_end = os.pipe()
thread = threading.Thread(target=os.read, args=(slow_end, 7))  # in a call all the time
thread.start()
go, idle = threading.Event(), threading.Event()
def rest():
    os.pread(held, 1, 0)
    idle.set()
    go.wait()
    os.pread(held, 2, 0)  # the file it used last, long ago
other = threading.Thread(target=rest)
other.start()
idle.wait()
for _ in range(%d):
    one, two = os.pipe()
    os.write(two, b"x")
    os.close(one)
    os.close(two)
go.set()
other.join()
os.write(fast_end, b"1234567")
thread.join()
os.path.exists("sub")
"""


@pytest.mark.timeout(180)
def test_what_is_held_keeps_its_name_over_any_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors that rest, calls that block and the working directory are named right after 90,001 pipes."""
    monkeypatch.setattr("ior_nb.engine.names._MANY", 8_000)
    monkeypatch.setattr("ior_nb.engine.names._YOUNG", 1_000)
    held = tmp_path / "held.txt"
    held.write_text("text")
    engine = BccEngine()
    most = 0
    with TracerSession(engine=engine) as session:
        command = [sys.executable, "-c", WORKLOAD % PIPES, str(held)]
        calls = "pread64,read,write,newfstatat"
        with trace(command=command, syscalls=calls, session=session) as found:
            names = engine._decoder.names
            keep = names.keep

            def watched(payload: bytes) -> None:
                nonlocal most
                most = max(most, names.file_places.used)
                keep(payload)
                asked.append(names.file_places.used)

            asked: list[int] = []
            monkeypatch.setattr(names, "keep", watched)
    rows = found.batch
    calls_made = Counter(zip(rows.text("syscall"), rows["bytes"].tolist(), rows.text("file"), strict=True))
    pipes = {file for (call, moved, file) in calls_made if (call, moved) == ("write", 1) and file.startswith("pipe:")}

    assert found.accounting.complete
    assert calls_made["pread64", 1, str(held)] == 1
    assert calls_made["pread64", 2, str(held)] == 1
    assert sum(n for (call, moved, file), n in calls_made.items() if call == "read" and moved == 7) == 1
    assert next(file for (call, moved, file) in calls_made if (call, moved) == ("read", 7)).startswith("pipe:[")
    assert calls_made["newfstatat", 0, str(tmp_path / "sub")] == 1
    assert len(pipes) == PIPES
    assert len(asked) >= 1
    assert most < PIPES  # how many depends on how far the reader is behind


def test_what_is_alive_is_in_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again and again while files come, the collector names each id that is still to come."""
    monkeypatch.setattr("ior_nb.engine.names._MANY", 500)
    monkeypatch.setattr("ior_nb.engine.names._YOUNG", 50)
    code = "import os\nfor i in range(2003):\n for _ in range(3): os.close(os.open(f'{i}.txt', os.O_CREAT))"
    with TracerSession(engine=BccEngine()) as session:
        with trace(command=[sys.executable, "-c", code], cwd=tmp_path, syscalls="openat,close", session=session) as t:
            pass
        calls_made = Counter(zip(t.batch.text("syscall"), t.batch.text("file"), strict=True))

    assert {calls_made[call, str(tmp_path / f"{i}.txt")] for call in ("openat", "close") for i in range(2003)} == {3}

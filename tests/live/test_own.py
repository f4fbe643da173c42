"""Whose work a thread does reaches the kernel program in every place; where it cannot, the trace says so."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ior_nb.engine.bcc import BccEngine
from ior_nb.runtime import own
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace

ROOT = Path(__file__).resolve().parents[2]
# A process that gives up every right; its collector, which has them, was started before: as by `sudo -n`.
WITHOUT_RIGHTS = """
import importlib.util, json, os, subprocess, sys
from pathlib import Path
sys.path.insert(0, {root!r})
import ior_nb, numpy, pandas, pyarrow
from ior_nb.engine import bcc, spawn
import ior_nb.export.pandas, ior_nb.session.tracing
found = importlib.util.spec_from_file_location("fewer", {helper!r})
fewer = importlib.util.module_from_spec(found)
found.loader.exec_module(fewer)
collector = spawn.spawn()
bcc.spawn = lambda: collector
fewer.drop(65534, [])
zero = os.open("/dev/zero", os.O_RDONLY)
with ior_nb.trace(families="all") as t:
    for _ in range(7): os.pread(zero, 3, 0)
    t.title, t.notes
    for _ in range(4): os.pread(zero, 3, 0)
status = dict(line.split(":\\t") for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps([list(t.batch.text("syscall")), t.notes, t.accounting.left_out > 0, int(status["CapEff"], 16)]))
"""


def test_a_process_without_any_right_says_whose_work_it_does() -> None:
    """The map comes by the collector's socket, whoever runs that: as a user without capabilities, too."""
    code = WITHOUT_RIGHTS.format(root=str(ROOT), helper=str(Path(__file__).with_name("fewer_rights.py")))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert json.loads(done.stdout) == [["pread64"] * 11, [], True, 0]


def test_a_map_that_cannot_be_mapped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the threads that do nothing but our work are left out, and a note says what else may be among the rows."""

    def refused(descriptor: int, size: int) -> memoryview:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(own, "share", refused)
    zero = os.open("/dev/zero", os.O_RDONLY)
    with TracerSession(engine=BccEngine()) as session, trace(session=session, syscalls="pread64,recvmsg,sendto") as t:
        for _ in range(11):
            os.pread(zero, 3, 0)
    os.close(zero)

    assert list(t.batch.text("syscall")) == ["pread64"] * 11
    assert "cannot be told from yours here (Permission denied)" in "".join(t.notes)
    assert t.accounting.complete


def test_two_collectors_at_once_are_both_told() -> None:
    """Each session of a process has the user's calls alone, also while another traces."""
    zero = os.open("/dev/zero", os.O_RDONLY)
    with (
        TracerSession(engine=BccEngine()) as one,
        TracerSession(engine=BccEngine()) as two,
        trace(session=one, families="FS,Network,AIO,Process") as outer,
    ):
        os.pread(zero, 3, 0)
        with trace(session=two, families="FS,Network,AIO,Process") as inner:
            os.pread(zero, 5, 0)
        inner.df()
        os.pread(zero, 7, 0)
    os.close(zero)

    assert [t.batch["bytes"].tolist() for t in (outer, inner)] == [[3, 5, 7], [5]]
    assert own._shared == ()

"""What the host counts of this process is what it did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ior_nb.runtime.host import HostCounts, cached_of, sample

pytestmark = pytest.mark.skipif(not os.access("/proc/self/io", os.R_OK), reason="no /proc/self/io here")


def test_bytes_and_calls_are_exact(tmp_path: Path) -> None:
    """What the looks themselves read is not among them."""
    program = f"""
import os
from ior_nb.runtime.host import HostCounts, sample
file = os.open({str(tmp_path / "file")!r}, os.O_RDWR | os.O_CREAT)
first = sample()
os.write(file, b"x" * 1000)
for _ in range(3):
    os.pread(file, 300, 0)
found = HostCounts.between(first, sample(ends=True))
print(*(found.io[name] for name in ("rchar", "syscr", "wchar", "syscw")))
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)

    assert done.stdout.split() == ["900", "3", "1000", "1"]


def test_a_host_that_does_not_tell_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of it, no number: nothing is made zero."""
    monkeypatch.setattr("ior_nb.runtime.host._PRESSURE", Path("/nonexistent"))
    monkeypatch.setattr("ior_nb.runtime.host._io", lambda: ({}, 0))

    found = HostCounts.between(sample(), sample(ends=True))

    assert (found.io, found.pressure) == ({}, {})
    assert found.usage


def test_what_is_cached_is_told_of_an_own_file(tmp_path: Path) -> None:
    """All pages of a file just written are in memory; or the kernel does not tell."""
    path = tmp_path / "file"
    path.write_bytes(bytes(8 * os.sysconf("SC_PAGESIZE")))
    file = os.open(path, os.O_RDONLY)
    try:
        found = cached_of(file)
    finally:
        os.close(file)

    assert found is None or found.pages == 8

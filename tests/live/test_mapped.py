"""Faults on mapped files: what they bring in, against what the kernel counts for the process."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ior_nb.result.trace import Trace
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace

MIB = 1 << 20
PROGRAM = """
import json, mmap, os, sys, threading
import numpy as np
path = sys.argv[1]

def io():
    with open("/proc/self/io") as lines:
        return {name: int(value) for name, value in (line.split(": ") for line in lines)}["read_bytes"]

def scan(data):
    return int(data[::4096].sum())

def scattered(data):
    return sum(int(data[at]) for at in np.random.default_rng(1).integers(0, len(data), 97))

def halves(data):
    half = len(data) // 2
    threads = [threading.Thread(target=scan, args=(data[at : at + half],)) for at in (0, half)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

def column(data):
    return np.load(path, mmap_mode="r")[:, 5].sum()

def written(data):
    with open(sys.argv[3], "wb", buffering=0) as out:
        out.write(data[: len(data) // 2])

data = np.memmap(path, dtype="u1", mode="r")
scan(np.zeros(1)), io()
before = io()
{"scan": scan, "scattered": scattered, "halves": halves, "column": column, "written": written}[sys.argv[2]](data)
print(json.dumps({"read": io() - before, "pid": os.getpid()}), flush=True)
"""


def cold(path: Path) -> Path:
    """Return a file none of which is in the page cache."""
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file of 24 MiB with a NumPy array in it."""
    made = tmp_path / "data.npy"
    np.save(made, np.random.default_rng(0).random((3072, 1024)))
    return made


@pytest.fixture
def run(session: TracerSession, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[Trace, Any]]:
    """`run(what, path, **options)` traces one of the functions of the program; returns the trace and what it said."""

    def run(what: str, path: Path, **options: Any) -> tuple[Trace, Any]:
        capfd.readouterr()
        command = [sys.executable, "-c", PROGRAM, str(path), what, str(tmp_path / "out")]
        with ior_trace(command=command, session=session, **options) as t:
            pass
        assert t.returncode == 0
        return t, json.loads(capfd.readouterr().out)

    return run


def faults(trace: Trace, path: Path) -> Any:
    """Return the faults on a file."""
    rows = trace.df()
    return rows[(rows["file"] == str(path)) & (rows["syscall"] == "page_fault")]


@pytest.mark.parametrize("what", ["scan", "scattered", "halves", "column", "written"])
def test_faults_bring_in_what_the_process_read(what: str, data: Path, run: Callable[..., tuple[Trace, Any]]) -> None:
    """The bytes of the rows of a cold mapped file are what the kernel says the process has read."""
    found, said = run(what, cold(data))
    rows = faults(found, data)

    table = found.df()
    by_calls = table[(table["file"] == str(data)) & (table["syscall"] != "page_fault")]["fetched_bytes"].sum()

    assert said["read"] > 0
    assert rows["bytes"].sum() + by_calls == said["read"]
    assert rows["fetched_bytes"].sum() == rows["bytes"].sum() == found.pages[str(data)]["faulted_bytes"]
    assert (by_calls > 0) == (what == "column")  # the head of the file is read by a call
    assert set(rows["pid"]) == {said["pid"]}
    assert len(set(rows["tid"])) == (2 if what == "halves" else 1)
    assert found.accounting.complete
    assert found.accounting.unaccounted == 0


def test_a_fault_has_its_line_and_place_and_no_latency(data: Path, run: Callable[..., tuple[Trace, Any]]) -> None:
    """A row says where in the file the fault was and which line of Python it was made by; its end nobody knows."""
    found, _ = run("scan", cold(data))
    rows = faults(found, data)

    assert set(rows["py_func"]) == {"scan"}
    assert set(rows["family"]) == {"Memory"}
    assert set(rows["state"]) == {"untimed"}
    assert set(rows["latency_ns"]) == {0}
    assert set(rows["wait_cpu_ns"]) == set(rows["on_cpu_ns"]) == {-1}
    assert rows["wait_device_ns"].sum() > 0
    assert (rows["offset"] % mmap.PAGESIZE == 0).all()
    assert rows["offset"].is_monotonic_increasing
    calls = found.syscalls()
    assert calls[calls["syscall"] == "page_fault"]["mean_ns"].tolist() == [0]


def test_faults_that_find_their_pages_are_counted_and_no_rows(
    data: Path, run: Callable[..., tuple[Trace, Any]]
) -> None:
    """Of a file that is in the page cache nothing is brought in: it has counts alone."""
    data.read_bytes()
    found, said = run("scan", data)

    assert said["read"] == 0
    assert not len(faults(found, data))
    assert found.pages[str(data)]["faulted_bytes"] == 0
    assert found.pages[str(data)]["faults"] > 0
    assert found.pages[str(data)]["mapped_bytes"] > 0


def test_where_page_fault_is_off_nothing_is_seen(data: Path, run: Callable[..., tuple[Trace, Any]]) -> None:
    """Faults are a probe like any other."""
    found, _ = run("scan", cold(data), syscalls="mmap,openat")

    assert not len(faults(found, data))
    assert found.pages == {}
    assert "mmap" in set(found.df()["syscall"])


def test_sampling_counts_the_faults_that_are_no_rows(data: Path, run: Callable[..., tuple[Trace, Any]]) -> None:
    """Counters and counts by file know what sampling leaves out."""
    found, said = run("scan", cold(data), sampling={"page_fault": 0})

    assert not len(faults(found, data))
    assert found.counters["page_fault"]["bytes"] >= said["read"]
    assert found.pages[str(data)]["faulted_bytes"] == said["read"]
    assert found.accounting.sampled_out == found.counters["page_fault"]["calls"]
    assert found.accounting.unaccounted == 0


def test_a_filter_judges_faults(data: Path, run: Callable[..., tuple[Trace, Any]]) -> None:
    """The kernel lets faults pass by the same filter; one of latency, which they have not, keeps them out."""
    by_name, _ = run("scan", cold(data), filter="syscall=page_fault")
    by_latency, _ = run("scan", cold(data), filter="latency>=0")

    assert set(by_name.df()["syscall"]) == {"page_fault"}
    assert len(faults(by_name, data))
    assert not len(faults(by_latency, data))
    assert by_name.accounting.unaccounted == by_latency.accounting.unaccounted == 0


LIBRARY = """
const char filling[8 << 20] = {1};
int look(void) {
  int sum = 0;
  for (int i = 0; i < sizeof filling; i += 4096) sum += *(volatile const char *)&filling[i];
  return sum;
}
"""


def test_a_shared_library_is_a_mapped_file(tmp_path: Path, session: TracerSession) -> None:
    """What is brought in of a library is seen, whoever mapped it."""
    source, library = tmp_path / "look.c", tmp_path / "look.so"
    source.write_text(LIBRARY)
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, source], check=True)
    cold(library)
    program = f"import ctypes; ctypes.CDLL({str(library)!r}).look()"
    with ior_trace(command=[sys.executable, "-c", program], session=session) as t:
        pass
    rows = faults(t, library)

    assert t.pages[str(library)]["faulted_bytes"] + 4 * MIB >= 8 * MIB
    assert rows["bytes"].sum() == t.pages[str(library)]["faulted_bytes"] > 0


def test_a_file_below_an_overlay_has_the_name_its_user_knows(tmp_path: Path, session: TracerSession) -> None:
    """In containers the mapping is of the layer's file; the row has the path in the container."""
    folders = {name: tmp_path / name for name in ("lower", "upper", "work", "merged")}
    for folder in folders.values():
        folder.mkdir()
    (folders["lower"] / "data").write_bytes(os.urandom(MIB))
    lower, upper, work, merged = map(str, folders.values())
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, merged], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip(f"no overlay file system: {done.stderr.decode()}")
    try:
        cold(folders["lower"] / "data")
        opened = f"f = open({merged + '/data'!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)"
        program = f"import mmap; {opened}; m[::4096]"
        with ior_trace(command=[sys.executable, "-c", program], session=session) as t:
            pass
    finally:
        subprocess.run(["umount", merged], check=True)

    assert t.pages[f"{merged}/data"]["faulted_bytes"] == MIB
    assert faults(t, folders["merged"] / "data")["bytes"].sum() == MIB


REGION = """
import mmap, os, sys
with open(sys.argv[1], "r+b") as file:
    spare = [mmap.mmap(-1, 4096 * (1 + n)) for n in range(211)]
    data = mmap.mmap(file.fileno(), 0)
    data[3 << 20] = 1
    data.madvise(mmap.MADV_WILLNEED)
    data.flush()
    data.flush(2 << 20, 8192)
    data.close()
"""


def test_calls_on_mapped_memory_name_its_file(data: Path, session: TracerSession) -> None:
    """mmap, msync, madvise and munmap act on a file, wherever in its mapping; on other memory they have none."""
    with ior_trace(command=[sys.executable, "-c", REGION, str(data)], session=session, families="FS,Memory") as t:
        pass
    rows = t.df()
    mine = rows[rows["file"] == str(data)]["syscall"].value_counts()

    assert {name: mine[name] for name in ("mmap", "msync", "madvise", "munmap")} == {
        "mmap": 1,
        "msync": 2,
        "madvise": 1,
        "munmap": 1,
    }
    assert (rows[rows["syscall"] == "munmap"]["file"] == "").sum() > 0

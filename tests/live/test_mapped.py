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
import pyarrow as pa
import pytest

import ior_nb
from ior_nb.result.trace import Trace
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from tests.live.mounts import mount

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

def arrow(data):
    import pyarrow as pa
    return pa.ipc.open_file(pa.memory_map(path)).read_all()["c"].to_numpy().sum()

def written(data):
    with open(sys.argv[3], "wb", buffering=0) as out:
        out.write(data[: len(data) // 2])

data = np.memmap(path, dtype="u1", mode="r")
scan(np.zeros(1)), scattered(np.zeros(1)), io()
before = io()
globals()[sys.argv[2]](data)
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


def test_what_arrow_maps_is_what_the_process_read(tmp_path: Path, run: Callable[..., tuple[Trace, Any]]) -> None:
    """A memory map of Arrow is brought in by faults and by what it announces (madvise): together it is all."""
    path = tmp_path / "data.arrow"
    table = pa.table({"c": np.random.default_rng(0).random(1 << 20)})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    found, said = run("arrow", cold(path), families="FS,Memory")
    everything = found.df()
    rows = everything[everything["file"] == str(path)]

    assert said["read"] >= 8 * MIB
    # A page of a library may be cold as well.
    assert rows["fetched_bytes"].sum() <= said["read"] <= everything["fetched_bytes"].clip(lower=0).sum()
    assert rows["fetched_bytes"].sum() >= 8 * MIB
    assert "page_fault" in set(rows["syscall"])


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


def test_the_pages_of_a_hole_come_from_no_device(tmp_path: Path, run: Callable[..., tuple[Trace, Any]]) -> None:
    """A file made longer than what was written to it: faults bring in all of it, and fetch what is there."""
    path = tmp_path / "holes"
    with path.open("wb") as file:
        file.truncate(8 * MIB)
        file.seek(4 * MIB)
        file.write(bytes(MIB))

    found, _ = run("scan", cold(path))

    rows = found.filter(f'syscall=page_fault and file="{path}"').df()
    assert rows["bytes"].sum() == 8 * MIB
    assert rows["fetched_bytes"].sum() == MIB
    assert "8.0 MiB from the device" not in str(found)


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
    lower, upper, work = (tmp_path / name for name in ("lower", "upper", "work"))
    for folder in (lower, upper, work):
        folder.mkdir()
    (lower / "data").write_bytes(os.urandom(MIB))
    layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
    with mount(tmp_path / "merged", "-t", "overlay", "overlay", "-o", layers) as merged:
        cold(lower / "data")
        opened = f"f = open({str(merged / 'data')!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)"
        program = f"import mmap; {opened}; m[::4096]"
        with ior_trace(command=[sys.executable, "-c", program], session=session) as t:
            pass

    assert t.pages[str(merged / "data")]["faulted_bytes"] == MIB
    assert faults(t, merged / "data")["bytes"].sum() == MIB


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


# As on kernels before Linux 6.12: the program is built without the hooks that tell of faults.
WITHOUT_FAULTS = """
import json, os, subprocess, sys
from dataclasses import replace
sys.path.insert(0, {root!r})
from ior_nb.engine.collector import cache, loader, wire
cache.folder = lambda: None
loader.WAYS["raw"] = replace(loader.WAYS["raw"], faults_told=False)
from ior_nb.engine.collector.pages import PAGE_FAULT
from ior_nb.engine.collector.tracer import Tracer
import numpy as np
path = {path!r}
child = subprocess.Popen([sys.executable, "-c", '''
import mmap, sys
file = open(sys.argv[1], "rb")
data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sys.stdin.readline()
data[::4096]
print(open("/proc/self/io").read().split("read_bytes: ")[1].split()[0])
''', path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
tracer = Tracer(event_bytes=1 << 20, name_bytes=1 << 20, way="raw")
try:
    scope = {{"mode": "pids", "pids": [child.pid], "follow": True, "tid": 0, "uid": 0, "cgroup": 0}}
    ignored = {{"ignore_tids": [], "ignore_pids": []}}
    answer = tracer.start({{"scope": scope, "enabled": [PAGE_FAULT], "rates": {{}}, **ignored}})
    child.communicate("go\\n")
    records = [tracer.events.read(tracer.events.produced)]
    tracer.detach()
    kinds = {{"<6u8": ("<u8", (6,))}}
    event = np.dtype([("len", "<u4"), ("page", "<u4"), *((n, *kinds.get(t, (t,))) for n, t in wire.EVENT)])
    found = np.frombuffer(b"".join(records), event)
    print(json.dumps({{"no": answer["no_pages"], "bytes": int(found["ret"].sum()), "first": int(found["pos"].min())}}))
finally:
    tracer.close()
"""


def test_without_hooks_of_faults_pages_that_come_in_are_rows(data: Path) -> None:
    """Where the kernel tells of no faults, those that brought pages in are still seen, from their first page on."""
    cold(data)
    code = WITHOUT_FAULTS.format(root=str(Path(ior_nb.__file__).parents[1]), path=str(data))
    ran = subprocess.run([sys.executable, "-I", "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    pages = -(-data.stat().st_size // mmap.PAGESIZE)

    assert json.loads(ran.stdout) == {"no": "", "bytes": pages * mmap.PAGESIZE, "first": 0}

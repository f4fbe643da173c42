"""What all live tests share: when they run, a clean kernel before and after, a session, the known workload."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.collector.distribution import find_bcc
from ior_nb.result.trace import Trace
from ior_nb.runtime import EventBatch
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from ior_nb.syscalls import resolve
from ior_nb.syscalls.machine import NUMBERS

HERE = Path(__file__).parent
TOKEN = "IOR_NB_LIVE_TESTS"  # in the environment of every process these tests start


# ---- when they run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is a live one."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("live")


def missing_here() -> str | None:
    """Return why tracing for real is not possible on this machine, None when it is."""
    if os.geteuid() != 0:
        return "needs root"
    if find_bcc() is None:
        return "needs bcc (apt install python3-bpfcc)"
    if shutil.which("gcc") is None:
        return "needs gcc, for the workload"
    return None


def unavailable(reason: str) -> None:
    """Skip the test, or fail it where live tests are required."""
    if os.environ.get("IOR_NB_REQUIRE_LIVE") == "1":
        pytest.fail(f"live tests are required here: {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail where they are required, before any fixture is made."""
    if HERE in item.path.parents and (reason := missing_here()):
        unavailable(reason)


@pytest.fixture(scope="session")
def required() -> Callable[[str], None]:
    """`required(reason)` skips the test, or fails it where live tests are required."""
    return unavailable


# ---- a clean kernel


class World:
    """What is loaded in the kernel, and which of it is ours.

    Other programs of this machine may load and unload theirs at any time: a program counts against us when a process
    started by these tests holds it, or nobody does.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._token = f"{TOKEN}={os.environ[TOKEN]}".encode()

    def programs(self) -> set[int]:
        """Return the ids of all BPF programs: BPF_PROG_GET_NEXT_ID until there is none."""
        found: set[int] = set()
        last = 0
        while True:
            attributes = ctypes.create_string_buffer(struct.pack("<III", last, 0, 0), 128)
            if self._libc.syscall(NUMBERS["bpf"], 11, attributes, 128) != 0:
                return found
            last = struct.unpack_from("<I", attributes, 4)[0]
            found.add(last)

    def processes(self) -> set[int]:
        """Return the numbers of all processes."""
        return {int(name) for name in os.listdir("/proc") if name.isdigit()}

    def held_by(self, pid: int) -> set[int]:
        """Return the ids of the BPF programs a process has open."""
        found: set[int] = set()
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    what = os.readlink(f"/proc/{pid}/fd/{fd}")
                    if "bpf" in what and not what.endswith("bpf-map"):  # a program, or a link to one
                        lines = Path(f"/proc/{pid}/fdinfo/{fd}").read_text().splitlines()
                        found |= {int(line.split()[1]) for line in lines if line.startswith("prog_id:")}
        return found

    def collectors(self) -> set[int]:
        """Return the collector processes these tests have started and that still live."""
        found: set[int] = set()
        for pid in self.processes():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"ior_nb.engine.collector" in command and self._token in Path(f"/proc/{pid}/environ").read_bytes():
                    found.add(pid)
        return found

    def left(self, before: set[int], allowed: set[int]) -> tuple[set[int], set[int]]:
        """Return (programs of ours or of nobody, collectors of ours) that are new and not `allowed`."""
        collectors = self.collectors() - allowed
        new = (self.programs() - before).difference(*map(self.held_by, allowed))
        for pid in sorted(self.processes() - collectors, reverse=True):  # who came last has most of what is new
            if not new:
                break
            new -= self.held_by(pid)
        return new, collectors

    def wait_clean(self, before: set[int], allowed: set[int], seconds: float = 10) -> tuple[set[int], set[int]]:
        """Wait until nothing is left (the kernel frees programs a moment after their holder ended)."""
        deadline = time.monotonic() + seconds
        while any(left := self.left(before, allowed)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left


@pytest.fixture(scope="session")
def world() -> World:
    """The kernel's BPF programs."""
    os.environ[TOKEN] = f"{os.getpid()}-{time.time_ns()}"
    return World()


@pytest.fixture(scope="module", autouse=True)
def programs_before(world: World) -> Iterator[set[int]]:
    """The BPF programs before a module; when its sessions are closed, nothing of ours is loaded or running."""
    before = world.programs()
    assert world.collectors() == set()

    yield before

    assert world.wait_clean(before, set()) == (set(), set())


@pytest.fixture
def left_over(
    world: World, programs_before: set[int], engine_slot: list[BccEngine]
) -> Callable[[], tuple[set[int], set[int]]]:
    """`left_over()` waits for a clean kernel; returns what is not: (programs, collectors), the module's left out."""

    def look() -> tuple[set[int], set[int]]:
        return world.wait_clean(programs_before, {e.collector_pid for e in engine_slot if e.collector_pid is not None})

    return look


@pytest.fixture(autouse=True)
def clean_world(left_over: Callable[[], tuple[set[int], set[int]]]) -> Iterator[None]:
    """Before and after each test nothing is loaded but the module's engine."""
    assert left_over() == (set(), set())

    yield

    assert left_over() == (set(), set())


# ---- sessions


@pytest.fixture(scope="module")
def engine_slot() -> list[BccEngine]:
    """The module's engine, once there is one."""
    return []


@pytest.fixture(scope="module")
def engine(engine_slot: list[BccEngine]) -> Iterator[BccEngine]:
    """One collector for the whole module: loading takes most of a second."""
    made = BccEngine()
    engine_slot.append(made)
    yield made
    made.close()
    engine_slot.clear()


@contextlib.contextmanager
def session_on(engine: BccEngine) -> Iterator[TracerSession]:
    """A session on a collector that goes on when it is closed."""
    made = TracerSession()
    made._engine = engine
    try:
        yield made
    finally:
        made._engine = None
        made.close()


@pytest.fixture
def session(engine: BccEngine) -> Iterator[TracerSession]:
    """A fresh session on the module's collector."""
    with session_on(engine) as made:
        yield made


# ---- the known workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One call the workload made, in its own words."""

    tid: int
    syscall: str
    file: str
    bytes: int
    errno: int
    ret: int | None
    """None where the caller cannot know it."""
    more: dict[str, str]
    """Further columns."""

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What makes two rows the same."""
        return self.syscall, self.file, self.bytes, self.errno


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The compiled workload."""

    program: Path
    tiny: Path
    """What the workload executes."""

    def command(self, folder: Path, scenario: str, argument: str | None = None) -> list[str]:
        """Return the command line of a scenario."""
        log = folder.parent / f"{folder.name}.log"
        return [str(self.program), str(folder), str(log), scenario, str(self.tiny) if argument is None else argument]

    def expected(self, folder: Path) -> list[Expected]:
        """Return what the workload has logged, in the order of its calls."""
        words = (folder.parent / f"{folder.name}.log").read_bytes().split(b"\0")[:-1]
        texts = [w.decode("utf-8", "backslashreplace") for w in words]
        return [
            Expected(
                tid=int(tid),
                syscall=resolve(call).name,
                file=file,
                bytes=int(size),
                errno=int(error),
                ret=int(ret) if ret else None,
                more=dict(pair.split("=", 1) for pair in more.split("|")) if more else {},
            )
            for tid, call, file, size, error, ret, more in zip(*[iter(texts)] * 7, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A traced run of a scenario."""

    trace: Trace
    rows: EventBatch
    """Between the markers, by time."""
    expected: list[Expected] = field(default_factory=list)


def between_markers(batch: EventBatch) -> EventBatch:
    """Return the calls between the markers, by time. When a page is not there nobody can foretell."""
    batch = batch.take(batch.text("syscall") != "page_fault")
    paths, times = batch.text("path_arg"), batch["time_ns"]
    (begin,) = times[paths == "/ior-nb-marker-begin"]
    (end,) = times[paths == "/ior-nb-marker-end"]
    inside = np.flatnonzero((times > begin) & (times < end))
    return batch.take(inside[np.argsort(times[inside], kind="stable")])


@pytest.fixture(scope="session")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """The known workload, compiled."""
    folder = tmp_path_factory.mktemp("workload")
    folder.chmod(0o755)
    made = Workload(program=folder / "workload", tiny=folder / "tiny")
    flags = ["-O1", "-Wall", "-Wextra", "-Werror"]
    for extra, target in ((["-pthread"], made.program), (["-nostdlib", "-static"], made.tiny)):
        subprocess.run(["gcc", *flags, *extra, "-o", target, HERE / f"{target.name}.c"], check=True)
    return made


def traced(workload: Workload, session: TracerSession, where: Path, scenario: str, **options: Any) -> Ran:
    """Trace a scenario of the workload, in a new folder, as a command."""
    folder = where / "area"
    folder.mkdir()
    with ior_trace(command=workload.command(folder, scenario), session=session, families="all", **options) as t:
        pass
    assert t.returncode == 0
    return Ran(trace=t, rows=between_markers(t.batch), expected=workload.expected(folder))


@pytest.fixture
def run_scenario(workload: Workload, session: TracerSession, tmp_path: Path) -> Callable[..., Ran]:
    """`run_scenario(name, where, **options)` traces a scenario of the workload, in a new folder, as a command."""

    def run(scenario: str, where: Path = tmp_path, **options: Any) -> Ran:
        return traced(workload, session, where, scenario, **options)

    return run


@pytest.fixture(scope="module")
def run_of(workload: Workload, engine: BccEngine, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ran]:
    """`run_of(name)` is one traced run of a scenario, which all rules of a module look at."""

    @functools.cache
    def run(scenario: str) -> Ran:
        with session_on(engine) as session:
            return traced(workload, session, tmp_path_factory.mktemp(scenario), scenario)

    return run

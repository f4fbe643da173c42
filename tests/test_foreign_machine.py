"""Machines of another architecture than this one: each look runs in a Python that takes its machine for another."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from ior_nb.syscalls import SYSCALLS, aarch64, x86_64
from ior_nb.syscalls.table import PSEUDO

ROOT: Final = Path(__file__).resolve().parents[1]
MACHINES: Final = ("x86_64", "aarch64")
CROSS: Final = "aarch64-linux-gnu-gcc"

START: Final = """
import json, platform, sys
platform.machine = lambda: {machine!r}
sys.path.insert(0, {root!r})
"""

TABLE: Final = """
from ior_nb.syscalls import NATIVE, SYSCALLS, machine, resolve
said = {
    "supported": machine.SUPPORTED,
    "numbers": {call.name: call.number for call in SYSCALLS},
    "native": [call.name for call in NATIVE],
    "open": resolve("open").native,
    "fadvise": [resolve(name).number for name in ("fadvise64", "fadvise64_64")],
}
"""

# Calls both have, calls of one of them only, and one that has two names.
RECORD: Final = """
from ior_nb import trace
from ior_nb.runtime.clock import boot_clock
from ior_nb.session.session import TracerSession
from ior_nb.syscalls import BY_NAME
from tests.fakes import FakeEngine, batch
names = "open openat poll ppoll fork clone access fadvise64 read exit_group newstat".split()
n = len(names) * 7
engine = FakeEngine()
session = TracerSession(engine=engine)
with trace(pid=1, session=session, families="all", record=sys.argv[1], title="fixed") as made:
    now = boot_clock()
    calls = names * 7
    engine.emit(batch(
        time_ns=[now + i for i in range(n)],
        latency_ns=[100 + i for i in range(n)],
        syscall=calls,
        family=[BY_NAME[c].family for c in calls],
        pid=[7] * n, tid=[7] * n, comm=["old"] * n,
        ret=[-2 if i % 5 == 0 else 3 for i in range(n)],
        is_error=[i % 5 == 0 for i in range(n)],
        bytes=[13 if c == "read" else 0 for c in calls],
        file=[f"/data/{i % 3}" for i in range(n)],
        open_flags=[0o2200000 if c.startswith("open") else -1 for c in calls],
    ))
session.close()
said = made.metadata()["ior_nb.machine"]
"""

LOOK: Final = """
import ior_nb
from ior_nb.engine.replay import ReplayEngine
from ior_nb.runtime.schema import NAMES, TEXT_COLUMNS
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace

def rows(of, names=NAMES):
    return {name: (of.text(name) if name in TEXT_COLUMNS else of[name]).tolist() for name in names}

whole = ior_nb.load(sys.argv[1])
said = {
    "machine": whole.metadata()["ior_nb.machine"],
    "rows": rows(whole.batch),
    "syscalls": whole.syscalls().to_dict(),
    "families": whole.families().to_dict(),
    "summary": str(whole.summary()),
    "flags": sorted({str(s) for s in whole.df()["open_flags"]}),
}
for text in ("syscall=open", "syscall!=open", "family=polling", "syscall~poll", "syscall=fadvise64_64", "not errors"):
    said[text] = len(ior_nb.load(sys.argv[1], filter=text).batch)

def played(**options):
    engine = ReplayEngine(sys.argv[1])
    with TracerSession(engine=engine) as session, trace(pid=1, session=session, **options) as found:
        run = session.running
        engine.flush()
        snapshot = run.statistics.snapshot()
        states = {s.syscall: s.active for s in run.probes.states()}
    return {
        "rows": rows(found.batch, ("syscall", "family", "ret", "file", "open_flags", "latency_ns")),
        "counters": found.counters,
        "accounting": found.accounting.as_dict(),
        "statistics": sorted((r.name, r.family, r.count, r.errors) for r in snapshot.syscalls),
        "states": states,
    }

said["played"] = played(families="all")
said["played, open only"] = played(syscalls="open", filter="syscall=open")
said["sampled"] = played(families="all", sampling={"poll": 2, "FS": 3})
said["written again"] = ior_nb.load(whole.to_parquet(sys.argv[2])).metadata()["ior_nb.machine"]
"""

DECODE: Final = """
import numpy as np
from ior_nb.engine.collector import wire
from ior_nb.engine.decode import Decoder
from ior_nb.engine.fields import EVENT
from ior_nb.runtime.frames import open_flags
from ior_nb.syscalls import machine

arm = platform.machine() == "aarch64"
O_DIRECT, O_LARGEFILE, O_DIRECTORY, O_NOFOLLOW = (
    (0o200000, 0o400000, 0o40000, 0o100000) if arm else (0o40000, 0o100000, 0o200000, 0o400000)
)
O_CLOEXEC, O_TMPFILE = 0o2000000, 0o20000000 | O_DIRECTORY
given = [0, O_DIRECT, O_LARGEFILE, O_DIRECTORY | O_CLOEXEC, O_NOFOLLOW | 2, O_TMPFILE | 2, O_DIRECT | O_DIRECTORY]
events = np.zeros(2 * len(given) + 1, EVENT)
events["len"] = wire.EVENT_BYTES
events["nr"][: len(given)] = machine.NUMBERS["openat"]
events["args"][: len(given), 2] = given
events["nr"][len(given) : -1] = machine.NUMBERS["openat2"]
events["extra"][len(given) : -1] = given
events["nr"][-1] = machine.NUMBERS["read"]
found = Decoder().events(events.tobytes())
said = [[row.syscall, row.open_flags, open_flags(row.open_flags)] for row in found]
"""

REFUSED: Final = """
from ior_nb import errors
from ior_nb.engine.bcc import BccEngine

try:
    BccEngine().open()
except errors.SourceUnavailable as error:
    said = str(error)
"""

OFFERED: Final = """
from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.demo import DemoEngine
from ior_nb.engine.replay import ReplayEngine
from ior_nb.globalfilter.complete import complete

def proposed(text, values=None):
    return [s.text for s in complete(text, values=values)]

said = {
    "bcc": [call.name for call in BccEngine.syscalls],
    "demo": len(DemoEngine.syscalls),
    "replay": len(ReplayEngine.syscalls),
    "open": "open" in proposed("syscall=op"),
    "openat": "openat" in proposed("syscall=op"),
    "lstat": "lstat" in proposed("syscall=lst"),
    "open seen": "open" in proposed("syscall=op", {"syscall": ["open"]}),
}
"""


def on(machine: str, code: str, *arguments: str | Path) -> Any:
    """Run code that sets `said`, as on a machine of that architecture; return what it said."""
    code = START.format(machine=machine, root=str(ROOT)) + code + "\njson.dump(said, sys.stdout)\n"
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@functools.cache
def look(machine: str, path: Path) -> Any:
    """Return what a recording says on such a machine."""
    return on(machine, LOOK, path, path.with_name(machine))


@pytest.fixture(scope="module", params=MACHINES)
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A recording, and the architecture it was made on."""
    path = tmp_path_factory.mktemp("made") / "r.parquet"
    assert on(request.param, RECORD, path) == request.param
    return request.param, path


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_is_known_everywhere(machine: str) -> None:
    """The rows are the same on all machines; native calls have their table's numbers, no number is given twice."""
    said = on(machine, TABLE)
    table = {"x86_64": x86_64, "aarch64": aarch64}[machine].NUMBERS

    assert said["supported"]
    assert set(said["numbers"]) == {call.name for call in SYSCALLS}
    assert len(set(said["numbers"].values())) == len(SYSCALLS)
    assert {said["numbers"][name] for name in said["native"]} == {*table.values(), *PSEUDO.values()}
    assert len(said["native"]) == len(table) + len(PSEUDO)
    assert said["open"] == (machine == "x86_64")
    assert said["fadvise"] == {"x86_64": [221, 221], "aarch64": [223, 223]}[machine]


def test_a_machine_without_a_table_can_read_recordings(recording: tuple[str, Path]) -> None:
    """On another processor nothing can be traced, and a recording says the same."""
    _, path = recording

    assert not on("riscv64", TABLE)["supported"]
    assert look("riscv64", path) == look("x86_64", path)


def test_a_recording_says_the_same_on_every_machine(recording: tuple[str, Path]) -> None:
    """Rows, tables, summaries, filters, playback with its counters and probes: nothing depends on where one looks."""
    made_on, path = recording
    one, other = (look(machine, path) for machine in MACHINES)

    assert one == other
    assert one["machine"] == one["written again"] == made_on
    assert (one["syscall=open"], one["family=polling"], one["syscall~poll"]) == (7, 14, 14)
    assert one["syscall=fadvise64_64"] == 7
    assert one["played"]["counters"]["open"]["calls"] == 7
    assert one["played"]["states"]["poll"]
    assert one["played"]["rows"]["syscall"] == one["rows"]["syscall"]
    assert set(one["played, open only"]["rows"]["syscall"]) == {"open"}
    assert one["sampled"]["rows"]["syscall"].count("poll") == 4


def test_flags_of_opens_mean_the_same_wherever_rows_are_made() -> None:
    """The same opens have the same column and the same text, whatever bits the machine has for their flags."""
    one, other = (on(machine, DECODE) for machine in MACHINES)

    assert one == other
    assert [call for call, _, _ in one] == ["openat"] * 7 + ["openat2"] * 7 + ["read"]
    assert [text for _, _, text in one[:7]] == [text for _, _, text in one[7:14]]
    assert [text for _, _, text in one[:7]] == [
        *("O_RDONLY", "O_RDONLY|O_DIRECT", "O_RDONLY|O_LARGEFILE", "O_RDONLY|O_DIRECTORY|O_CLOEXEC"),
        *("O_RDWR|O_NOFOLLOW", "O_RDWR|O_TMPFILE", "O_RDONLY|O_DIRECT|O_DIRECTORY"),
    ]
    assert one[-1] == ["read", -1, ""]


@pytest.mark.parametrize(("machine", "has_open"), [("x86_64", True), ("aarch64", False)])
def test_only_calls_of_this_machine_are_offered_for_tracing(machine: str, has_open: bool) -> None:
    """A live trace has this machine's calls; engines of other rows have all; a filter proposes what was seen too."""
    said = on(machine, OFFERED)

    assert ("open" in said["bcc"]) == has_open
    assert said["demo"] == said["replay"] == len(SYSCALLS)
    assert (said["open"], said["openat"], said["lstat"], said["open seen"]) == (has_open, True, has_open, True)


def test_a_machine_without_a_table_is_not_traced() -> None:
    """Numbers and registers of another processor would be nonsense: the engine says so before it starts anything."""
    assert on("riscv64", REFUSED).startswith("the system calls of x86-64 and arm64 can be traced, not those of riscv64")


@pytest.mark.skipif(shutil.which(CROSS) is None, reason="needs a compiler for arm64")
@pytest.mark.parametrize("program", ["workload", "tiny"])
def test_the_known_workload_compiles_for_arm64(program: str) -> None:
    """What the live tests trace is no x86 program; a call arm64 has not, and nobody stands in for, is an error."""
    source = ROOT / f"tests/live/{program}.c"
    ran = subprocess.run(
        [CROSS, "-O1", "-Wall", "-Wextra", "-Werror", "-S", "-o", "/dev/null", source], check=False, capture_output=True
    )

    assert ran.stderr == b""
    assert ran.returncode == 0

"""Sudden deaths: nothing stays attached, what was there is kept, and the result says what is missing."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ior_nb
from ior_nb import errors
from ior_nb.engine.bcc import BccEngine
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from ior_nb.sinks.parquet import read
from tests.collectors import collector_pid

if TYPE_CHECKING:
    from tests.live.conftest import Workload, World

OWNER = Path(__file__).with_name("owner.py")
SEED = 20_261


def gone(pid: int, seconds: float = 10) -> bool:
    """Wait until a process is no more; return whether it went."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if ") Z " in Path(f"/proc/{pid}/stat").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.005)
    return False


@dataclass(slots=True)
class Owner:
    """A tracing process (owner.py) and what it has said."""

    process: subprocess.Popen[str]
    said: dict[str, Any] = field(default_factory=dict)
    tracing: threading.Event = field(default_factory=threading.Event)
    recording: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        """Take in what it says, until its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(json.JSONDecodeError):  # a line cut off by the kill
                self.said |= json.loads(line)
            if "rows" in self.said:
                self.tracing.set()
            if self.said.get("rows"):
                self.recording.set()

    def kill(self) -> None:
        """Kill it, and the processes it leaves behind."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def owner(folder: Path, workload: Workload, scope: str = "pid") -> Iterator[Owner]:
    """A tracing process with a forked worker and a load beside it."""
    folder.mkdir()
    command = [sys.executable, str(OWNER), str(folder), str(workload.program), scope]
    environment = os.environ | {"PYTHONPATH": str(Path(ior_nb.__file__).parents[1]), "PYTHONWARNINGS": "ignore"}
    made = Owner(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    listener = threading.Thread(target=made.listen)
    listener.start()
    try:
        yield made
    finally:
        made.kill()
        for name in ("worker", "load"):
            if name in made.said:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(made.said[name], signal.SIGKILL)
        listener.join()
        assert made.process.stdout is not None
        made.process.stdout.close()


def test_a_killed_collector_costs_only_what_came_after(session: TracerSession, tmp_path: Path) -> None:
    """When the collector dies the trace keeps its rows and recording and says INCOMPLETE; the next trace works."""
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    target = tmp_path / "recording.parquet"
    with (  # noqa: PT031 -- the warning comes when the trace ends
        pytest.warns(errors.LostEventsWarning, match="INCOMPLETE"),
        ior_trace(session=session, record=target) as t,
    ):
        for _ in range(101):
            os.pwrite(fd, b"seven77", 0)
        session.engine().flush()
        pid = collector_pid(session)
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
        for _ in range(23):
            os.pwrite(fd, b"lost", 0)
    with ior_trace(session=session) as following:
        os.pwrite(fd, b"x", 0)
    os.close(fd)
    written = t.batch.text("syscall") == "pwrite64"

    assert int(written.sum()) == 101
    assert t.accounting.died
    assert not t.accounting.complete
    assert "INCOMPLETE" in repr(t)
    assert t.recording == target
    assert read(target).column("syscall").to_pylist().count("pwrite64") == 101
    assert list(following.batch.text("syscall")) == ["pwrite64"]
    assert following.accounting.complete


def test_a_stopped_collector_is_replaced_in_seconds(tmp_path: Path) -> None:
    """What does not answer is ended; its trace says so, and the next one has a new collector."""
    engine = BccEngine()
    with TracerSession(engine=engine) as session:
        with ior_trace(session=session):
            pass
        pid = engine.collector_pid
        assert pid is not None
        begun = time.monotonic()
        with pytest.warns(errors.LostEventsWarning), ior_trace(session=session) as t:
            os.kill(pid, signal.SIGSTOP)
        with ior_trace(session=session) as following:
            os.stat(tmp_path)
        took = time.monotonic() - begun

        assert any("did nothing about 'stop' and was ended" in note for note in t.notes)
        assert gone(pid)
        assert engine.collector_pid != pid
        assert list(following.batch.text("file")) == [str(tmp_path)]
        assert took < 20


WAITS_FOR_ALL = """
import os
import ior_nb
reaped = 0
with ior_nb.trace():
    for _ in range(3):
        if os.fork() == 0:
            os._exit(0)
    try:
        while True:
            os.wait()
            reaped += 1
    except ChildProcessError:
        print(reaped)
"""


def test_a_loop_that_waits_for_all_children_ends() -> None:
    """The collector is none of them, nor is what started it."""
    done = subprocess.run(
        [sys.executable, "-c", WAITS_FOR_ALL], capture_output=True, text=True, timeout=50, check=False
    )

    assert (done.stdout, done.stderr) == ("3\n", "")


CLOSES = """
import os, socket, sys, warnings
warnings.simplefilter("ignore")
import ior_nb
with ior_nb.trace(): pass
folder = sys.argv[1]
try:
    with ior_nb.trace(record=folder + "/r.parquet") as t:
        os.closerange(3, 4096)
        theirs = [os.open(f"{folder}/precious-{n}", os.O_CREAT | os.O_RDWR) for n in range(600)]
        pairs = [socket.socketpair() for _ in range(200)]
        for fd in theirs: os.write(fd, b"precious")
        for one, other in pairs: one.send(b"mine")
        for _ in range(2003): os.pread(theirs[0], 7, 0)
except ior_nb.errors.IorError: pass
assert all(os.fstat(fd).st_size == 8 and os.pread(fd, 9, 0) == b"precious" for fd in theirs)
assert all(other.recv(9) == b"mine" for _, other in pairs)
with ior_nb.trace(record=folder + "/next.parquet") as t: os.stat("/etc/hostname")
assert "/etc/hostname" in t.batch.text("file"), t.notes
kept = ior_nb.load(folder + "/r.parquet")
assert len(kept) or not kept.accounting.complete, kept.accounting
print("ok")
"""


def test_descriptors_closed_and_taken_by_the_program_are_its_own(tmp_path: Path) -> None:
    """Nothing of ours is written into a file of the user's or read from his socket; the next trace works."""
    done = subprocess.run(
        [sys.executable, "-c", CLOSES, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(ior_nb.__file__).parents[1],
    )

    assert done.stdout == "ok\n", done.stderr


LIMITS = """
import os, resource, signal, sys, warnings
import ior_nb
from ior_nb.session import default_session
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
os.umask(0o777)
for _ in range(2):
    with ior_nb.trace() as t: os.stat("/etc/hostname")
    assert t.accounting.complete and list(t.batch.text("file")) == ["/etc/hostname"]
    default_session().close()
print("ok")
"""


def test_what_a_program_does_to_itself_is_not_the_collectors(tmp_path: Path) -> None:
    """Ignored and blocked signals, limits and the umask of the traced program leave the tracer alone."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITS],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(ior_nb.__file__).parents[1],
    )

    assert done.stdout == "ok\n", done.stderr


BACKPORTS = (
    "pathlib",
    "typing",
    "enum",
    "dataclasses",
    "selectors",
    "json",
    "socket",
    "argparse",
    "contextlib",
    "types",
)


def test_back_ports_beside_the_package_are_not_imported(tmp_path: Path) -> None:
    """A folder of packages may hold any name of the standard library: the collector takes only what is its own."""
    package = Path(ior_nb.__file__).parent
    shutil.copytree(package, tmp_path / "ior_nb", ignore=shutil.ignore_patterns("__pycache__"))
    for name in BACKPORTS:
        (tmp_path / f"{name}.py").write_text("raise ImportError('a back-port')")
    code = (
        "import sys; import ior_nb; assert ior_nb.__file__.startswith(sys.argv[1]), ior_nb.__file__\n"
        "import os\nwith ior_nb.trace() as t: os.stat('/etc/hostname')\nprint(t.accounting.complete)"
    )
    start = "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in str(f).lower()]\n"
    start += f"sys.path.insert([n for n, p in enumerate(sys.path) if 'site-packages' in p][0], {str(tmp_path)!r})\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", start + code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )

    assert done.stdout == "True\n", done.stderr


def test_a_killed_program_is_accounted_for(session: TracerSession, workload: Workload, tmp_path: Path) -> None:
    """A traced command that is killed has status 137, complete rows, and its last call, if any, is in flight."""
    window = ior_trace(command=workload.command(tmp_path, "load", "100000000"), session=session, keep_rows=True)
    with window as t:
        while not len(t):
            time.sleep(0.001)
        window.signal(signal.SIGKILL)
    states = t.batch.text("state")

    assert t.returncode == 128 + signal.SIGKILL
    assert t.accounting.complete
    assert t.accounting.unaccounted == 0
    assert t.accounting.in_flight == int((states == "in flight").sum()) <= 1
    assert len(t.batch) == t.accounting.emitted + t.accounting.in_flight


def test_a_call_cut_short_by_a_kill_is_no_failure(session: TracerSession, tmp_path: Path) -> None:
    """A read that a kill ends returns -ERESTARTSYS to nobody: a row with its file's name, and no error."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR)
    window = ior_trace(command=["cat", str(fifo)], session=session)
    with window as t:
        assert window._stretch.child is not None
        where = Path(f"/proc/{window._stretch.child.pid}/syscall")
        while not where.read_text().startswith("0 0x3 "):
            time.sleep(0.001)
        window.signal(signal.SIGKILL)
    os.close(held)
    *_, last = [row for row in t.batch if row.file == str(fifo)]

    assert (last.syscall, last.fd, last.file_kind, last.state) == ("read", 3, "pipe", "done")
    assert (last.ret, last.is_error, last.bytes) == (-512, False, 0)
    assert t.counters["read"]["errors"] == 0
    assert t.accounting.unaccounted == 0


def test_a_killed_owner_leaves_nothing(
    world: World, left_over: Callable[[], tuple[set[int], set[int]]], workload: Workload, tmp_path: Path
) -> None:
    """When the tracing process is killed its collector goes, although a forked worker holds the socket open."""
    with owner(tmp_path / "owner", workload) as made:
        assert made.tracing.wait(30)
        collector, worker = made.said["collector"], made.said["worker"]
        held = world.held_by(collector)
        made.kill()
        went = gone(collector)
        lives = Path(f"/proc/{worker}").exists()
        left = left_over()

    assert len(held) >= 7
    assert went
    assert lives
    assert not held & world.programs()
    assert left == (set(), set())


@pytest.mark.timeout(180)
def test_twenty_kills_at_random_moments_under_load(
    left_over: Callable[[], tuple[set[int], set[int]]], workload: Workload, tmp_path: Path
) -> None:
    """Whenever the owner dies no program is left, and every row it knew to be on disk can be read."""
    moments = random.Random(SEED)
    recorded = 0
    for batch in range(5):
        with contextlib.ExitStack() as stack:
            owners = [stack.enter_context(owner(tmp_path / f"{batch}-{i}", workload)) for i in range(4)]
            if batch:  # else anywhere in the start: importing, compiling, attaching
                assert all(made.tracing.wait(30) for made in owners)
            for made in owners:
                time.sleep(moments.uniform(0, 0.25))
                made.kill()
        assert left_over() == (set(), set())
        for made in owners:
            if made.said.get("rows"):
                table = read(made.said["temporary"], columns=["seq"])
                assert len(table) >= made.said["rows"]
                recorded += len(table)

    assert recorded > 10_007


@pytest.mark.parametrize("scope", ["own", "pid"])
def test_a_recording_grows_while_it_is_made(scope: str, workload: Workload, tmp_path: Path) -> None:
    """Rows reach the disk during the trace, of this process as of another, so that a kill leaves them to be read."""
    with owner(tmp_path / "owner", workload, scope) as made:
        grew = made.recording.wait(30)
        made.kill()

    assert grew
    assert len(read(made.said["temporary"], columns=["seq"])) >= made.said["rows"]


@pytest.fixture
def closed_engine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was started in spite of everything: names of the engine's methods."""
    started: list[str] = []
    monkeypatch.setattr(BccEngine, "open", lambda self: started.append("open"))
    return started


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (lambda dead: {"pid": dead}, "there is no process"),
        (lambda dead: {"tid": dead}, "there is no thread"),
        (lambda dead: {"pid": -1}, "there is no process"),
        (lambda dead: {"pid": 0}, "there is no process"),
        (lambda dead: {"pid": 1, "uid": 0}, "exclude each other"),
        (lambda dead: {"pid": os.getpid(), "tid": 1}, "belongs to process"),
        (lambda dead: {"cgroup": "/nowhere"}, "no folder of a version-2 control group"),
        (lambda dead: {"uid": -3}, "there is no user"),
        (lambda dead: {"command": ["/no/such/program"]}, "not found"),
        (lambda dead: {"command": ["/etc/passwd"]}, "no program that can be executed"),
        (lambda dead: {"command": []}, "empty"),
        (lambda dead: {"syscalls": "opennat"}, "did you mean"),
        (lambda dead: {"families": "Disk"}, "unknown family"),
        (lambda dead: {"sampling": {"read": -1}}, "the rate is"),
        (lambda dead: {"engine": "dtrace"}, "there is no engine"),
    ],
)
def test_what_cannot_be_traced_is_refused_before_anything_starts(
    options: Callable[[int], dict[str, Any]], says: str, dead: int, closed_engine: list[str]
) -> None:
    """A request that cannot be met is a ConfigError of one line, and no collector was started."""
    with pytest.raises(errors.ConfigError, match=says) as caught:
        ior_trace(session=TracerSession(), **options(dead))

    assert "\n" not in str(caught.value)
    assert closed_engine == []


def test_a_recording_that_cannot_be_written_is_refused_before_anything_starts(
    tmp_path: Path, closed_engine: list[str]
) -> None:
    """A recording into a folder that is not there starts neither collector nor command."""
    marker = tmp_path / "marker"
    window = ior_trace(command=["touch", str(marker)], record=tmp_path / "none" / "r.parquet", session=TracerSession())
    with pytest.raises(errors.RecordingError), window:
        pass

    assert closed_engine == []
    assert not marker.exists()

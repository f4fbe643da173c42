"""Who is held by strace or ptrace goes on living, whoever is killed, and nothing is left of us."""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ior_nb import errors
from ior_nb.engine.stopped.strace import Strace
from ior_nb.engine.stopped.tasks import tracer_of
from ior_nb.engine.stopping import PtraceEngine, StoppingEngine, StraceEngine
from ior_nb.runtime import EventBatch, TraceOptions
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from ior_nb.syscalls.machine import NUMBERS

PACKAGE = Path(__file__).resolve().parents[2]
LOSSES = pytest.mark.filterwarnings("ignore::ior_nb.errors.LostEventsWarning")
"""The trace has to say that it is not complete; the test looks at what it says."""
STEPPING = "import os, sys\nfor step in sys.stdin: os.stat('/'); print(step, end='', flush=True)\n"
"""A program that makes a call, and answers, for each line it is given."""


@pytest.fixture(scope="module", params=[StraceEngine, PtraceEngine], ids=["strace", "ptrace"])
def engine(request: pytest.FixtureRequest) -> Iterator[StoppingEngine]:
    """One helper for the tests of this module, of each engine."""
    made = request.param()
    yield made
    made.close()


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    """A program that goes on for as long as it is asked to."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", STEPPING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert step(process, "begin")
        yield process
        process.kill()


def step(process: subprocess.Popen[str], word: str) -> bool:
    """Have the program make a call; tell whether it answers."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    return process.stdout.readline() == f"{word}\n"


def until(true: Callable[[], bool]) -> bool:
    """Wait for something to be so; tell whether it is within ten seconds."""
    deadline = time.monotonic() + 10
    while not (found := true()) and time.monotonic() < deadline:
        os.sched_yield()
    return found


def state_of(pid: int) -> str:
    """Return the state of a process, a letter."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def helper_of(session: TracerSession) -> int:
    """Return the process that holds the programs."""
    engine = session.engine()
    assert isinstance(engine, StoppingEngine)
    assert engine.collector_pid is not None
    return engine.collector_pid


def test_a_process_of_ones_own_is_traced_and_let_go(session: TracerSession, program: subprocess.Popen[str]) -> None:
    """Exactly the calls between begin and end are rows, and nobody holds it any more."""
    with trace(pid=program.pid, session=session, syscalls="newstat,stat,newfstatat,statx") as t:
        held = tracer_of(program.pid)
        done = [step(program, f"{k}") for k in range(37)]
    after = step(program, "after")

    assert held
    assert all(done)
    assert after
    assert tracer_of(program.pid) == 0
    assert [row.file for row in t.batch] == ["/"] * 37
    assert t.accounting.complete
    assert t.accounting.unaccounted == 0


def test_the_running_interpreter_is_traced(session: TracerSession) -> None:
    """A trace of this process has its calls, those of a child and of a thread, and no call of the tracer's threads."""
    with trace(session=session) as t:
        for _ in range(23):
            Path("/etc/hostname").read_bytes()
        subprocess.run(["/bin/true"], check=True)
    opened = [row.pid for row in t.batch if row.syscall == "openat" and row.file == "/etc/hostname"]

    assert opened == [os.getpid()] * 23
    assert {row.comm for row in t.batch} >= {"true"}
    assert not {row.comm for row in t.batch} & {"ior-pump", "ior-control"}
    assert t.accounting.complete
    assert tracer_of(os.getpid()) == 0


@LOSSES
def test_a_killed_helper_leaves_the_program_alive(session: TracerSession, program: subprocess.Popen[str]) -> None:
    """Kill -9 of what holds it: the program goes on, the trace says that it ended early, the next one works."""
    with trace(pid=program.pid, session=session) as t:
        step(program, "before")
        os.kill(helper_of(session), signal.SIGKILL)
        free = until(lambda: tracer_of(program.pid) == 0)
        lives = step(program, "after")
    with trace(pid=program.pid, session=session) as again:
        step(program, "again")

    assert free
    assert lives
    assert t.accounting.died
    assert again.accounting.complete, again.notes
    assert len(again) > 0


@LOSSES
@pytest.mark.parametrize("engine", [StraceEngine], ids=["strace"], indirect=True)
def test_a_killed_strace_leaves_the_program_alive(session: TracerSession, program: subprocess.Popen[str]) -> None:
    """Kill -9 of strace: the program goes on, and the trace says what is missing."""
    with trace(pid=program.pid, session=session) as t:
        step(program, "before")
        os.kill(tracer_of(program.pid), signal.SIGKILL)
        free = until(lambda: tracer_of(program.pid) == 0)
        lives = step(program, "after")

    assert free
    assert lives
    assert not t.accounting.complete


SESSION = """
import sys
sys.path.insert(0, {root!r})
from ior_nb.runtime import EventBatch, TraceOptions
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from ior_nb.syscalls.machine import NUMBERS
with TracerSession(engine={engine!r}) as session, trace(pid={pid}, session=session):
    print(session.engine().collector_pid, flush=True)
    sys.stdin.read()
"""


def test_a_killed_session_leaves_nothing(engine: StoppingEngine, program: subprocess.Popen[str]) -> None:
    """Kill -9 of the session: its helper ends, and the program goes on, held by nobody."""
    code = textwrap.dedent(SESSION).format(root=str(PACKAGE), engine=engine.name, pid=program.pid)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as session:
        assert session.stdout is not None
        helper = int(session.stdout.readline())
        session.kill()
        session.wait()
    free = until(lambda: tracer_of(program.pid) == 0)
    gone = until(lambda: not Path(f"/proc/{helper}").exists())

    assert free
    assert gone
    assert step(program, "after")


def test_a_child_that_has_ended_is_none_that_is_missing(session: TracerSession) -> None:
    """Nobody has asked for its status yet, and it makes no calls: nothing is told of it."""
    with subprocess.Popen(["true"]) as ended:
        assert until(lambda: state_of(ended.pid) == "Z")
        with trace(session=session) as t:
            os.access("/here", 0)

    assert "/here" in {row.file for row in t.batch}
    assert not [note for note in t.notes if "not traced" in note]


def test_strace_waits_for_nobody_it_may_not_hold(
    program: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several processes one is refused to it: the others are held at once."""
    monkeypatch.setattr("ior_nb.engine.stopped.strace._PATIENCE_S", math.inf)
    strace = Strace()
    with subprocess.Popen(["true"]) as ended:
        assert until(lambda: state_of(ended.pid) == "Z")
        strace.attach([program.pid, ended.pid], frozenset())
        held = strace.holds(program.pid)
    monkeypatch.undo()
    strace.detach()

    assert held


def test_a_killed_program_is_a_whole_trace(session: TracerSession, program: subprocess.Popen[str]) -> None:
    """Kill -9 of what is traced: its last call is in flight, and all calls are accounted for."""
    with trace(pid=program.pid, session=session) as t:
        step(program, "before")
        assert until(lambda: state_of(program.pid) == "S")  # it reads its next line
        program.kill()
        program.wait()

    assert t.accounting.complete
    assert t.accounting.unaccounted == 0
    assert t.accounting.in_flight == 1
    assert [row.syscall for row in t.batch if row.state == "in flight"] == ["read"]


def test_who_is_traced_already_says_so(session: TracerSession, program: subprocess.Popen[str]) -> None:
    """A second tracer of one program is refused, and told who the first one is."""
    with TracerSession(engine="ptrace") as other, trace(pid=program.pid, session=other):
        told = rf"process {program.pid} is traced already, by .*\(\d+\)"
        with pytest.raises(errors.PermissionDenied, match=told), trace(pid=program.pid, session=session):
            pass
        lives = step(program, "still")

    assert lives


def test_what_cannot_be_named_is_refused(session: TracerSession) -> None:
    """The whole machine, or all of a user, is refused with the name of the engine that can."""
    told = r"processes that are named.*bcc does"
    with pytest.raises(errors.ConfigError, match=told), trace(session=session, system=True):
        pass
    with pytest.raises(errors.ConfigError, match=told), trace(session=session, uid=0):
        pass


def test_signals_and_stops_pass_through(session: TracerSession, program: subprocess.Popen[str]) -> None:
    """A program that is stopped and continued while it is traced answers afterwards."""
    with trace(pid=program.pid, session=session) as t:
        os.kill(program.pid, signal.SIGSTOP)
        stopped = until(lambda: state_of(program.pid) in "Tt")
        os.kill(program.pid, signal.SIGCONT)
        lives = step(program, "on")

    assert stopped
    assert lives
    assert t.accounting.complete


def test_a_child_begins_with_what_its_maker_had(session: TracerSession, tmp_path: Path) -> None:
    """Name and working directory are those of the moment of the fork, however soon after the maker got them."""
    (tmp_path / "here" / "deep").mkdir(parents=True)
    with trace(command=["sh", "-c", f"cd {tmp_path}; cd here; (cd deep; :); /bin/true | cat"], session=session) as t:
        pass

    assert {row.comm for row in t.batch} == {"sh", "true", "cat"}
    assert [row.file for row in t.batch if row.syscall == "chdir"] == [
        f"{tmp_path}{end}" for end in ("", "/here", "/here/deep")
    ]


@pytest.mark.parametrize("engine", [PtraceEngine], ids=["ptrace"], indirect=True)
def test_a_thread_that_ends_at_once_has_its_name(session: TracerSession) -> None:
    """A thread names itself, makes a call and ends: the row has that name."""
    body = "libc.prctl(15, b'a/short one', 0, 0, 0), libc.access(b'/by-thread', 0)"
    code = f"import ctypes, threading; libc = ctypes.CDLL(None); t = threading.Thread(target=lambda: ({body}))"
    with trace(command=[sys.executable, "-S", "-c", f"{code}; t.start(); t.join()"], session=session) as t:
        pass

    assert [row.comm for row in t.batch if row.file == "/by-thread"] == ["a/short one"]


def test_processes_of_another_pid_namespace_have_their_parents(session: TracerSession) -> None:
    """What fork returns in there is no process of ours: rows have the numbers of outside."""
    with trace(
        command=["unshare", "-p", "-f", "sh", "-c", "(:); (:); /bin/true; :"], session=session, families="all"
    ) as t:
        pass
    parents = {row.pid: row.ppid for row in t.batch}

    assert len(parents) == 5
    assert {parent for pid, parent in parents.items() if pid != min(parents)} <= parents.keys()


def test_a_command_that_was_ended_at_its_gate_has_its_own_status(
    session: TracerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt ends the command before it is held: that is told, and not that it cannot be held."""
    engine = session.engine()
    start = engine.start

    def interrupted(options: TraceOptions, on_batch: Callable[[EventBatch], None]) -> int:
        os.kill(options.scope.pids[0], signal.SIGINT)
        assert until(lambda: state_of(options.scope.pids[0]) == "Z")
        return start(options, on_batch)

    monkeypatch.setattr(engine, "start", interrupted)
    with pytest.raises(errors.NoCommand, match="by signal 2") as told, trace(command=["true"], session=session):
        pass

    assert told.value.status == 130


def test_no_number_of_processes_stops_strace() -> None:
    """What strace says of each new process is taken: where nobody did, it would wait, and the program with it."""
    strace = Strace()
    with subprocess.Popen(
        ["sh", "-c", "read x; i=0; while [ $i -lt 200 ]; do (:); i=$((i + 1)); done"], stdin=subprocess.PIPE
    ) as many:
        strace.attach([many.pid], frozenset())
        fcntl.fcntl(strace._said, fcntl.F_SETPIPE_SZ, 4096)
        assert many.stdin is not None
        many.stdin.close()
        ended = until(lambda: strace.gather() >= 0 and many.poll() is not None)
        many.kill()
        strace.detach()

    assert ended


EXECUTING = """
import os, threading
def execute():
    while not open(f"/proc/self/task/{os.getpid()}/syscall").read().startswith("%d "): pass
    os.execv("/bin/true", ["true"])
pipe = os.pipe()
threading.Thread(target=execute).start()
os.read(pipe[0], 1)
"""


def test_exec_by_a_thread_cuts_off_the_first_threads_call(session: TracerSession) -> None:
    """The call in which the first thread was waits for ever: its row is in flight, and what follows is whole."""
    code = EXECUTING % NUMBERS["read"]
    with trace(command=[sys.executable, "-S", "-c", code], session=session, families="all") as t:
        pass
    cut_off = [row for row in t.batch if row.state == "in flight"]

    assert [(row.syscall, row.file_kind) for row in cut_off] == [("read", "pipe")]
    assert t.accounting.complete
    assert [row.comm for row in t.batch if row.syscall == "execve"][-1] == "true"


@LOSSES
def test_32_bit_calls_are_counted_or_rows(session: TracerSession, tmp_path: Path) -> None:
    """A call by int 0x80 is no row of another call: strace knows it by its name, ptrace counts it as 32-bit."""
    source = tmp_path / "old.c"
    source.write_text(
        "int main(void) { for (int i = 0; i < 11; i++) { int r; "
        '__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory"); } return 0; }'
    )
    if os.uname().machine != "x86_64":
        pytest.skip("x86-64 alone has such calls")
    subprocess.run([shutil.which("gcc") or "gcc", "-o", tmp_path / "old", source], check=True)
    with trace(command=[str(tmp_path / "old")], session=session, families="all") as t:
        pass
    rows = sum(row.syscall == "getpid" for row in t.batch)

    assert rows + t.accounting.compat == 11
    assert (rows == 0) == (session.engine().name == "ptrace")

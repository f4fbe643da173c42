from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from ior_nb.doctor import Finding, diagnose, doing, together
from ior_nb.doctor.doing import Answers, ask, judge
from ior_nb.doctor.host import Host
from ior_nb.doctor.places import find
from ior_nb.engine.spawn import Collector, spawn
from tests.doctor.machine import BOTH, DIST_PACKAGES, LOADED, Machine

TRIED = {"ok": True, "calls": 10, "counted": 10}
SHADOWED = (
    "bcc is installed, its shared library is not: {folder}/bin/../lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not"
    " found (required by /lib/x86_64-linux-gnu/libLLVM-14.so.1)"
)


def judged(machine: Machine, trial: dict[str, Any], load: dict[str, Any], seconds: float = 0.12) -> dict[str, Finding]:
    """Judge the answers of a collector on a machine."""
    return {f.name: f for f in judge(Answers(trial, load, seconds), machine.host, find(machine.host)[0])}


def refused(message: str, *, kind: str = "ProgramRejected", log: str = "") -> dict[str, Any]:
    """Return the answer of a collector that could not."""
    return {"ok": False, "kind": kind, "message": message, "log": log}


# ---- what the answers mean


def test_all_is_well_in_three_lines(machine: Machine) -> None:
    """Ten calls counted, where the program hangs, and what the cache saves."""
    assert list(judged(machine, TRIED, LOADED).values()) == [
        Finding("trial", True, "10 of 10 calls counted"),
        Finding("hooks", True, "raw tracepoints"),
        Finding("program", True, "from the cache in /var/cache/ior-nb, loaded in 0.1 s"),
    ]


def test_columns_the_kernel_does_not_fill_are_a_remark(machine: Machine) -> None:
    """Which, and why, in one line; tracing works all the same."""
    found = judged(machine, TRIED, LOADED | {"unfilled": {"peer, local": "no sock.a", "cold": "no b"}})["columns"]

    assert found == Finding("columns", None, "not filled: peer, local (no sock.a), cold (no b)")


@pytest.mark.parametrize(("counted", "ok"), [(10, True), (7, None), (0, False)])
def test_calls_that_are_not_counted(machine: Machine, counted: int, ok: bool | None) -> None:
    """None at all means failure; some missing is what a busy kernel that preempts programs does."""
    finding = judged(machine, TRIED | {"counted": counted}, LOADED)["trial"]

    assert (finding.ok, finding.seen) == (ok, f"{counted} of 10 calls counted")


def test_a_refused_trial_has_the_kernels_reason_in_one_line(machine: Machine) -> None:
    """The verifier's last words, without instructions, behind the message."""
    log = "0: (79) r1 = *(u64 *)(r1 +8)\nR1 invalid mem access 'scalar'\nprocessed 3 insns (limit 1000000)\n"
    answer = refused("the kernel refused the program 'trial': Invalid argument", log=log)

    assert judged(machine, answer, {}) == {
        "trial": Finding(
            "trial",
            False,
            "the kernel refused the program 'trial': Invalid argument; R1 invalid mem access 'scalar'",
            "look at a recording: %ior load PATH in a notebook, ior_nb.load(PATH) in Python",
        )
    }


def test_trace_events_are_shown_with_their_cost(machine: Machine) -> None:
    """Where raw tracepoints would skip calls, the other way and its price are said."""
    assert judged(machine, TRIED, LOADED | {"way": "tracepoint"})["hooks"] == Finding(
        "hooks", True, "trace events (+66 ns a call): raw tracepoints of this kernel can be preempted"
    )


def test_raw_tracepoints_that_skip_calls_are_a_remark(machine: Machine) -> None:
    """Where there is no other way the loss is said, and the line that opens the other way."""
    finding = judged(machine, TRIED, LOADED | {"way": "raw-preemptible", "notes": ["this kernel skips calls"]})["hooks"]

    assert finding.ok is None
    assert finding.seen == (
        "raw tracepoints, which this kernel can preempt: calls of busy processes are skipped, and counted"
    )
    assert "remount,gid=" in finding.todo


@pytest.mark.parametrize(
    ("changes", "ok", "seen"),
    [
        ({"compiled": True}, True, "compiled in 0.8 s; from now on loaded from the cache in /var/cache/ior-nb"),
        ({"compiled": True, "cache": "/c is not used: it must be ..."}, None, "compiled in 0.8 s: /c is not used: it"),
        ({"compiled": True, "folder": ""}, None, "compiled in 0.8 s at every start: a process with rights"),
    ],
)
def test_a_compiled_program_says_whether_it_is_kept(
    machine: Machine, changes: dict[str, Any], ok: bool | None, seen: str
) -> None:
    """A start that compiles is slower: the reader hears whether the next one will be too, and why."""
    finding = judged(machine, TRIED, LOADED | changes, 0.81)["program"]

    assert finding.ok is ok
    assert finding.seen.startswith(seen)


def test_a_user_without_a_folder_is_told_how_to_have_one(machine: Machine) -> None:
    """The cache lies below the home folder, unless a variable says otherwise."""
    machine.status(effective=BOTH, uid=1000)
    finding = judged(machine, TRIED, LOADED | {"compiled": True, "cache": "nothing is kept in /no"})["program"]

    assert finding.todo == "set XDG_CACHE_HOME to a folder of this user's own before Jupyter starts"


def test_a_library_of_conda_that_shadows_the_systems_is_named(machine: Machine, tmp_path: Path) -> None:
    """One line: which library, who needs a newer one, and how it is updated."""
    (tmp_path / "conda/conda-meta").mkdir(parents=True)
    answer = refused(SHADOWED.format(folder=tmp_path / "conda"), kind="SourceUnavailable")

    assert judged(machine, TRIED, answer)["bcc"] == Finding(
        "bcc",
        False,
        f"{tmp_path}/conda/lib/libstdc++.so.6 shadows the system's: libLLVM-14.so.1 needs GLIBCXX_3.4.30",
        f"conda update -p {tmp_path}/conda -c conda-forge libstdcxx-ng",
    )


@pytest.mark.parametrize(
    ("path", "todo"),
    [("/usr/lib:/opt/old/lib", "take /opt/old/lib out of LD_LIBRARY_PATH"), ("", "run Jupyter with another Python")],
)
def test_a_library_that_shadows_without_conda(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, path: str, todo: str
) -> None:
    """It comes from a variable, or from the folder the interpreter looks into."""
    monkeypatch.setenv("LD_LIBRARY_PATH", path)
    finding = judged(machine, TRIED, refused(SHADOWED.format(folder="/opt/old"), kind="SourceUnavailable"))["bcc"]

    assert finding.todo.startswith(todo)


def test_a_bcc_that_cannot_be_loaded_is_reinstalled(machine: Machine) -> None:
    """Any other reason of the loader is shown as it is."""
    message = "bcc is installed, its shared library is not: libLLVM-14.so.1: cannot open shared object file"
    answer = refused(message, kind="SourceUnavailable")

    assert judged(machine, TRIED, answer)["bcc"] == Finding(
        "bcc", False, message, "reinstall it: apt-get install python3-bpfcc"
    )


def test_a_refused_program_has_the_kernels_reason(machine: Machine) -> None:
    """The trial may succeed where the real program is refused: then it is that which fails."""
    log = "math between map_value pointer and register with unbounded min value is not allowed\nprocessed 3 insns\n"
    finding = judged(machine, TRIED, refused("the kernel refused the program 'on_exit'", log=log))["program"]

    assert finding.ok is False
    assert finding.seen.startswith("the kernel refused the program 'on_exit'; math between map_value pointer")


# ---- what was seen and what was done


def test_a_filter_that_does_no_harm_is_not_mentioned() -> None:
    """Docker always filters; a program that was loaded shows that this one lets bpf(2) pass."""
    seccomp = Finding("seccomp", None, "a system call filter is active")
    done = [Finding("trial", True, ""), Finding("program", True, "")]

    assert together([seccomp], done) == done
    assert together([seccomp], [Finding("trial", False, "")])[0] == seccomp


def test_a_missing_bcc_is_no_failure_while_the_program_is_kept() -> None:
    """The cache works without bcc: a failure would be a lie, and silence one tomorrow."""
    missing = Finding("bcc", False, "no bcc", "install it")

    joined = together([missing], [Finding("program", True, "from the cache")])

    assert (joined[0].ok, joined[0].todo) == (None, "install it")


def test_a_missing_bcc_is_said_once() -> None:
    """The collector does not find it either: the line with the install command is the one that stays."""
    missing = Finding("bcc", False, "no bcc", "install it")

    assert together([missing], [Finding("bcc", False, "not installed", "reinstall it")]) == [missing]


def test_a_bcc_that_is_there_and_cannot_be_loaded_is_a_failure() -> None:
    """Files were good, doing was not: doing is right."""
    broken = Finding("bcc", False, "shadowed", "update it")

    assert together([Finding("bcc", True, "0.26")], [broken]) == [broken]


def test_nothing_is_tried_where_something_is_missing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rights no collector is started."""
    monkeypatch.setattr(Host, "at", lambda root: machine.host)
    monkeypatch.setattr(doing, "ask", lambda: pytest.fail("a collector was asked"))
    machine.status(effective=0, uid=1000)

    assert [finding.name for finding in diagnose() if finding.ok is False] == ["rights"]


def test_a_cache_is_tried_without_bcc(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bcc alone is missing the collector is asked all the same."""
    monkeypatch.setattr(Host, "at", lambda root: machine.host)
    monkeypatch.setattr(doing, "ask", lambda: Answers(TRIED, LOADED, 0.1))
    machine.remove(f"{DIST_PACKAGES}/bcc/__init__.py")

    assert [finding.ok for finding in diagnose() if finding.name in ("bcc", "program")] == [None, True]


# ---- asking


def collector(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a few lines of Python in the collector's place, with its socket as `connection`."""
    root = Path(doing.__file__).parents[2]
    start = (
        f"import json, socket; sys.path.insert(0, {str(root)!r})\n"
        "from ior_nb.engine.collector.wire import Frame, Unpacker, pack_json\n"
        "connection = socket.socket(fileno=0); unpacker = Unpacker()\n"
    )
    monkeypatch.setattr(doing, "spawn", lambda: spawn(start + body))


def test_a_collector_is_asked_to_try_and_then_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests over its socket, the second with the sizes a trace asks for: the cache is the same."""
    echo = (
        "while data := connection.recv(4096):\n"
        "    for _, payload in unpacker.feed(data):\n"
        "        connection.sendall(pack_json(Frame.ANSWER, {'ok': True} | json.loads(payload)))\n"
    )
    collector(echo, monkeypatch)

    answers = ask()

    assert answers.trial == {"ok": True, "id": 0, "verb": "trial"}
    assert answers.load["verb"] == "load"
    assert answers.load["event_bytes"] == 16 << 20
    assert answers.seconds > 0


def test_a_refused_trial_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the small program is refused, the large one is not tried."""
    collector("connection.recv(4096); connection.sendall(pack_json(Frame.ANSWER, {'ok': False}))", monkeypatch)

    answers = ask()

    assert (answers.trial, answers.load) == ({"ok": False}, {})


@pytest.mark.parametrize("body", ["pass", "connection.recv(4096); sys.exit(3)"])
def test_a_collector_that_ends_is_a_failure(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, not waited for."""
    collector(body, monkeypatch)

    trial = ask().trial

    assert not trial["ok"]
    assert trial["message"].startswith(("the collector ended on its own", "the collector's socket broke"))


def test_a_collector_that_does_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait ends when the process takes no time; the verb it was about is named."""
    collector("connection.recv(4096); connection.recv(4096)", monkeypatch)
    monkeypatch.setattr(doing, "waited", lambda done, pid, most_s: False)

    assert ask().trial["message"] == "the collector did nothing about 'trial' for 60 s"


def test_a_collector_that_cannot_be_started_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many processes, a missing interpreter: the system's words."""

    def refuse() -> Collector:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(doing, "spawn", refuse)

    assert "Resource temporarily unavailable" in ask().trial["message"]


@pytest.mark.parametrize(
    ("why", "python", "finding"),
    [
        ("", "", Finding("lines", True, "of Python")),
        ("this is aarch64", "/x: old", Finding("lines", None, "calls have no lines of Python: this is aarch64")),
        ("", "/x: it is old", Finding("lines", None, "calls of this Python have no lines: /x: it is old")),
    ],
)
def test_what_reads_lines_of_python_is_tried(machine: Machine, why: str, python: str, finding: Finding) -> None:
    """Without it all else works, so it is no failure; why it cannot be, or cannot be of this Python, is said."""
    answers = Answers(TRIED, LOADED, 0.1, {"ok": True, "why": why}, python)
    found = judge(answers, machine.host, find(machine.host)[0])

    assert found[-1] == finding

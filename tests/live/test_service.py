"""The service: two users who have no rights each see what is his, and nothing is left whoever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ior_nb.engine.collector import wire
from ior_nb.engine.collector.wire import Frame, Unpacker, pack_json
from tests.live.conftest import Workload, World
from tests.served import Running

HERE = Path(__file__).parent
ME, OTHER = 61_501, 61_502
CAP_SETUID = "7"
SECRETS = ("/etc/shadow", "/etc/gshadow", "/etc/pam.d", "/run/ior")


@pytest.fixture(scope="module")
def public(workload: Workload) -> Iterator[Path]:
    """A folder everybody may enter, with programs."""
    made = Path(tempfile.mkdtemp(prefix="ior-nb-service-"))
    made.chmod(0o755)
    subprocess.run(["gcc", "-O1", "-pthread", "-o", made / "changes", HERE / "changes.c"], check=True)
    shutil.copy("/bin/cat", made / "cat")
    (made / "cat").chmod(0o755)
    shutil.copy("/bin/cat", made / "setuid")
    (made / "setuid").chmod(0o4755)
    (made / "secret").write_text("seven")
    (made / "secret").chmod(0o600)
    (made / "plain").write_text("seven")
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def python(required: Callable[[str], None]) -> str:
    """An interpreter that everybody can execute."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([candidate, "-I", "-S", "-c", ""], user=ME, group=ME, extra_groups=[], check=True)
            return candidate
    required("needs a Python outside of home folders")
    return ""


@pytest.fixture(scope="module")
def service(public: Path, python: str) -> Iterator[Running]:
    """One service for the module."""
    made = Running(public, python)
    yield made
    made.end()


def connected(service: Running) -> socket.socket:
    """Return a connection of root's, greeted."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(30)
    made.connect(service.place)
    return made


def answer(connection: socket.socket) -> dict[str, Any] | None:
    """Return the next answer, None where the connection ends."""
    unpacker = Unpacker(wire.to_session(os.cpu_count() or 1))
    while data := connection.recv(1):  # nothing behind it is taken
        for kind, payload in unpacker.feed(data):
            if kind is Frame.ANSWER:
                told: dict[str, Any] = json.loads(payload)
                return told
    return None


# ---- who sees what


def test_a_user_without_rights_traces_a_command(service: Running, public: Path) -> None:
    """With the columns and the exactness of bcc; the service's log says who it was."""
    told = service.traces(ME, "command", "/bin/cat", str(public / "plain"))

    assert told["engine"] == "serve"
    assert str(public / "plain") in told["files"]
    assert told["complete"]
    assert told["how"].startswith(f"served by {service.place}, bcc: ")
    assert f"traces uid={ME} pid=" in service.log.read_text()


def test_auto_finds_the_service_and_says_why(service: Running, public: Path) -> None:
    """Without any configuration but the socket's place, which is the installed one elsewhere; so does the doctor."""
    environ = os.environ | {"IOR_NB_ENGINE": "auto"}
    told = service.traces(ME, "command", "/bin/cat", str(public / "plain"), env=environ)
    said, _ = service.user(ME, "doctor").communicate()

    assert told["engine"] == "serve"
    assert told["why"].startswith("serve, for bcc cannot (cannot load BPF programs: uid 61501 lacks CAP_BPF")
    assert json.loads(said)[0].startswith("way: serve: your own processes")


def test_what_is_not_his_is_refused(service: Running) -> None:
    """Processes, users, the machine: by the service, with the reason."""
    with subprocess.Popen(["sleep", "600"], user=OTHER, group=OTHER, extra_groups=[]) as others:
        scopes = (f"pid:{others.pid}", f"uid:{OTHER}", "uid:0", "system")
        said, _ = service.user(ME, "tries", "pid:1", *scopes).communicate()
        others.kill()
    refused = "PermissionDenied: the service refuses"

    assert json.loads(said) == [
        f"{refused}: process 1 is gone, not yours, or runs with other rights than yours",
        f"{refused}: process {others.pid} is gone, not yours, or runs with other rights than yours",
        f"{refused}: user {OTHER} is another one than you, who are {ME}",
        f"{refused}: user 0 is another one than you, who are {ME}",
        f"{refused}: the whole machine is for root alone; trace user {ME}, or a process",
    ]


def test_by_his_number_a_user_sees_himself_alone(service: Running, public: Path) -> None:
    """While another user, and root, do the same."""
    loop = f"for n in 1 2 3 4 5 6 7; do cat {public}/plain {public}/cat; done"
    with subprocess.Popen(["sh", "-c", f"while :; do cat {public}/secret; done"], stdout=subprocess.DEVNULL) as roots:
        other = service.user(OTHER, "traces", f"uid:{OTHER}", "/bin/sh", "-c", loop)
        told = service.traces(ME, f"uid:{ME}", "/bin/sh", "-c", loop)
        others = json.loads(other.communicate()[0].splitlines()[-1])
        roots.kill()

    for rows in (told, others):
        assert rows["files"].count(str(public / "plain")) >= 7
        assert str(public / "secret") not in rows["files"]
    assert not set(told["pids"]) & set(others["pids"])


def test_root_sees_all(service: Running, public: Path) -> None:
    """Through the service as without it."""
    told = service.traces(0, "command", str(public / "setuid"), str(public / "secret"))

    assert told["files"].count(str(public / "secret")) >= 2
    assert told["accounting"]["hidden"] == 0


@pytest.mark.parametrize("scope", ["command", f"uid:{ME}"])
def test_setuid_programs_are_invisible(scope: str, service: Running, public: Path) -> None:
    """Of `passwd`, `su` and one of our own nothing is seen but that they are run; what follows is again, by number."""
    script = f"passwd -S; su -c true root </dev/null; {public}/setuid {public}/secret; cat {public}/plain"
    told = service.traces(ME, scope, "/bin/sh", "-c", f"{script}; true")
    files = told["files"]

    assert str(public / "setuid") in files
    assert str(public / "plain") in files
    assert [name for name in files if name.startswith(SECRETS) or name == str(public / "secret")] == []
    assert told["accounting"]["hidden"] >= 2
    assert not told["complete"]


STATES = ["plain", "undumpable", "beside", "child", "again", "effective", "real", "saved", "mine"]


@pytest.mark.parametrize("scope", ["command", f"uid:{ME}"])
def test_rights_are_judged_at_each_call(scope: str, service: Running, public: Path) -> None:
    """Of an undumpable process, its threads and its children nothing is seen, until it is over."""
    command = [str(public / "changes"), str(OTHER)]
    told = service.traces(ME, scope, *command)
    seen = [name for name in STATES if f"/ior-{name}" in told["files"]]

    assert seen == ["plain", "again"]


def test_numbers_that_change_by_calls_are_judged_at_each(service: Running, public: Path) -> None:
    """A process of the user's that has CAP_SETUID takes others' numbers, and gives them back."""
    fifo = public / "go"
    os.mkfifo(fifo)
    script = f"read line < {fifo}; {public}/changes {OTHER} also; echo > {fifo}"
    rights = (f"--reuid={ME}", f"--regid={ME}", "--clear-groups", "--inh-caps=+setuid", "--ambient-caps=+setuid")
    with subprocess.Popen(["setpriv", *rights, "sh", "-c", script]) as it:
        service.wait(lambda: Path(f"/proc/{it.pid}/comm").read_text() == "sh\n")
        fifo.chmod(0o666)
        told = service.traces(ME, f"pid:{it.pid}", "/bin/sh", "-c", f"echo > {fifo}; read line < {fifo}")
    seen = [name for name in STATES if f"/ior-{name}" in told["files"]]

    assert seen == ["plain", "again", "mine"]
    assert not told["complete"]


def test_no_fork_is_faster_than_the_check(service: Running, public: Path) -> None:
    """Hundreds of children at once, each of which becomes a setuid program: not one of their files is seen."""
    loop = f"for n in $(seq 200); do {public}/setuid {public}/secret & done; wait; cat {public}/plain"
    told = service.traces(ME, "command", "/bin/sh", "-c", loop)

    assert str(public / "secret") not in told["files"]
    assert str(public / "plain") in told["files"]
    assert told["accounting"]["hidden"] == 200


def test_a_number_that_is_used_again_is_not_his(service: Running, public: Path) -> None:
    """His process ends, root is given its number: nothing of it is seen."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    with subprocess.Popen(["sleep", "600"], user=ME, group=ME, extra_groups=[]) as his:
        wanted = his.pid
        until = public / "until"
        traced = service.user(ME, "traces", f"pid:{wanted}", "/bin/sh", "-c", f"while ! test -e {until}; do :; done")
        service.wait(lambda: f"[{wanted}]" in service.log.read_text())
        his.kill()
    given = 0
    for _ in range(100):
        last.write_text(str(wanted - 1))
        with subprocess.Popen(["/bin/cat", str(public / "secret")], stdout=subprocess.DEVNULL) as roots:
            pass
        given = roots.pid
        if given == wanted:
            break
    until.touch()
    told = json.loads(traced.communicate()[0].splitlines()[-1])

    assert given == wanted
    assert str(public / "secret") not in told["files"]


def test_two_sessions_of_a_process_have_each_their_rows(service: Running) -> None:
    """At the service's dispatcher a process has one owner; the second trace of it hangs beside, and misses nothing."""
    said, wrong = service.user(ME, "twice", "101").communicate()
    assert said, wrong

    assert json.loads(said) == [
        {"opens": [101, 101], "lost": 0, "engine": "serve"},
        {"opens": [0, 101], "lost": 0, "engine": "serve"},
    ]


CONTAINED = ("unshare", "--pid", "--fork", "--mount-proc")


def test_in_a_container_rows_have_its_numbers(service: Running, public: Path) -> None:
    """A process in a pid namespace of its own traces itself and its children, known by the numbers they have there."""
    told = service.traces(ME, "command", "/bin/sh", "-c", f"cat {public}/plain; true", inside=CONTAINED)
    itself = service.traces(ME, "pid:1", "/bin/cat", str(public / "plain"), inside=CONTAINED)

    assert [len([name for name in each["files"] if name == str(public / "plain")]) >= 3 for each in (told, itself)] == [
        True,
        True,
    ]
    assert told["complete"]
    assert max(told["pids"]) < 50
    assert 1 in itself["pids"]
    assert max(itself["pids"]) < 50


@pytest.mark.parametrize("uid", [ME, 0])
def test_in_a_container_nothing_else_is_shown(uid: int, service: Running) -> None:
    """Users have the same number in others, and root is only the container's."""
    said, _ = service.user(uid, "tries", f"uid:{ME}", "system", inside=CONTAINED).communicate()

    assert ["in a container its processes can be traced" in each for each in json.loads(said)] == [True, True]


# ---- who speaks


def test_a_socket_that_was_handed_on_is_cut_off(service: Running) -> None:
    """A user connects and gives the socket to root: what root writes to it is not obeyed."""
    ours, theirs = socket.socketpair()
    script = (
        "import socket, sys; made = socket.socket(socket.AF_UNIX); made.connect(sys.argv[1]);"
        "made.recv(1 << 16); socket.send_fds(socket.socket(fileno=int(sys.argv[2])), [b'x'], [made.fileno()]); input()"
    )
    command = [service.python, "-I", "-S", "-c", script, service.place, str(theirs.fileno())]
    with (
        ours,
        theirs,
        subprocess.Popen(
            command, user=ME, group=ME, extra_groups=[], pass_fds=[theirs.fileno()], stdin=subprocess.PIPE
        ) as giver,
    ):
        _, (fd,), _, _ = socket.recv_fds(ours, 1, 1)
        with socket.socket(fileno=fd) as given:
            given.settimeout(30)
            given.sendall(pack_json(Frame.REQUEST, {"id": 1, "verb": "load"}))
            heard = given.recv(1)
        assert giver.stdin is not None
        giver.stdin.close()

    assert heard == b""
    assert "the socket was handed on" in service.log.read_text()


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff" * 64,
        struct.pack("<II", 1 << 30, Frame.REQUEST),
        struct.pack("<II", 4, Frame.EVENTS) + b"1234",
        struct.pack("<II", 2, Frame.REQUEST) + b"{]",
        pack_json(Frame.REQUEST, {"id": 1, "verb": "load"})[:-1] + b"\0",
    ],
    ids=["noise", "too long", "of the other side", "no JSON", "half JSON"],
)
def test_who_sends_what_is_no_request_is_cut_off(noise: bytes, service: Running) -> None:
    """He alone: the next client is served."""
    with connected(service) as hostile:
        answer(hostile)
        hostile.sendall(noise)
        heard = answer(hostile)
    with connected(service) as next_one:
        greeted = answer(next_one)

    assert heard is None
    assert greeted is not None
    assert greeted["ok"]


def test_a_flood_of_clients_takes_no_others_place(public: Path, python: str) -> None:
    """A user has as many collectors as he may, and is told so; another gets his."""
    service = Running(public, python, "--clients", "3")
    script = (
        "import socket, sys, time; made = [socket.socket(socket.AF_UNIX) for _ in range(9)];"
        "[each.connect(sys.argv[1]) for each in made]; print([b'\"ok\": true' in each.recv(4096)"
        " or b'\"ok\":true' in each.recv(0) for each in made].count(False), flush=True); input()"
    )
    command = [python, "-I", "-S", "-c", script, service.place]
    with subprocess.Popen(
        command, user=ME, group=ME, extra_groups=[], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as flood:
        assert flood.stdin is not None
        assert flood.stdout is not None
        flood.stdout.readline()
        told = service.traces(OTHER, "command", "/bin/cat", str(public / "plain"))
        count = len(service.collectors())
        flood.stdin.close()
    said = service.log.read_text()
    service.end()

    assert str(public / "plain") in told["files"]
    assert count == 3
    assert said.count(f"user {ME} has 3 traces already") == 6


# ---- nothing is left


@pytest.mark.parametrize("who", ["client", "collector", "service"])
def test_nothing_is_left_whoever_is_killed(
    who: str, public: Path, python: str, world: World, programs_before: set[int]
) -> None:
    """Programs of the kernel, and processes: none is there that was not before."""
    service = Running(public, python)
    client = service.user(ME, "holds", str(service.log.parent / "ready"))
    service.wait((service.log.parent / "ready").exists)
    (collector,) = service.collectors()
    held = world.held_by(collector)
    victim = {"client": client.pid, "collector": collector, "service": service.process.pid}[who]
    os.kill(victim, signal.SIGKILL)
    if who == "service":
        service.process.wait()
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(collector)
        select.select([handle], [], [], 30)
        os.close(handle)
    client.kill()
    client.communicate()
    service.end()

    assert held
    assert world.wait_clean(programs_before, set())[0] == set()
    assert not held & world.programs()


def test_systemd_may_start_it_when_somebody_connects(public: Path, python: str) -> None:
    """As a user who is given both capabilities, by a socket that was there before."""
    activate, setpriv = shutil.which("systemd-socket-activate"), shutil.which("setpriv")
    if activate is None or setpriv is None:
        pytest.skip("needs systemd-socket-activate and setpriv")
    service = Running(public, python, started=False)
    rights = "bpf,+perfmon"
    as_unit = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    as_unit += [f"--inh-caps=-all,+{rights}", f"--ambient-caps=-all,+{rights}", f"--bounding-set=-all,+{rights}"]
    with service.log.open("w") as log:
        names = [f"--setenv={name}" for name in ("PYTHONPATH", "XDG_CACHE_HOME")]
        command = [activate, f"--listen={service.place}", *names, *as_unit, python, "-P", "-m"]
        service.start([*command, "ior_nb.engine.collector.served"], log)
    service.wait(Path(service.place).exists)
    Path(service.place).chmod(0o666)
    told = service.traces(ME, "command", "/bin/cat", str(public / "plain"))
    service.end()

    assert str(public / "plain") in told["files"]


def test_it_keeps_two_capabilities_and_may_start_nothing(service: Running) -> None:
    """Neither root nor dumpable, with a filter, and no way to gain a right."""
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    two = f"{1 << 38 | 1 << 39:016x}"

    assert status["Uid"].split() == ["65534"] * 4
    assert (status["CapPrm"], status["CapEff"], status["CapBnd"]) == (two, two, two)
    assert (status["CapInh"], status["CapAmb"]) == ("0" * 16, "0" * 16)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")

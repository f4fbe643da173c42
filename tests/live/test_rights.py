"""CAP_BPF and CAP_PERFMON are enough; without them there is one clear line and nothing half-started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ior_nb
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace as ior_trace
from tests.nobody import FEWER_RIGHTS, NOBODY

if TYPE_CHECKING:
    from tests.live.conftest import Workload

CAP_PERFMON, CAP_BPF = 38, 39
BOTH = f"{CAP_PERFMON},{CAP_BPF}"
DOCTOR = (
    "import json; from ior_nb.doctor import diagnose;"
    " print(json.dumps({finding.name: finding.ok for finding in diagnose()}))"
)
SCENARIOS = ["descriptors", "paths", "names", "transfers", "sockets", "anonymous", "processes", "threads"]
SCENARIOS += ["thread-exec", "memory", "waits"]  # all but the jail: chroot is a right of its own


@pytest.fixture
def public(workload: Workload) -> Iterator[Path]:
    """A folder everybody can enter, with the package and the workload, and room for nobody to write in."""
    made = Path(tempfile.mkdtemp(prefix="ior-nb-rights-"))
    made.chmod(0o755)
    shutil.copytree(Path(ior_nb.__file__).parent, made / "ior_nb", ignore=shutil.ignore_patterns("__pycache__"))
    for program in (workload.program, workload.tiny):
        shutil.copy(program, made / program.name)
    (made / "areas").mkdir()
    os.chown(made / "areas", NOBODY, NOBODY)
    subprocess.run(["chmod", "-R", "a+rX", made], check=True)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def python(required: Callable[[str], None]) -> str:
    """An interpreter nobody can execute."""
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        command = [sys.executable, str(FEWER_RIGHTS), str(NOBODY), "-", "exec", candidate, "-I", "-S", "-c", check]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return candidate
    required("needs a Python 3.11 outside of home folders")
    return ""


BY_BCC = ("trace", "--engine", "bcc")


def with_rights(user: int, capabilities: str, *words: str, package: Path) -> subprocess.CompletedProcess[str]:
    """Run the helper; it uses the package that lies in a folder."""
    return subprocess.run(
        [sys.executable, "-B", str(FEWER_RIGHTS), str(user), capabilities, *words],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env=os.environ | {"PYTHONPATH": str(package), "PYTHONWARNINGS": "error::UserWarning"},
    )


def test_the_known_workload_as_nobody(public: Path, python: str) -> None:
    """As uid nobody with these two capabilities, and no others even in the bounding set, every row is right."""
    ran = with_rights(NOBODY, BOTH, "scenarios", python, str(public), *SCENARIOS, package=public)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    status = dict(line.split(":\t") for line in told.pop("status").splitlines())

    assert {status[n] for n in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {f"{1 << CAP_BPF | 1 << CAP_PERFMON:016x}"}
    assert status["Uid"].split() == [str(NOBODY)] * 4
    assert list(told) == SCENARIOS
    for name in SCENARIOS:
        calls = told[name].pop("calls")
        assert calls > 10
        assert told[name] == {"missing": [], "extra": [], "complete": True, "unaccounted": 0, "returncode": 0}


def test_nobody_without_rights_traces_with_strace(public: Path, python: str) -> None:
    """`auto` goes on without BPF: the command runs, and the summary says with what it was traced and why."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    marker = public / "areas" / "by-strace"
    ran = with_rights(NOBODY, "-", "cli", python, "trace", "--", "touch", str(marker), package=public)

    assert ran.returncode == 0
    assert marker.exists()
    assert "strace, for bcc cannot (cannot load BPF programs: uid 65534 lacks CAP_BPF and CAP_PERFMON" in ran.stderr
    assert "not filled: " in ran.stderr


@pytest.mark.parametrize(
    ("capabilities", "lacks"),
    [
        ("-", "uid 65534 lacks CAP_BPF and CAP_PERFMON"),
        (str(CAP_BPF), "uid 65534 lacks CAP_PERFMON"),
        (str(CAP_PERFMON), "uid 65534 lacks CAP_BPF"),
    ],
)
def test_nobody_without_rights_gets_one_line(capabilities: str, lacks: str, public: Path, python: str) -> None:
    """Without one of the two: status 2, one line that names what is missing, and the command did not run."""
    marker = public / "areas" / "marker"
    ran = with_rights(NOBODY, capabilities, "cli", python, *BY_BCC, "--", "touch", str(marker), package=public)

    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith("ior-nb: cannot load BPF programs: ")
    assert lacks in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not marker.exists()


def test_root_without_rights_gets_one_line(tmp_path: Path) -> None:
    """`python -m ior_nb` by a root without capabilities ends like that too: rights count, not the uid."""
    marker = tmp_path / "marker"
    record = tmp_path / "recording.parquet"
    command = [sys.executable, "-m", "ior_nb", *BY_BCC, "--record", str(record), "--", "touch", str(marker)]
    ran = with_rights(0, "-", "exec", *command, package=Path(ior_nb.__file__).parents[1])

    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith("ior-nb: cannot load BPF programs: uid 0 lacks CAP_BPF and CAP_PERFMON")
    assert ran.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_root_with_two_capabilities_traces(tmp_path: Path) -> None:
    """The command line works for a root that has these two capabilities only."""
    marker = tmp_path / "marker"
    command = [sys.executable, "-m", "ior_nb", "trace", "--json", "--quiet", "--", "touch", str(marker)]
    ran = with_rights(0, BOTH, "exec", *command, package=Path(ior_nb.__file__).parents[1])

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["accounting"]["complete"]
    assert marker.exists()


@pytest.mark.parametrize(
    ("user", "capabilities", "failed"),
    [
        (0, BOTH, []),
        (NOBODY, BOTH, []),
        (NOBODY, str(CAP_BPF), ["rights"]),
        (NOBODY, "-", ["rights"]),
        (0, "-", ["rights"]),
    ],
)
def test_the_doctor_finds_what_is_missing(
    user: int, capabilities: str, failed: list[str], public: Path, python: str
) -> None:
    """With the two capabilities it tries, and all is well; without one of them that fails, and nothing is tried."""
    ran = with_rights(user, capabilities, "exec", python, "-c", DOCTOR, package=public)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)

    assert [name for name, ok in told.items() if ok is False] == failed
    assert told.get("trial") is (None if failed else True)


def test_the_rights_of_a_user_namespace_are_none() -> None:
    """In a rootless container the reason is said at once, by the command too, and no compiler is started."""
    ran = subprocess.run(
        ["unshare", "-Ur", sys.executable, "-m", "ior_nb", *BY_BCC, "--", "true"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert ran.returncode == 2
    assert "the capabilities of a user namespace (a rootless container) do not count" in ran.stderr
    assert "Failed to compile" not in ran.stderr


RUNS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **word) {
  if (count == 1) {
    open("/ior-program", O_RDONLY);
    if (!fork()) { open("/ior-child", O_RDONLY); _exit(0); }
    wait(0);
    return 0;
  }
  for (int i = 1; i < count; i++) {
    if (!fork()) { execl(word[i], word[i], (char *)0); _exit(9); }
    wait(0);
  }
  open("/ior-after", O_RDONLY);
  return 0;
}
"""
RIGHTS = {"plain": 0o755, "uid": 0o4755, "gid": 0o2755, "unreadable": 0o711}


@pytest.fixture
def programs(public: Path) -> dict[str, str]:
    """One program with several rights: a plain one, set-uid and set-gid root, and one that can only be executed."""
    (public / "runs.c").write_text(RUNS)
    for name, mode in RIGHTS.items():
        subprocess.run(["gcc", "-w", "-o", public / name, public / "runs.c"], check=True)
        (public / name).chmod(mode)
    return {name: str(public / name) for name in RIGHTS}


@pytest.mark.parametrize("kind", ["uid", "gid", "unreadable"])
@pytest.mark.parametrize("scope", ["command", "uid"])
def test_programs_with_other_rights_are_hidden_from_users(
    kind: str, scope: str, programs: dict[str, str], public: Path, python: str
) -> None:
    """Who is not root sees that a program with other rights is run, nothing it or its children do, and is told."""
    command = [programs["plain"], programs["plain"], programs[kind]]
    ran = with_rights(NOBODY, BOTH, "files", python, scope, *command, package=public)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    files, accounting = told["files"], told["accounting"]

    assert programs[kind] in files
    assert [files.count(f"/ior-{name}") for name in ("program", "child", "after")] == [1, 1, 1]
    assert (accounting["hidden"], accounting["complete"]) == (1, False)


def test_root_sees_programs_with_other_rights(programs: dict[str, str], session: TracerSession) -> None:
    """To root the rows of all of them are as any others, and the trace is complete."""
    with ior_trace(command=[programs["plain"], *programs.values()], session=session) as t:
        pass
    files = t.batch.text("file").tolist()

    assert [files.count(f"/ior-{name}") for name in ("program", "child", "after")] == [4, 4, 1]
    assert t.accounting.complete

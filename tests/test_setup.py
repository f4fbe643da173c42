"""`scripts/setup` with an apt-get, a Python and a pip that do nothing: what it says of its steps, and how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
# What the script needs beside the programs made here.
TOOLS: Final = (
    *("sh", "awk", "cat", "chmod", "cksum", "cp", "cut", "date", "dirname", "env", "find", "grep", "mkdir", "mktemp"),
    *("mv", "rm", "sed", "seq", "sleep", "stty", "tail", "touch", "wc"),
)
PYTHON: Final = """\
case "$*" in
    *ensurepip*) ;;
    --version) echo Python 3.14.0 ;;
    '-m venv --clear .venv')
        mkdir -p .venv/bin .venv/lib/python3/site-packages
        cp "$0" .venv/bin/python
        echo "#!$PWD/.venv/bin/python" >.venv/bin/pip ;;
    *'pip install'*) {pip} ;;
    *) exit 9 ;;
esac
"""
APT: Final = """\
case "$*" in
    *update*) {update} ;;
    *install*) {install} ;;
    *) exit 9 ;;
esac
"""
WAIT: Final = "cat wait >/dev/null"
"""What a program does until the test goes on, or Ctrl-C ends it."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree without a virtual environment, and a folder of programs, in which Python's is `python3.14`."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "programs").mkdir()
    (tmp_path / "temporary").mkdir()
    shutil.copy(ROOT / "scripts/setup", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "programs" / tool).symlink_to(found)
    os.mkfifo(tmp_path / "wait")
    program(tmp_path, "id", "echo 0")
    program(tmp_path, "apt-cache", ":")
    return tmp_path


def program(tree: Path, name: str, text: str) -> None:
    """Put a program into the folder of programs."""
    file = tree / "programs" / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def python(tree: Path, pip: str = ":") -> None:
    """Put a Python in place, with a pip that does what is told."""
    program(tree, "python3.14", PYTHON.format(pip=pip))


def places(tree: Path) -> Mapping[str, str]:
    """Return the environment of a run."""
    return {"PATH": str(tree / "programs"), "TMPDIR": str(tree / "temporary"), "TERM": "xterm"}


def piped(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run it with a pipe for its output."""
    return subprocess.run(
        [tree / "scripts/setup", "--docs"], check=False, capture_output=True, text=True, env=places(tree)
    )


class Terminal:
    """A run on a terminal, and what stands there."""

    def __init__(self, tree: Path, columns: int) -> None:
        self.screen = ""
        self._reader, writer = os.openpty()
        termios.tcsetwinsize(writer, (24, columns))
        self.process = subprocess.Popen(
            [tree / "scripts/setup", "--docs"],
            stdin=writer,
            stdout=writer,
            stderr=writer,
            env=places(tree),
            start_new_session=True,
        )
        os.close(writer)

    def until(self, shown: Callable[[str], bool]) -> None:
        """Read until something is on the screen; fail when the run ends without."""
        while not shown(self.screen):
            self.screen += os.read(self._reader, 4096).decode()

    def rest(self) -> int:
        """Read until nobody is left who could write; return the status."""
        with contextlib.suppress(OSError):  # that is how a terminal ends
            while piece := os.read(self._reader, 4096):
                self.screen += piece.decode()
        return self.process.wait()

    def close(self) -> None:
        """End what is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._reader)


@pytest.fixture
def terminal(tree: Path) -> Iterator[Callable[..., Terminal]]:
    """Start runs on terminals; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(columns: int = 80) -> Terminal:
            made = Terminal(tree, columns)
            stack.callback(made.close)
            return made

        yield start


def plain(text: str) -> str:
    """Return a text with all seconds as 0."""
    return re.sub(r"\d+ s\b", "0 s", text)


needs_no_python = pytest.mark.skipif(
    shutil.which("python3", path="/usr/sbin:/sbin") is not None, reason="here every folder of programs has a Python"
)


@needs_no_python
def test_piped_output_has_a_line_when_a_step_begins_and_one_when_it_has_ended(tree: Path) -> None:
    """Every step says its number, what it does and, at the end, its seconds; what the programs print is kept back."""
    python(tree)
    (tree / "programs/python3.14").rename(tree / "later")
    program(tree, "apt-get", APT.format(update="echo Hit:1", install=f"mv '{tree}/later' '{tree}/programs/python3.14'"))
    ran = piped(tree)

    steps = (
        "apt-get update",
        "apt-get install python3 python3-venv",
        "python -m venv .venv (Python 3.14.0)",
        "pip install -e '.[docs]'",
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert plain(ran.stdout).splitlines() == [
        line for k, what in enumerate(steps, 1) for line in (f"==> {k}/4: {what}", f"==> {k}/4, done in 0 s: {what}")
    ]


def test_second_run_says_nothing(tree: Path) -> None:
    """Where all is there, nothing is printed and nothing is started."""
    python(tree)
    piped(tree)
    (tree / ".venv/bin/python").write_text("#!/bin/sh\nexit 9\n")
    ran = piped(tree)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("Collecting a\nCollecting b", "2 packages found"),
        ("Collecting a\nCollecting b\n  Downloading b-1-py3-none-any.whl (9 kB)", "2 packages found, 1 fetched"),
        ("Collecting a\nInstalling collected packages: a, b, ior-nb", "1 of 3 packages installed"),
    ],
)
def test_terminal_shows_how_many_packages_pip_is_through_with(
    printed: str, shown: str, tree: Path, terminal: Callable[..., Terminal]
) -> None:
    """One line is rewritten while pip works, and a finished step leaves one behind."""
    folder = ".venv/lib/python3/site-packages/a-1.dist-info"
    python(tree, f"echo '{printed}'; mkdir {folder}; touch -t 203801010000 {folder}; {WAIT}")
    run = terminal()
    run.until(lambda screen: shown in screen)
    (tree / "wait").write_text("go on")
    status = run.rest()

    lines = [plain(line.rpartition("\r\033[K")[2]) for line in run.screen.replace("\r\n", "\n").split("\n")]
    assert status == 0
    assert re.search(rf"\r\033\[K==> 2/2, \d+ s, {shown}: pip install", run.screen)
    assert lines == [
        "==> 1/2, done in 0 s: python -m venv .venv (Python 3.14.0)",
        "==> 2/2, done in 0 s: pip install -e '.[docs]'",
        "",
    ]


@needs_no_python
@pytest.mark.parametrize(
    ("last", "shown"),
    [
        ("Get:1 place a", "1 of 3 packages fetched"),
        ("Unpacking a ...", "1 of 3 packages unpacked"),
        ("Setting up a ...", "1 of 3 packages set up"),
    ],
)
def test_terminal_shows_how_many_packages_apt_is_through_with(
    last: str, shown: str, tree: Path, terminal: Callable[..., Terminal]
) -> None:
    """Fetched, unpacked or set up, of those that are new or upgraded."""
    told = f"1 upgraded, 2 newly installed, 0 to remove and 5 not upgraded.\n{last}"
    program(tree, "apt-get", APT.format(update=":", install=f"echo '{told}'; {WAIT}"))
    run = terminal()
    run.until(lambda screen: shown in screen)

    assert re.search(rf"\r\033\[K==> 2/4, \d+ s, {shown}: apt-get install", run.screen)


def test_line_is_not_wider_than_the_terminal(tree: Path, terminal: Callable[..., Terminal]) -> None:
    """A line that wrapped could not be rewritten."""
    python(tree, WAIT)
    run = terminal(columns=24)
    run.until(lambda screen: "2/2" in screen)
    run.until(lambda screen: screen.count("2/2") > 1)

    assert {len(part) for part in run.screen.split("\r\033[K") if part.startswith("==> 2/2")} == {24}


def test_interrupt_ends_all_of_it(tree: Path, terminal: Callable[..., Terminal]) -> None:
    """After Ctrl-C no process and no temporary file is left, it says so, and the next run does what is missing."""
    python(tree, f"echo Collecting a; echo Collecting b; {WAIT}")
    run = terminal()
    run.until(lambda screen: "2 packages found" in screen)
    os.killpg(run.process.pid, signal.SIGINT)
    status = run.rest()
    python(tree)
    shutil.copy(tree / "programs/python3.14", tree / ".venv/bin/python")
    again = piped(tree)

    assert (status, list((tree / "temporary").iterdir())) == (130, [])
    assert "interrupted: run it again" in run.screen
    assert again.stdout.splitlines()[0] == "==> 1/1: pip install -e '.[docs]'"


def test_failure_shows_the_end_of_what_was_printed_and_what_to_do(tree: Path) -> None:
    """Of a long output the last lines are shown; the status is a failure, and the step is done again the next time."""
    python(tree, "seq 99; echo ERROR: no network >&2; exit 7")
    ran = piped(tree)

    assert ran.returncode == 1
    assert ran.stderr.splitlines()[:2] == ["86", "87"]
    assert "ERROR: no network\n" in ran.stderr
    assert "run this again" in ran.stderr
    assert "==> 2/2, FAILED after" in ran.stdout
    assert piped(tree).returncode == 1


@needs_no_python
def test_apt_that_fails_is_told_with_the_line_to_run(tree: Path) -> None:
    """Without lists it goes on with those that are here; without the packages it says how to install them."""
    program(tree, "apt-get", APT.format(update="exit 100", install="echo E: held >&2; exit 100"))
    ran = piped(tree)

    assert "==> apt-get update failed; going on with the lists that are here\n" in ran.stdout
    assert "==> please run: sudo apt-get install python3 python3-venv\n" in ran.stdout
    assert "E: held\n" in ran.stderr

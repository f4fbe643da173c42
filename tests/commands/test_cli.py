from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ior_nb.export.arrow import columns
from ior_nb.result.load import load
from ior_nb.sinks.parquet import Recorder, read
from tests.fakes import batch
from tests.live.mounts import mount

ROOT = Path(__file__).resolve().parents[2]


def ior(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line as its user would."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-m", "ior_nb", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        **options,  # type: ignore[call-overload]
    )
    return done


def tracing(pid: int) -> subprocess.Popen[str]:
    """Return a trace of a process that has said it is on."""
    command = [sys.executable, "-m", "ior_nb", "trace", "--json", "--pid", str(pid)]
    tracer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert tracer.stderr is not None
    assert "ior-nb: tracing" in tracer.stderr.readline()
    return tracer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trace"], "nothing to trace"),
        (["trace", "--families", "Nonsense", "--", "true"], "Nonsense"),
        (["trace", "--syscalls", "opneat", "--", "true"], "openat"),
        (["trace", "--pid", "999999999"], "no process"),
        (["trace", "--duration", "0", "--", "true"], "above 0"),
        (["trace", "-o", "/no/such/folder/x.parquet", "--", "touch", "/tmp/ior-nb-was-started"], "/no/such/folder"),
        (["trace", "--engine", "magic", "--", "true"], "magic"),
    ],
)
def test_bad_input_is_refused_in_one_line_with_status_2(arguments: list[str], said: str) -> None:
    """Nothing is started; the line says what was wrong."""
    done = ior(*arguments)

    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert not Path("/tmp/ior-nb-was-started").exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files of all sorts."""
    for name, content, mode in (
        ("plain", "echo hi\n", 0o644),
        ("script", "echo $0 $1\n", 0o755),
        ("orphan", "#!/no/such/interpreter\n", 0o755),
    ):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("/no/such/program", 127, "command not found"),
        ("nosuchprogram", 127, "command not found"),
        ("{folder}/plain", 126, "no program"),
        ("plain", 126, "no program"),
        ("{folder}", 126, "no program"),
        ("./no\x1b[31m", 127, "\\x1b[31m"),
    ],
)
def test_a_command_that_cannot_be_executed_has_a_shells_status(
    command: str, status: int, said: str, folder: Path
) -> None:
    """127 when it is not there, 126 when it is no program; one line that names it, without an escape byte."""
    done = ior("trace", "--", command.format(folder=folder), env=os.environ | {"PATH": f"/usr/bin:/bin:{folder}"})

    assert done.returncode == status
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr


@pytest.mark.live
@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        *((f"kill -{number} $$", 128 + number) for number in (1, 2, 9, 11, 13, 34)),
    ],
)
def test_the_exit_status_is_the_commands(line: str, status: int) -> None:
    """Its own, or 128 and the number of the signal that ended it."""
    done = ior("trace", "--", "sh", "-c", f"ulimit -c 0; {line}")

    assert done.returncode == status


@pytest.mark.live
def test_a_script_is_run_as_a_shell_runs_it(folder: Path) -> None:
    """One without a first line by sh; one whose interpreter is missing is not found."""
    script, orphan = (ior("trace", "--quiet", "--", str(folder / name), "one") for name in ("script", "orphan"))

    assert (script.returncode, script.stdout) == (0, f"{folder}/script one\n")
    assert (orphan.returncode, orphan.stderr) == (127, f"ior-nb: '{folder}/orphan': No such file or directory\n")


STATE = """
import os, signal, sys
fields = ("SigBlk", "SigIgn", "SigCgt", "Groups", "Umask", "NoNewPrivs", "Seccomp")
lines = [line for line in open("/proc/self/status") if line.startswith(fields)]
lines += open("/proc/self/limits").readlines() + open("/proc/self/oom_score_adj").readlines()
numbers = {int(name) for name in os.listdir("/proc/self/fd")}
files = {n: os.stat(n)[:3] for n in sorted(numbers) if os.path.exists(f"/proc/self/fd/{n}")}
print(lines, files, os.getcwd(), os.getpgrp() - os.getpgid(os.getppid()), os.getsid(0), os.nice(0), sys.argv)
print(sorted(open("/proc/self/environ").read().split(chr(0))))
"""
BESIDE = [
    ":",
    "trap '' INT HUP TERM QUIT USR1 CHLD TSTP",
    "exec 3</etc/hostname 9>/dev/null 7<>/dev/zero",
    "exec <&-",
    "exec 2>&-",
    "exec <&- 2>&-",
    "ulimit -n 64; ulimit -c 0; umask 077; cd /",
    "export LC_ALL=C A='x y' B= ; unset LC_CTYPE LANG",
    "export LISTEN_FDS=1 LISTEN_FDNAMES=x; exec 3</dev/null",
]


@pytest.mark.live
def test_a_limit_of_descriptors_that_is_too_low_is_told_at_once() -> None:
    """Who may open few files hears of it before anything is loaded, and what to do."""
    line = f"ulimit -n 64; env PYTHONPATH={ROOT} {sys.executable} -m ior_nb trace --engine bcc -- true"
    told = subprocess.run(["sh", "-c", line], check=False, capture_output=True, text=True)

    assert told.returncode == 2
    assert "may open 64 files" in told.stderr
    assert "ulimit -n" in told.stderr


@pytest.mark.live
@pytest.mark.parametrize("before", BESIDE)
def test_a_command_finds_what_it_would_find_without_the_trace(before: str, tmp_path: Path) -> None:
    """Descriptors, signals, limits, environment, place and group are those it was started with."""
    out = tmp_path / "out"
    wrapper = f"env PYTHONPATH={ROOT} {sys.executable} -m ior_nb trace --quiet -- env -u PYTHONPATH"
    plain = "env -u PYTHONPATH env"
    found = []
    for prefix in (plain, wrapper):
        line = f"unset _ OLDPWD; {before}; {prefix} {sys.executable} -I -S -c '{STATE}' 'a b' '' >{out}"
        subprocess.run(["sh", "-c", line], check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp")
        found.append(out.read_text())

    assert found[1] == found[0]
    assert found[0]


@pytest.mark.live
def test_inherited_pipes_reach_the_command() -> None:
    """As a shell's `<(...)` makes them, and make's jobserver; the trace does not keep them open."""
    line = f"{sys.executable} -m ior_nb trace --quiet -- cat <(echo one) <(echo two)"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, cwd=ROOT)

    assert (done.stdout, done.stderr, done.returncode) == ("one\ntwo\n", "", 0)


@pytest.mark.live
def test_sockets_that_were_passed_are_the_commands() -> None:
    """LISTEN_PID is the number of the process they are for: the command's, where it was ours."""
    command = [sys.executable, "-m", "ior_nb", "trace", "--quiet", "--", "sh", "-c", "echo $LISTEN_PID $$"]
    code = f"import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execv({sys.executable!r}, {command!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    listens, own = done.stdout.split()

    assert listens == own


@pytest.mark.live
@pytest.mark.parametrize(("redirect", "status"), [("2>&-", 0), ("2>/dev/full", 0), (">&-", 1), ("<&-", 0)])
def test_a_stream_that_is_closed_or_full_changes_no_status(redirect: str, status: int) -> None:
    """The summary goes nowhere then, least of all into the command's output."""
    line = f"{sys.executable} -m ior_nb trace -- sh -c 'echo hi' {redirect}; echo $? >&3"
    read, write = os.pipe()
    done = subprocess.run(
        ["bash", "-c", f"exec 3>&{write}; {line}"], capture_output=True, check=False, cwd=ROOT, pass_fds=(write,)
    )
    os.close(write)
    said = os.read(read, 100).decode().split()
    os.close(read)

    assert done.stdout in (b"hi\n", b"")
    assert said == [str(status)]  # of echo, which cannot write where its output is closed


@pytest.mark.live
@pytest.mark.parametrize("command", [["true"], ["sh", "-c", "exit 7"]])
def test_a_result_that_cannot_be_written_is_a_status(command: list[str]) -> None:
    """The JSON that was asked for and is not there makes 0 a 74; another status stays."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ior_nb", "trace", "--json", "--quiet", "--", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
        )

    assert done.returncode == (74 if command == ["true"] else 7)
    assert "cannot be written" in done.stderr


@pytest.mark.live
@pytest.mark.parametrize("output", ["abc", "abc\n", ""])
@pytest.mark.parametrize("into", ["pipe", "file", "appended"])
def test_json_has_a_line_of_its_own(output: str, into: str, tmp_path: Path) -> None:
    """Whatever the command has written before it; in a file there is no empty line for it."""
    target = tmp_path / "out"
    target.write_text("before" if into == "appended" else "")
    sign = {"pipe": "| cat >", "file": ">", "appended": ">>"}[into]
    line = f"{sys.executable} -m ior_nb trace --json --quiet -- printf '%b' '{output}' {sign} {target}"
    subprocess.run(["sh", "-c", line], check=True, cwd=ROOT)
    lines = target.read_text().splitlines()

    assert json.loads(lines[-1])["engine"] == "bcc"
    assert into == "pipe" or "" not in lines
    assert "".join(lines[:-1]) == ("before" if into == "appended" else "") + output.strip()


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    while not path.exists():
        time.sleep(0.01)


@pytest.mark.live
@pytest.mark.parametrize("wrapper", [["nohup"], ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]])
def test_an_ignored_hangup_stays_ignored(wrapper: list[str], tmp_path: Path) -> None:
    """`nohup` in front of the trace is one in front of the command."""
    begun, over = tmp_path / "begun", tmp_path / "over"
    command = ["sh", "-c", f"touch {begun}; while ! [ -e {over} ]; do sleep .05; done; exit 3"]
    with subprocess.Popen(
        [*wrapper, sys.executable, "-m", "ior_nb", "trace", "--quiet", "--", *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_for(begun)
        process.send_signal(signal.SIGHUP)
        over.touch()

        assert process.wait(20) == 3


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_are_handed_on(number: signal.Signals, tmp_path: Path) -> None:
    """What somebody sends to the wrapper is for the command."""
    begun = tmp_path / "begun"
    command = ["sh", "-c", f"touch {begun}; while :; do sleep .05; done"]
    with subprocess.Popen([sys.executable, "-m", "ior_nb", "trace", "--quiet", "--", *command], cwd=ROOT) as process:
        wait_for(begun)
        process.send_signal(number)

        assert process.wait(20) == 128 + number


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_the_terminals_signals_are_the_commands_to_judge(number: signal.Signals, tmp_path: Path) -> None:
    """Both are sent to the whole group; a command that goes on after one is waited for, and reported."""
    begun, over = tmp_path / "begun", tmp_path / "over"
    code = f"trap 'touch {over}' INT QUIT; touch {begun}; while ! [ -e {over} ]; do sleep .05; done; exit 5"
    with subprocess.Popen(
        [sys.executable, "-m", "ior_nb", "trace", "--", "sh", "-c", code],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        wait_for(begun)
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=20)

    assert process.returncode == 5
    assert b"complete:" in said


@pytest.mark.live
def test_a_command_that_does_not_end_in_time_is_killed() -> None:
    """`--duration` terminates it, and kills it when that is ignored."""
    begun = time.monotonic()
    done = ior("trace", "--duration", "0.5", "--quiet", "--", "sh", "-c", "trap '' TERM; while :; do sleep .1; done")

    assert done.returncode == 128 + signal.SIGKILL
    assert time.monotonic() - begun < 20


@pytest.mark.live
def test_a_recording_that_failed_is_told(tmp_path: Path) -> None:
    """Its status, its reason and its file are in the result; the file counts all calls there were."""
    code = "import os\nfd = os.open('/dev/zero', os.O_RDONLY)\nfor _ in range(200_000): os.pread(fd, 7, 0)"
    with mount(tmp_path / "disk", "-t", "tmpfs", "-o", "size=768k", "none") as place:
        target = place / "r.parquet"
        done = ior("trace", "--json", "--quiet", "-o", str(target), "--", sys.executable, "-I", "-c", code)
        told = json.loads(done.stdout.splitlines()[-1])
        books = load(target).accounting

    assert done.returncode == 74
    assert "No space left" in told["recording_error"]
    assert told["recording"] == str(target)
    assert "No space left" in done.stderr
    assert books.seen == told["accounting"]["seen"] >= 200_000
    assert 0 < books.emitted < 200_000
    assert books.unaccounted == 0
    assert books.lost["recorder"] == books.seen - books.emitted


@pytest.mark.live
@pytest.mark.parametrize(
    ("options", "mode", "kept"),
    [([], 0o600, False), (["--record-mode", "644"], 0o644, False), (["--record-command"], 0o600, True)],
)
def test_a_recording_is_its_owners(options: list[str], mode: int, kept: bool, tmp_path: Path) -> None:
    """Nobody else may read it, and the arguments of the command are not in it, unless that is asked for."""
    target = tmp_path / "r.parquet"
    ior("trace", "--quiet", *options, "-o", str(target), "--", "true", "--password=hunter2")

    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert (b"hunter2" in target.read_bytes()) is kept
    assert load(target).title == ("true --password=hunter2" if kept else "true")


@pytest.mark.live
def test_the_commands_own_streams_and_status_are_untouched() -> None:
    """stdin, stdout and exit status are the command's; the summary goes to stderr."""
    done = ior("trace", "--", "sh", "-c", "cat; echo problem >&2; exit 7", input="through\n")

    assert done.returncode == 7
    assert done.stdout == "through\n"
    assert done.stderr.startswith("problem\n")
    assert "complete:" in done.stderr


@pytest.mark.live
def test_death_by_signal_is_128_plus_its_number() -> None:
    """As a shell reports it."""
    assert ior("trace", "--", "sh", "-c", "kill -9 $$").returncode == 128 + signal.SIGKILL


@pytest.mark.live
def test_json_is_the_last_line_and_agrees_with_the_recording(tmp_path: Path) -> None:
    """One JSON object; its events are the rows of the recording, whose first row is the execve."""
    target = tmp_path / "run.parquet"
    code = "import os\nfor _ in range(101): os.stat('/etc/hostname')"
    done = ior("trace", "--json", "--families", "all", "-o", str(target), "--", sys.executable, "-I", "-c", code)
    result = json.loads(done.stdout.splitlines()[-1])
    table = read(target)

    assert result["engine"] == "bcc"
    assert result["accounting"]["complete"] is True
    assert result["events"] == table.num_rows
    assert result["recording"] == str(target)
    assert result["duration_s"] > 0
    assert table["file"].to_pylist().count("/etc/hostname") == 101
    first = min(zip(table["time_ns"].to_pylist(), table["syscall"].to_pylist(), strict=True))
    assert first[1] == "execve"
    assert table.column_names[:3] == ["seq", "time_ns", "gap_ns"]


@pytest.mark.live
def test_a_process_is_traced_until_it_ends() -> None:
    """`--pid` ends with the process; its children are in."""
    code = "import os, subprocess\ninput()\nfor _ in range(53): os.stat('/etc/hostname')\nsubprocess.run(['true'])"
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdin=subprocess.PIPE) as target:
        tracer = tracing(target.pid)
        target.communicate(b"go on\n")
        out, _ = tracer.communicate(timeout=30)
    result = json.loads(out.splitlines()[-1])

    assert tracer.returncode == 0
    assert result["counters"]["newfstatat"]["calls"] >= 53
    assert result["accounting"]["complete"] is True


@pytest.mark.live
def test_duration_ends_a_command() -> None:
    """After the time is up the command is terminated and the result is shown."""
    done = ior("trace", "--duration", "0.5", "--", "sleep", "60")

    assert done.returncode == 128 + signal.SIGTERM
    assert "complete:" in done.stderr


LOADING = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, *rest):
        if name == "ior_nb.commands.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from ior_nb.__main__ import main
main()
"""


def test_an_interrupt_while_modules_are_loaded_ends_it_in_silence() -> None:
    """As it ends any other program: no lines of ours."""
    ended = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


@pytest.mark.live
def test_an_interrupt_ends_a_process_trace_with_its_summary() -> None:
    """SIGINT on `--pid` stops tracing and reports; the process goes on."""
    tracer = tracing(os.getpid())
    tracer.send_signal(signal.SIGINT)
    out, err = tracer.communicate(timeout=30)

    assert tracer.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["accounting"]["complete"] is True


@pytest.mark.live
def test_doctor_finds_nothing_wrong_where_tracing_works() -> None:
    """The exit status says whether all is well."""
    done = ior("doctor")

    assert done.returncode == 0, done.stdout
    assert "bcc" in done.stdout


@pytest.mark.parametrize("verb", ["doctor", "convert"])
def test_an_answer_that_cannot_be_written_is_no_traceback(verb: str, tmp_path: Path) -> None:
    """As behind `| head`, or on a full device: a line says so, and the status."""
    recorder = Recorder(columns)
    recorder.start(tmp_path / "old.parquet")
    recorder.record(batch(syscall=["read"]))
    recorder.stop()
    line = [verb, *([str(tmp_path / "old.parquet"), str(tmp_path / "new.parquet")] if verb == "convert" else [])]
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "ior_nb", *line]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)

    assert done.stderr == "ior-nb: the result cannot be written to standard output\n"
    assert done.returncode == 74 or verb == "doctor"
    assert (tmp_path / "new.parquet").exists() == (verb == "convert")


def test_version_and_help() -> None:
    """Both answer and end with 0."""
    assert ior("--version").stdout.startswith("ior-nb ")
    assert "--families" in ior("trace", "--help").stdout

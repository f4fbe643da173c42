from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ior_nb.sinks.parquet import read

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
        (["trace", "--", "/no/such/program"], "command not found"),
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


def test_version_and_help() -> None:
    """Both answer and end with 0."""
    assert ior("--version").stdout.startswith("ior-nb ")
    assert "--families" in ior("trace", "--help").stdout

from __future__ import annotations

import argparse
import inspect
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from ior_nb.commands.options import add_trace_options, trace_arguments
from ior_nb.errors import ConfigError
from ior_nb.runtime import Scope
from ior_nb.session.plan import Request, enabled_calls, plan, sampling_rates
from ior_nb.session.tracing import trace
from ior_nb.syscalls import BY_NAME, SYSCALLS


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"pid": 1 << 22}, "no process 4194304"),
        ({"pid": 0}, "no process 0"),
        ({"tid": 1 << 22}, "no thread 4194304"),
        ({"uid": -1}, "no user -1"),
        ({"record": "x.parquet", "record_mode": 640}, "in Python 0o640"),
        ({"record": "x.parquet", "record_mode": "640"}, "cannot have the mode '640'"),
        ({"cgroup": "/nowhere"}, "no folder of a version-2 control group"),
        ({"cgroup": "x" * 5_000}, "no folder of a version-2 control group"),
        ({"cgroup": "/sys\0"}, "no folder of a version-2 control group"),
        ({"cgroup": 0}, "no id of a control group"),
        ({"pid": 1, "system": True}, "exclude each other"),
        ({"command": ["/no/such/program"]}, "command not found"),
        ({"command": []}, "the command is empty"),
        ({"command": "ls -l"}, "a list of words"),
        ({"command": ["/etc/passwd"]}, "no program that can be executed"),
        ({"command": ["ls"], "cwd": "/no/such/folder"}, "working directory"),
        ({"families": "FS,Nonsense"}, "Nonsense"),
        ({"families": ""}, "no system call is chosen"),
        ({"syscalls": "opneat"}, "openat"),
        ({"sampling": {"read": -1}}, "the rate is 0"),
        ({"sampling": {"nothing": 2}}, "nothing"),
    ],
)
def test_a_mistake_is_refused_before_anything_starts(wanted: dict[str, Any], message: str) -> None:
    """Each kind of bad request has its one-line error."""
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        plan(**wanted)

    assert "\n" not in str(caught.value)


def test_without_a_choice_files_network_and_aio_are_traced() -> None:
    """The default is FS, Network, AIO and page_fault; `all` is every call; syscalls alone are only these."""
    usual = {c.number for c in SYSCALLS if c.family in ("FS", "Network", "AIO")}

    assert enabled_calls(None, None) == usual | {BY_NAME["page_fault"].number}
    assert len(enabled_calls("all", None)) == len(SYSCALLS)
    assert enabled_calls(None, "read,fstat") == {BY_NAME["read"].number, BY_NAME["newfstat"].number}
    assert enabled_calls(["time"], ["read"]) > {BY_NAME["read"].number, BY_NAME["nanosleep"].number}


def test_a_syscalls_own_rate_beats_its_familys() -> None:
    """FS=10 with read=1 records every read."""
    rates = sampling_rates({"read": 1, "FS": 10})

    assert rates[BY_NAME["read"].number] == 1
    assert rates[BY_NAME["write"].number] == 10


def test_a_thread_is_traced_in_its_own_process() -> None:
    """A thread id is resolved to its process; a wrong process is refused."""
    tid = threading.get_native_id()

    assert plan(tid=tid).scope.pids == (os.getpid(),)
    with pytest.raises(ConfigError, match="belongs to process"):
        plan(tid=tid, pid=1)


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        (Scope(pids=(4,)), "process 4 and its children"),
        (Scope(pids=(4,), follow=False), "process 4"),
        (Scope(pids=(4, 7)), "processes 4, 7 and their children"),
        (Scope(pids=(4,), tid=6), "thread 6 of process 4"),
        (Scope(pids=(4,), tid=4), "the main thread of process 4"),
        (Scope(mode="all"), "the whole system"),
        (Scope(mode="uid", uid=7), "user 7"),
    ],
)
def test_a_scope_says_whose_calls_are_traced(scope: Scope, text: str) -> None:
    """The words name who is traced and nobody else: children only where they are, never those of a single thread."""
    assert str(scope) == text


def test_the_title_of_a_thread_is_its_scope() -> None:
    """A trace by `pid` and `tid` is headed by that thread alone."""
    tid = threading.get_native_id()

    assert plan(tid=tid, pid=os.getpid()).title == str(Scope(pids=(os.getpid(),), tid=tid))


def test_a_command_is_looked_up_like_a_shell_does(tmp_path: Path) -> None:
    """Argv keeps the name as typed; the path is absolute; PATH of the given environment counts."""
    program = tmp_path / "thing"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = plan(command=["thing", "x"], env={"PATH": str(tmp_path)}).command

    assert found is not None
    assert (found.path, found.arguments) == (str(program), ("thing", "x"))


def test_the_keywords_of_a_trace_are_written_once() -> None:
    """Signature, text and options of `trace` have the keywords of `Request`; any other is refused by name."""
    shown = inspect.signature(trace).parameters
    parser = argparse.ArgumentParser()
    add_trace_options(parser)
    options = trace_arguments(parser.parse_args([]))

    assert [name for name in Request.__annotations__ if name not in shown or name not in str(trace.__doc__)] == []
    assert options.keys() <= shown.keys()
    assert {name: options[name] for name in options if options[name] != shown[name].default} == {"sampling": {}}
    with pytest.raises(TypeError, match="no keyword 'pids'"):
        trace(pids=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["a.csv", "report.html", "x.trace.json"])
def test_a_recording_is_parquet(name: str) -> None:
    """A name that asks for another format is refused, and the way to that format is said; any other name is fine."""
    with pytest.raises(ConfigError, match=f"%ior export {name}"):
        plan(record=name)

    assert plan(record="plain").record == Path("plain")

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from ior_nb.errors import ConfigError
from ior_nb.plan import enabled_calls, plan, sampling_rates
from ior_nb.syscalls import BY_NAME, SYSCALLS


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"pid": 1 << 22}, "no process 4194304"),
        ({"pid": 0}, "no process 0"),
        ({"tid": 1 << 22}, "no thread 4194304"),
        ({"uid": -1}, "no user -1"),
        ({"cgroup": "/nowhere"}, "no folder of a version-2 control group"),
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
    """The default is the families FS, Network and AIO; `all` is every call; syscalls alone are only these."""
    assert {c.family for c in SYSCALLS if c.number in enabled_calls(None, None)} == {"FS", "Network", "AIO"}
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


def test_a_command_is_looked_up_like_a_shell_does(tmp_path: Path) -> None:
    """Argv keeps the name as typed; the path is absolute; PATH of the given environment counts."""
    program = tmp_path / "thing"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = plan(command=["thing", "x"], env={"PATH": str(tmp_path)}).command

    assert found is not None
    assert (found.path, found.arguments) == (str(program), ("thing", "x"))

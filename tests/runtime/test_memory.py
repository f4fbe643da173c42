"""How much memory there is for a process."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ior_nb.runtime import memory

V2 = "31 23 0:28 {top} {mount} rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = "35 31 0:32 {top} {mount} rw,relatime - cgroup cgroup rw,memory\n"


def place(root: Path, groups: str, mounts: str, files: dict[str, str]) -> list[int]:
    """Make a machine of files; return the limits found in it."""
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return sorted(memory._of_groups(root))


def test_limits_of_version_2_are_found_up_to_the_mount(tmp_path: Path) -> None:
    """The group's own limit and those of the groups around it count; `max` is none."""
    top = "sys/fs/cgroup"
    found = place(
        tmp_path,
        "0::/a/b/c\n",
        V2.format(top="/", mount="/" + top),
        {f"{top}/a/memory.max": "3000\n", f"{top}/a/b/memory.max": "max\n", f"{top}/a/b/c/memory.high": "2000\n"},
    )

    assert found == [2000, 3000]


def test_limits_of_version_1_are_those_of_the_memory_controller(tmp_path: Path) -> None:
    """The path of another controller is not looked at, nor is a hierarchy without memory."""
    found = place(
        tmp_path,
        "5:cpu,cpuacct:/elsewhere\n4:memory:/job\n1:name=systemd:/x\n0::/y\n",
        V1.format(top="/", mount="/cg/memory") + "32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
        {
            "cg/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "cg/memory/job/memory.limit_in_bytes": "5000\n",
            "cg/cpu/elsewhere/memory.limit_in_bytes": "1\n",
        },
    )

    assert found == [5000, 9223372036854771712]


@pytest.mark.parametrize("group", ["/docker/abc", "/../../docker/abc", "/"])
def test_a_container_sees_its_own_group_as_the_mount(group: str, tmp_path: Path) -> None:
    """Where only a part of the tree is mounted, the group's path begins there, or is outside of what can be seen."""
    found = place(
        tmp_path,
        f"0::{group}\n",
        V2.format(top="/docker/abc" if group.startswith("/docker") else "/", mount="/sys/fs/c\\040g"),
        {"sys/fs/c g/memory.max": "7000\n"},
    )

    assert found == [7000]


def test_nothing_is_found_where_there_are_no_groups(tmp_path: Path) -> None:
    """Missing files and lines of another form are no limits."""
    assert list(memory._of_groups(tmp_path)) == []
    assert place(tmp_path, "nonsense\n0::\n", "short\n1 2 3 / /x rw - cgroup2\n", {}) == []


@pytest.mark.parametrize("which", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_of_the_process_is_the_memory_there_is(which: str) -> None:
    """A shell's `ulimit -v` bounds what a trace keeps as the machine's memory does."""
    code = (
        "import resource; from ior_nb.runtime.memory import memory_limit; from ior_nb.result.held import most_bytes;"
        f"resource.setrlimit(resource.{which}, (3 << 30, 3 << 30)); print(memory_limit(), most_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before = memory.memory_limit()

    assert done.stdout.split() == [str(min(before, 3 << 30)), str(min(before, 3 << 30) // 8)]
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY

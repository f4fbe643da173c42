"""Programs everybody has, under strace: both see the same calls with the same results, thread by thread."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ior_nb.session.session import TracerSession
from tests.live.test_against_strace import Call, compare

STRESS = "stress-ng --quiet --timeout 20 --no-rand-seed"
PROGRAMS = {
    "git": "git init -q r; cd r; seq 99 >a; git add a; git -c user.name=a -c user.email=a@b commit -qm a; git log -p; "
    "git gc -q",
    "git-clone": "git init -q --bare r; git clone -q r s; cd s; git status",
    "tar": "mkdir d; seq 9999 >d/a; seq 99 >d/b; tar czf d.tgz d; mkdir e; tar xzf d.tgz -C e; cmp d/a e/d/a",
    "rsync": "mkdir d; seq 9999 >d/a; seq 99 >d/b; rsync -a d/ e/; seq 9 >>d/a; rsync -ac --delete d/ e/",
    "sqlite3": "printf 'create table t(a);%s' \"$(seq -f 'insert into t values(%g);' 99)\" | sqlite3 t.db; "
    "sqlite3 t.db 'select sum(a) from t'",
    "gcc": "printf '#include <stdio.h>\\nint main(){puts(\"a\");}' >a.c; gcc -o a a.c; ./a",
    "make": "printf 'all: a b\\na b:\\n\\techo $@ >$@\\n' >Makefile; make -sj2",
    "find": "find /usr/include -name '*.h' -size +40k -exec wc -l {} +; find . -delete",
    "fio": "fio --name=a --size=1m --bs=4k --rw=randrw --ioengine=psync --numjobs=2 --thread --output=o",
    "fio-aio": "fio --name=a --size=1m --bs=4k --rw=randread --ioengine=libaio --iodepth=8 --output=o",
    **{
        f"stress-ng-{name}": f"{STRESS} --temp-path . --mmap-bytes 16m --{name} 1 --{name}-ops {ops}"
        for name, ops in {
            "access": 3, "chmod": 20, "dentry": 200, "dir": 100, "dup": 50, "eventfd": 99, "fcntl": 50, "fork": 40,
            "getdent": 20, "hdd": 3, "link": 2, "mmap": 1, "open": 300, "pipe": 200, "poll": 99, "readahead": 99,
            "rename": 300, "seek": 300, "sendfile": 50, "sock": 20, "splice": 99, "symlink": 2, "timerfd": 20,
            "utime": 99, "vfork": 40, "xattr": 10,
        }.items()
    },
}  # fmt: skip


def first_difference(ours: list[Call], theirs: list[Call]) -> tuple[int, list[Call], list[Call]] | None:
    """Return where two sequences part, and how both go on; None where they are equal.

    A thread that is killed is stopped for strace no more: the end of its last call, or that call, is only in ours.
    """
    last = len(theirs) - 1
    if len(ours) > last >= 0 and theirs[last] == (ours[last][0], None):
        ours = [*ours[:last], theirs[last], *ours[last + 1 :]]
    if len(ours) == len(theirs) + 1 and ours[-1][1] is None:
        ours = ours[:-1]
    at = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return None if ours == theirs else (at, ours[at : at + 5], theirs[at : at + 5])


HERE = [name for name in PROGRAMS if shutil.which("stress-ng" if name.startswith("stress") else name.partition("-")[0])]


@pytest.mark.parametrize("name", HERE)
def test_the_same_calls_as_strace_sees(
    name: str, session: TracerSession, tmp_path: Path, required: Callable[[str], None]
) -> None:
    """Each thread of a program and of its children has the sequence of calls and results strace prints."""
    if shutil.which("strace") is None:
        required("needs strace")
    script = f"cd {tmp_path}; exec >/dev/null 2>&1; {PROGRAMS[name]}; true"
    ours, theirs = compare(["/bin/sh", "-c", script], "/bin/sh", session, tmp_path.with_suffix(".strace"))

    assert [difference for tid in theirs if (difference := first_difference(ours.get(tid, []), theirs[tid]))] == []
    assert len(theirs) >= 2

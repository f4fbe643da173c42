"""Whose calls they are: the process of a thread, its parent, its name, its working directory.

What the calls themselves tell is taken from them; the rest is asked from /proc, once for each new task.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ior_nb.engine.collector.processes import threads
from ior_nb.engine.stopped.source import Birth, Block

__all__ = [
    "CLONE_THREAD",
    "NAME_BYTES",
    "SET_NAME",
    "Tasks",
    "comm_of",
    "let_trace",
    "tracer_of",
    "why_not",
    "yama_scope",
]

CLONE_THREAD: Final = 0x10000
CLONE_PARENT: Final = 0x8000
SET_NAME: Final = 15  # PR_SET_NAME
NAME_BYTES: Final = 15
"""Of a thread's name: TASK_COMM_LEN without its end."""
_SET_PTRACER: Final = 0x59616D61  # PR_SET_PTRACER
_ONLY_ROOT: Final = 2
_YAMA: Final = Path("/proc/sys/kernel/yama/ptrace_scope")


class Tasks:
    """The tasks of a trace.

    Args:
        running: processes that are there when it begins: pid -> parent's pid.

    Attributes:
        pids: task -> its process.
        parents: process -> its parent.
        comms: task -> name.
        folders: process -> working directory; None where nobody knows.
        roots: process -> root directory.
        begun: processes born in the trace that nobody has been told of yet: (pid, parent).
    """

    def __init__(self, running: dict[int, int]) -> None:
        self.pids: dict[int, int] = {}
        self.parents = dict(running)
        self.comms: dict[int, bytes] = {}
        self.folders: dict[int, bytes | None] = {}
        self.roots: dict[int, bytes] = {}
        self.begun: list[tuple[int, int]] = []
        self._early: set[int] = set()  # tasks that were met before anybody told of their birth

    def learn(self, tids: set[int], born: Mapping[int, Birth], making: Sequence[Birth] = ()) -> dict[int, Birth]:
        """Get to know tasks: those that made others first, for these have what is theirs.

        Args:
            tids: tasks that made calls.
            born: new tasks, as `Block.born`.
            making: tasks that are being made, as `Block.making`.

        Returns:
            Those of `born` that are news: of others (a vfork returns after what its child has done) /proc was asked.
            With them one that is being made and gone from /proc already, where nobody else can be its maker.
        """
        news = {tid: birth for tid, birth in born.items() if tid not in self._early}
        self._early -= born.keys()
        if (
            len(making) == 1
            and len(gone := [tid for tid in tids - self.pids.keys() - born.keys() if is_gone(tid)]) == 1
        ):
            news[gone[0]] = making[0]
            self._early.add(gone[0])
        for tid, birth in news.items():
            if self.pids.get(tid) is not None and birth.maker != tid:
                self._forget(tid)  # the number is in use again
        for tid in sorted(tids - self.pids.keys(), key=lambda t: (t in news, t)):
            self._meet(tid, news)
        for tid in news.keys() - self.pids.keys():
            self._meet(tid, news)
        return news

    def _meet(self, task: int, born: Mapping[int, Birth]) -> None:
        makers: dict[int, None] = {}  # those that nobody knows, the first of them last
        while task not in self.pids and task not in makers:
            makers[task] = None
            task = born[task].maker if task in born else task
        for tid in reversed(makers):
            self._add(tid, born.get(tid))

    def _add(self, tid: int, birth: Birth | None) -> None:
        if birth is not None and birth.maker in self.pids:
            up = self.pids[birth.maker]
            pid = up if birth.thread else tid
            parent = self.parents.get(up, 0) if birth.thread or birth.sibling else up
            name = self.comms.get(birth.maker)
        else:
            pid, parent = of_status(tid)
            name = None
            self._early.add(tid)
        self.pids[tid] = pid
        if pid not in self.parents:
            self.parents[pid] = parent
            self.begun.append((pid, parent))
        self.comms[tid] = name if name is not None else comm_of(tid)
        if pid not in self.folders:
            self.folders[pid] = self.folders.get(parent) or _link(f"/proc/{pid}/cwd")
            self.roots[pid] = self.roots.get(parent) or _link(f"/proc/{pid}/root") or b"/"

    def _forget(self, tid: int) -> None:
        pid = self.pids.pop(tid)
        self.comms.pop(tid, None)
        if pid == tid:
            self.parents.pop(pid, None)
            self.folders.pop(pid, None)
            self.roots.pop(pid, None)

    def end(self, block: Block) -> list[tuple[int, int]]:
        """Return (pid, when) of the processes that ended in a block, and forget its tasks that did."""
        gone = [(tid, when) for tid, when in block.ended if self.pids.get(tid) == tid]
        for tid, _ in block.ended:
            if tid in self.pids:
                self._forget(tid)
        return gone


def program_name(path: bytes) -> bytes:
    """Return what a task is called when it has executed a file."""
    return path.rpartition(b"/")[2][:NAME_BYTES]


def comm_of(tid: int) -> bytes:
    """Return the name of a living task, empty for one that is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{tid}/comm").read_bytes().rstrip(b"\n")
    return b""


def _link(path: str) -> bytes | None:
    with contextlib.suppress(OSError):
        return os.fsencode(os.readlink(path))  # noqa: PTH115 - bytes, and no object in between
    return None


def _status(tid: int) -> dict[str, str]:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{tid}/status").read_text(errors="replace").splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {}


def of_status(tid: int) -> tuple[int, int]:
    """Return process and parent of a task; one that is gone already is taken for a process."""
    status = _status(tid)
    return int(status.get("Tgid", tid)), int(status.get("PPid", 0))


def is_gone(tid: int) -> bool:
    """Tell whether /proc knows nothing of a task any more."""
    return not _status(tid)


def tracer_of(pid: int) -> int:
    """Return who traces a process, 0 for nobody."""
    return int(_status(pid).get("TracerPid", 0))


def has_ended(pid: int) -> bool:
    """Tell whether a process makes no more calls: it is gone, or its parent has not asked for its status yet."""
    return _status(pid).get("State", "X").startswith(("Z", "X")) and len(threads(pid)) <= 1


def yama_scope() -> int:
    """Return whom Yama lets trace: 0 everybody of the same user, 1 parents, 2 root, 3 nobody; 0 without Yama."""
    with contextlib.suppress(OSError, ValueError):
        return int(_YAMA.read_text())
    return 0


def let_trace(pid: int) -> None:
    """Let a process, and those it starts, trace us where Yama asks for that; elsewhere it changes nothing."""
    ctypes.CDLL(None).prctl(_SET_PTRACER, ctypes.c_ulong(pid), 0, 0, 0)


def why_not(pid: int) -> str:
    """Return why a process may not be traced, and what to do, as far as /proc tells; empty where it tells nothing."""
    status = _status(pid)
    if not status:
        return f"process {pid} is gone"
    if has_ended(pid):
        return f"process {pid} has ended already; its parent has not asked for its status yet"
    if tracer := int(status.get("TracerPid", 0)):
        name = comm_of(tracer).decode(errors="backslashreplace")
        return f"process {pid} is traced already, by {name or 'a process'} ({tracer}); end that first"
    return _of_the_kernel(pid, status) or _of_rights(pid, status) or _of_yama()


def _of_the_kernel(pid: int, status: Mapping[str, str]) -> str:
    """Only programs have memory, while their first thread has not ended."""
    if "VmSize" in status:
        return ""
    if status.get("State", "").startswith("Z"):
        return f"the first thread of process {pid} has ended while others go on, and it is held by that; bcc traces it"
    return f"process {pid} is a part of the kernel, which makes no system calls"


def _of_rights(pid: int, status: Mapping[str, str]) -> str:
    mine, theirs = os.geteuid(), {int(uid) for uid in status.get("Uid", "").split()}
    if mine and theirs != {mine}:
        return f"process {pid} is not yours (user {min(theirs, default=-1)}, you are {mine})"
    more = int(status.get("CapPrm", "0"), 16) & ~int(_status(os.getpid()).get("CapEff", "0"), 16)
    if more:
        return f"process {pid} has capabilities that you have not ({more:#x}); who has them may trace it"
    if mine and (owner := _owner(pid)) != mine:
        return (
            f"process {pid} keeps others from looking at it, its own user too (PR_SET_DUMPABLE, or its program's file "
            f"is not readable; /proc/{pid} is of user {owner}); root may trace it"
        )
    return ""


def _owner(pid: int) -> int:
    """Return the user whom /proc says a process belongs to."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}").stat().st_uid
    return os.geteuid()


def _of_yama() -> str:
    scope = yama_scope()
    if scope == 1 and os.geteuid():
        return f"Yama lets a process be traced by its parents only (kernel.yama.ptrace_scope=1): {_YAMA_HELP}"
    if scope >= _ONLY_ROOT:
        remedy = (
            "only root may; sudo sysctl kernel.yama.ptrace_scope=1" if scope == _ONLY_ROOT else "until the next boot"
        )
        return f"Yama forbids it (kernel.yama.ptrace_scope={scope}): {remedy}"
    return ""


_YAMA_HELP: Final = "trace a command or this process itself, or sudo sysctl kernel.yama.ptrace_scope=0"

"""What /proc says of processes and threads, and which of them who looks may see."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "Viewer", "descendants", "living", "numbers", "parents", "threads"]

_MAY_TRACE_ALL: Final = 19  # CAP_SYS_PTRACE
_EXITING: Final = 0x4  # PF_EXITING: set before the hook on_task_exit runs


def parents() -> dict[int, int]:
    """Return pid -> parent's pid of every process in /proc."""
    found: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{entry.name}/stat").read_bytes()
                found[int(entry.name)] = int(stat[stat.rindex(b")") + 2 :].split()[1])
    return found


def descendants(roots: Iterable[int], tree: Mapping[int, int] | None = None) -> dict[int, int]:
    """Return pid -> parent's pid of all living descendants of `roots`, themselves left out.

    Args:
        roots: processes.
        tree: what `parents` has said; None to ask it.
    """
    tree = parents() if tree is None else tree
    children: dict[int, list[int]] = {}
    for pid, parent in tree.items():
        children.setdefault(parent, []).append(pid)
    found: dict[int, int] = {}
    pending = list(roots)
    while pending:
        for child in children.get(pending.pop(), ()):
            if child not in found:
                found[child] = tree[child]
                pending.append(child)
    return found


def threads(pid: int) -> list[int]:
    """Return the thread ids of a process, none when it is gone."""
    try:
        return [int(t.name) for t in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def numbers(tid: int, proc: Path = Path("/proc")) -> list[int]:
    """Return the numbers of a process or a thread, by pid namespace, from ours on downwards; none when it is gone."""
    with contextlib.suppress(OSError):
        for line in (proc / str(tid) / "status").read_bytes().split(b"\n"):
            if line.startswith(b"NSpid:"):
                return [int(number) for number in line.split()[1:]]
    return []


def living(pid: int) -> set[int]:
    """Return the thread ids of a process without those that are ending, none when it is gone."""
    found: set[int] = set()
    for tid in threads(pid):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/task/{tid}/stat").read_bytes()
            if not int(stat[stat.rindex(b")") + 2 :].split()[6]) & _EXITING:
                found.add(tid)
    return found


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: programs that run with other rights than his are left out where processes are followed."""

    uid: int = 0
    """0 may see everything."""
    rights: int = 0
    """His capabilities, a bit each."""
    guarded: bool = False
    """He looks through a service: what he sees is judged at each call, and without regard to his capabilities."""
    namespace: int = 0
    """The pid namespace he lives in, by its inode; 0 for that of the collector."""
    depth: int = 0
    """How far that is below the collector's."""

    @classmethod
    def of(cls, pid: int, uid: int) -> Viewer:
        """Return a process of a user."""
        rights = 0
        with contextlib.suppress(OSError, LookupError, ValueError):
            words = Path(f"/proc/{pid}/status").read_text().split()
            rights = int(words[words.index("CapPrm:") + 1], 16)
        return cls(0 if rights >> _MAY_TRACE_ALL & 1 else uid, rights)

    def number(self, pid: int, tid: int | None = None) -> int:
        """Return a process's number, or that of a thread of it, as he knows it; 0 where it is nobody's to him."""
        if not self.depth:
            return pid if tid is None else tid
        known = numbers(pid if tid is None else tid)
        return known[self.depth] if len(known) > self.depth else 0

    def may_see(self, pid: int) -> bool:
        """Whether a process is his: the kernel gives its folder in /proc to root where it is not dumpable."""
        try:
            return self.uid in (0, Path(f"/proc/{pid}").stat().st_uid)
        except OSError:
            return True  # it is gone


ROOT: Final = Viewer()
"""Who may see everything."""

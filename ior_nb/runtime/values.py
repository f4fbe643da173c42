"""Small frozen values both sides of the contracts speak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ior_nb.runtime.pushdown import Pushdown

__all__ = ["WITHOUT_STACK", "Accounting", "ProbeState", "Scope", "SnapshotNode", "TraceOptions"]

WITHOUT_STACK: Final = {
    "no_python": "in processes without a Python that is known",
    "no_state": "of threads Python knows nothing of",
    "other_thread": "of threads with another thread's state",
    "no_frame": "while no Python function ran",
    "unreadable": "whose frames could not be read for sure",
    "lost_facts": "for want of room",
}
"""Why a call has no Python stack: the kernel program's totals of these names, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose system calls are traced."""

    mode: str = "pids"
    """`pids` (a set of processes), `all`, `uid` or `cgroup`."""
    pids: tuple[int, ...] = ()
    """The processes, numbered as this process sees them."""
    follow: bool = True
    """Whether children are in, those alive already and those to come."""
    tid: int = 0
    """Only this thread; 0 for all."""
    uid: int = 0
    """The user of mode `uid`."""
    cgroup: int = 0
    """Id of the version-2 control group of mode `cgroup` (the inode number of its folder)."""
    at_exec: bool = False
    """Whether a process is in from its first execve on (a command started for the trace)."""

    def __str__(self) -> str:
        if self.mode == "all":
            return "the whole system"
        if self.mode == "uid":
            return f"user {self.uid}"
        if self.mode == "cgroup":
            return f"control group {self.cgroup}"
        several = len(self.pids) > 1
        who = f"process{'es' if several else ''} {', '.join(map(str, self.pids))}"
        if self.tid:  # whose children are not traced
            return f"the main thread of {who}" if (self.tid,) == self.pids else f"thread {self.tid} of {who}"
        return who + (f" and {'their' if several else 'its'} children" if self.follow else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """What an engine is asked to do."""

    scope: Scope
    enabled: frozenset[int]
    """Numbers of the system calls that are on."""
    rates: Mapping[int, int] = field(default_factory=dict)
    """Sampling by syscall number: 0 counts only, 1 records all (the default), N one in N."""
    pushdown: Pushdown = field(default_factory=Pushdown)
    """What of the filter to decide at the source."""
    generation: int = 0
    """What the records of that filter carry, 0 to 255."""
    stacks: int = 0
    """Frames of a Python stack at most; 0 without stacks."""
    waits: bool = False
    """Tell apart what calls wait for: every context switch of the machine pays for it."""
    programs: tuple[str, ...] = ()
    """Files of programs that will be executed: an interpreter that is known before has stacks from its first call."""
    quiet: bool = False
    """Keep raw bytes and decode them when the trace ends, so that the traced code pays no Python for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Where every system call went: seen = emitted + filtered + sampled_out + in_flight + all of lost."""

    seen: int = 0
    """Calls of enabled syscalls the kernel program saw begin, in scope and inside the window."""
    emitted: int = 0
    """Finished calls that are rows of the result."""
    filtered: int = 0
    """Calls a filter kept out."""
    sampled_out: int = 0
    """Calls counted only, because their syscall is sampled."""
    in_flight: int = 0
    """Calls that had not returned when the trace, or their thread, ended; those without a row for want of room are in
    `lost`, and not here."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Calls lost, by reason: `ring` (the kernel's ring was full, for finished calls or for those of a thread that was
    killed in them), `buffer` (the reader was too slow), `recorder` (the file of a recording lacks them)."""
    names_lost: int = 0
    """Path texts that did not fit into the names ring: their rows lack a name."""
    unpaired: int = 0
    """Ends of calls whose beginning was before the trace."""
    no_start: int = 0
    """Ends of calls that are missing: their beginning was not seen, and nothing tells what they were."""
    hidden: int = 0
    """Programs that ran with other rights than the user's (set-uid), which are not shown to him."""
    compat: int = 0
    """32-bit calls: counted, not recorded, for their numbers mean other calls."""
    unknown: int = 0
    """Calls with a number beyond the table."""
    threads_lost: int = 0
    """Threads that could not be followed because the table of threads was full."""
    skipped_runs: int = 0
    """Runs of our program the kernel skipped (it was interrupted by itself): calls may be missing."""
    outside_window: int = 0
    """Calls just before or after the cell; not part of `seen`."""
    left_out: int = 0
    """Calls that were work of the tracer or of the notebook, not of the user; not part of `seen`."""
    without_stack: Mapping[str, int] = field(default_factory=dict)
    """Finished calls that have no Python stack though stacks were asked for, by reason: those of `WITHOUT_STACK`."""
    died: bool = False
    """Whether the engine failed before the trace ended: what came after is missing, and nobody counted it."""
    counts_only: bool = False
    """Whether nothing was traced: there are no rows, and never would have been."""

    @property
    def lost_total(self) -> int:
        """Sum of all reasons."""
        return sum(self.lost.values())

    @property
    def complete(self) -> bool:
        """Whether nothing is missing that should be there."""
        return not (
            self.died
            or self.lost_total
            or self.names_lost
            or self.no_start
            or self.hidden
            or self.compat
            or self.unknown
            or self.threads_lost
            or self.skipped_runs
            or self.counts_only
        )

    @property
    def unaccounted(self) -> int:
        """What the identity leaves over; anything but 0 is a bug in the tracer, and is shown."""
        return self.seen - self.emitted - self.filtered - self.sampled_out - self.in_flight - self.lost_total

    def line(self) -> str:
        """Return the completeness line of every result."""
        if self.counts_only:
            return "counters only: nothing was traced, so there are no rows; the host counts this process as a whole"
        parts = [f"{self.seen:,} calls seen", f"{self.emitted:,} recorded"]
        for count, what in (
            (self.filtered, "filtered"),
            (self.sampled_out, "counted only"),
            (self.in_flight, "still in flight"),
        ):
            if count:
                parts.append(f"{count:,} {what}")
        parts += [f"{count:,} lost ({reason})" for reason, count in self.lost.items() if count]
        for count, what in (
            (self.names_lost, "names lost"),
            (self.no_start, "calls missing whose beginning was not seen"),
            (self.hidden, "programs with other rights than yours not traced"),
            (self.compat, "32-bit calls not decoded"),
            (self.unknown, "calls of unknown number"),
            (self.threads_lost, "threads not followed"),
            (self.skipped_runs, "probe runs skipped by the kernel"),
            (self.unaccounted, "unaccounted for"),
        ):
            if count:
                parts.append(f"{count:,} {what}")
        if self.died:
            parts.append("the trace ended early and what came after is missing")
        return ("complete: " if self.complete and not self.unaccounted else "INCOMPLETE: ") + ", ".join(parts)

    def stacks_line(self) -> str:
        """Return why calls have no line of Python, most frequent reason first; empty where none lacks it."""
        found = sorted(
            ((n, WITHOUT_STACK.get(reason, reason)) for reason, n in self.without_stack.items() if n), reverse=True
        )
        total = sum(n for n, _ in found)
        return (
            f"{total:,} calls without a line of Python: " + ", ".join(f"{n:,} {why}" for n, why in found)
            if found
            else ""
        )

    def as_dict(self) -> dict[str, object]:
        """Return the numbers as JSON-ready values."""
        numbers: dict[str, object] = {
            name: getattr(self, name)
            for name in (
                "seen",
                "emitted",
                "filtered",
                "sampled_out",
                "in_flight",
                "names_lost",
                "unpaired",
                "no_start",
                "hidden",
                "compat",
                "unknown",
                "threads_lost",
                "skipped_runs",
                "outside_window",
                "left_out",
            )
        }
        lists = {"lost": dict(self.lost), "without_stack": dict(self.without_stack)}
        return numbers | lists | {"died": self.died, "complete": self.complete}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeState:
    """Whether one system call is traced, and how."""

    syscall: str
    family: str
    active: bool
    rate: int = 1
    """1 records all, N one in N, 0 counts only."""
    error: str = ""
    """Why the last change failed; empty when it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotNode:
    """A node of the flame trie; its value does not include its children's, its total does."""

    name: str
    value: int
    total: int
    children: tuple[SnapshotNode, ...] = ()
    height: int = 0
    """Total of the second metric, 0 without one."""

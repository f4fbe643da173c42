"""`Pushdown`: the part of a filter that an engine can decide where the events come from, before it costs anything."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from ior_nb.runtime.batch import EventBatch
from ior_nb.runtime.filter import UNTIMED
from ior_nb.runtime.patterns import verdicts

__all__ = ["COMM_BYTES", "Pushdown"]

COMM_BYTES: Final = 15
"""The longest name of a thread in bytes (TASK_COMM_LEN without its NUL)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushdown:
    """Conditions a call has to meet, all that are set. `globalfilter.split` makes it from a filter.

    An engine either applies all of it, to calls that never return or have not returned as well, or uses `mask` on its
    batches. What it keeps out it counts as filtered; gaps and counters do not depend on it.
    """

    pid: int | None = None
    """The process id, as the row shows it."""
    tid: int | None = None
    """The thread id, as the row shows it."""
    calls: tuple[tuple[int, str], ...] | None = None
    """Number and name of the system calls let through, by number; None lets all through, () none."""
    latency_min_ns: int | None = None
    """At least that long. With either bound set, calls that never return or have not returned are out."""
    latency_max_ns: int | None = None
    """At most that long."""
    errors_only: bool = False
    """Failed calls only, with a result of -4095..-1 that is no restart code, and those of `finders`."""
    finders: tuple[str, ...] = ()
    """System calls whose success may tell that a failure before it was none; the kernel knows them by their row."""
    comm: str = ""
    """What the name of the thread is, or begins with, byte for byte; empty for any. At most 15 bytes of UTF-8."""
    comm_prefix: bool = False
    """Whether `comm` is only the beginning. It has no star then."""

    def __post_init__(self) -> None:
        if len(self.comm.encode()) > COMM_BYTES:
            raise ValueError(f"the name of a thread has at most {COMM_BYTES} bytes, {self.comm!r} has more")
        if self.comm_prefix and "*" in self.comm:
            raise ValueError(f"a star in the beginning of a name: {self.comm!r}")

    @property
    def active(self) -> bool:
        """Whether anything is set."""
        return any(getattr(self, f.name) != f.default for f in fields(self))

    @property
    def numbers(self) -> frozenset[int] | None:
        """Numbers of the system calls let through; None lets all through."""
        return None if self.calls is None else frozenset(number for number, _ in self.calls)

    @property
    def comm_words(self) -> tuple[bytes, bytes]:
        """Value and mask of 16 bytes: `(name ^ value) & mask == 0` on a thread's NUL-padded name is the condition.

        The mask covers the terminating NUL where the whole name is given; it is all zeros when any name will do.
        """
        wanted = self.comm.encode()
        covered = len(wanted) + (not self.comm_prefix) if wanted else 0
        return wanted.ljust(16, b"\0"), (b"\xff" * covered).ljust(16, b"\0")

    def mask(self, batch: EventBatch) -> np.ndarray:
        """Return which rows the kernel would let through: bool, shape (n,)."""
        result = np.ones(len(batch), bool)
        for name, wanted in (("pid", self.pid), ("tid", self.tid)):
            if wanted is not None:
                result &= batch[name] == wanted
        if self.calls is not None:
            result &= batch.tables["syscall"].among(name for _, name in self.calls).take(batch["syscall"])
        if self.latency_min_ns is not None:
            result &= batch["latency_ns"] >= self.latency_min_ns
        if self.latency_max_ns is not None:
            result &= batch["latency_ns"] <= self.latency_max_ns
        if self.latency_min_ns is not None or self.latency_max_ns is not None:
            result &= ~batch.tables["state"].among(UNTIMED).take(batch["state"])
        if self.errors_only:
            result &= batch["is_error"] | batch.tables["syscall"].among(self.finders).take(batch["syscall"])
        if self.comm:
            # Exact also where the name has a star.
            ask = ("=", f"{self.comm}*") if self.comm_prefix else ("~", f"^{self.comm}$")
            result &= verdicts(batch.tables["comm"], *ask).take(batch["comm"])
        return result

"""The thread that holds programs, when it fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from ior_nb.engine.collector.__main__ import Refused
from ior_nb.engine.stopped.opened import Opened
from ior_nb.engine.stopped.ptrace import Ptrace
from ior_nb.engine.stopped.source import Change
from ior_nb.syscalls.machine import NUMBERS


@pytest.fixture(autouse=True)
def _signal() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


def test_what_is_told_ahead_of_its_rows_waits_for_them() -> None:
    """A block has what happened up to its last row: what comes after is of the next one."""
    ptrace = Ptrace()
    ptrace._tell("execs", (5, b"/bin/true"), after=1)
    before = ptrace.take()
    ptrace._note(Opened(NUMBERS["sync"], (0,) * 6, ours=False).row(5, 0, 0, 0))
    after = ptrace.take()

    assert (len(before.calls), before.execs) == (0, [])
    assert (len(after.calls), after.execs) == (1, [Change(1, 5, b"/bin/true")])


def test_a_thread_that_failed_is_told_and_nobody_waits_for_it() -> None:
    """What is asked of it is refused with its reason: a helper whose session has gone can end."""
    ptrace = Ptrace()

    def fail() -> None:
        raise ZeroDivisionError("by nothing")

    with pytest.raises(Refused, match="the tracer failed: ZeroDivisionError: by nothing"):
        ptrace._do(fail, threading.Event())
    with pytest.raises(Refused, match="by nothing"):
        ptrace.detach()
    assert "by nothing" in ptrace.died

"""The thread that holds programs, when it fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from ior_nb.engine.collector.__main__ import Refused
from ior_nb.engine.stopped.ptrace import Ptrace


@pytest.fixture(autouse=True)
def _signal() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


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

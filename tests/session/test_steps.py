"""An interrupt at every step of a trace's begin and end, one run a step, until a run is over before its step comes.

Steps are lines, and instructions; of these one in `STRIDE`, for there are thousands. IOR_NB_EVERY_STEP=1 tries all.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import ior_nb
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from tests.fakes import FakeEngine, batch

FOLDER = Path(ior_nb.__file__).parent
# What runs in the thread that can be interrupted once something has begun.
WAITING = tuple(
    str(FOLDER / name) for name in ("session/window", "session/worker", "session/session", "runtime/own", "real")
)
STRIDE = 23


class Interrupter:
    """Raises a KeyboardInterrupt in this thread, at the n-th line or instruction of what begins and ends traces.

    Attributes:
        done: whether it has.
        where: function and line.
    """

    def __init__(self, step: int, *, instructions: bool) -> None:
        self._left = step
        self._instructions = instructions
        self.done = False
        self.where = ""

    def __enter__(self) -> Interrupter:
        sys.settrace(self._called)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.settrace(None)

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self.done or frame.f_code.co_name == "__del__":  # where Python itself swallows it
            return None
        if not frame.f_code.co_filename.startswith(WAITING):
            return None
        frame.f_trace_opcodes = self._instructions
        frame.f_trace_lines = not self._instructions
        self._step(frame)
        return self._went_on

    def _went_on(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event in ("line", "opcode"):
            self._step(frame)
        return self._went_on

    def _step(self, frame: FrameType) -> None:
        if self.done:
            return
        self._left -= 1
        if self._left < 0:
            self.done = True
            self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
            raise KeyboardInterrupt(self.where)


def closed(session: TracerSession, engine: FakeEngine, folder: Path) -> None:
    """Close the session while it traces."""
    window = trace(session=session)
    window.__enter__()
    session.close()
    window.end()


def block(session: TracerSession, engine: FakeEngine, folder: Path) -> None:
    """Trace a block, with a recording."""
    with trace(session=session, record=folder / "r.parquet"):
        pass


def verbs(session: TracerSession, engine: FakeEngine, folder: Path) -> None:
    """Start and stop as `%ior start` and `%ior stop` do."""
    window = trace(session=session)
    window.__enter__()
    window.stop()


def nested(session: TracerSession, engine: FakeEngine, folder: Path) -> None:
    """Trace a block in a block."""
    with trace(session=session), trace(session=session):
        pass


def recorded(session: TracerSession, engine: FakeEngine, folder: Path) -> None:
    """Record a part of a trace, as `%ior record` does."""
    with trace(session=session):
        session.record(folder / "s.parquet")
        session.stop_recording()


@pytest.fixture
def little_garbage() -> Iterator[None]:
    """What is there before is no garbage: a collection, of which there are hundreds, looks at what was made since."""
    with trace(session=TracerSession(engine=FakeEngine())):  # all is imported
        pass
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("little_garbage")
@pytest.mark.parametrize("instructions", [False, True], ids=["lines", "instructions"])
@pytest.mark.parametrize("what", [block, verbs, nested, recorded, closed])
def test_an_interrupt_at_any_step_leaves_nothing(
    what: Callable[[TracerSession, FakeEngine, Path], None],
    instructions: bool,
    session: TracerSession,
    engine: FakeEngine,
    tmp_path: Path,
) -> None:
    """It comes out as it is; no trace runs and no file is half written afterwards, and the next trace has its rows."""
    step = 0
    stride = STRIDE if instructions and not os.environ.get("IOR_NB_EVERY_STEP") else 1
    while True:
        interrupter = Interrupter(step, instructions=instructions)
        try:
            with interrupter:
                what(session, engine, tmp_path)
        except KeyboardInterrupt as interrupt:
            assert str(interrupt) == interrupter.where  # noqa: PT017 - each run ends so, or is the last
        if not interrupter.done:
            break
        step += stride
        if session.running is not None:  # the window is in a circle with the interrupt
            gc.collect()
        session.worker.do(lambda: None)
        assert session.running is None, interrupter.where
        session.close()
        assert not session.recorder().status().active, interrupter.where
        assert not list(tmp_path.glob("*.tmp")), interrupter.where
        with trace(session=session) as following:
            rows = batch(syscall=["read"] * 3, file=["/f"] * 3, time_ns=[following.window[0] + 1] * 3)
            engine.emit(rows)
        assert len(following) == 3, interrupter.where

    assert step > 20
    print(f"{step} steps of {what.__name__}, all survived")

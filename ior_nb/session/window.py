"""`Window`: what `ior_nb.trace` returns, and the stretch of time on a run that becomes its `Trace`."""

from __future__ import annotations

import os
from dataclasses import replace
from types import TracebackType
from typing import NoReturn

from ior_nb.engine.contract import Engine
from ior_nb.errors import ConfigError, IorError, SourceError, SourceUnavailable
from ior_nb.result.trace import Trace
from ior_nb.runtime import own
from ior_nb.runtime.clock import FOR_EVER, boot_clock, moment
from ior_nb.session.books import Books, new_recorder
from ior_nb.session.celltimes import Cell
from ior_nb.session.child import Child, environment
from ior_nb.session.counting import Counting
from ior_nb.session.plan import Plan
from ior_nb.session.session import TracerSession

__all__ = ["Stretch", "Window"]


@own.all_ours
class Window:
    """A trace to be made: a context manager that gives the `Trace`. It ends when nobody holds it any more, too."""

    _begun = False

    def __init__(self, session: TracerSession, wanted: Plan, *, cell: int = -1) -> None:
        self._session = session
        self._stretch = Stretch(session, wanted, cell)
        self._owner = os.getpid()

    def __enter__(self) -> Trace:
        if self._begun:
            raise ConfigError("this trace was begun before: each `with` takes an ior_nb.trace(...) of its own")
        try:
            self._begun = True
            self._session.worker.do(self._stretch.begin)
            return self.trace
        except BaseException:  # also an interrupt: whatever has begun by then goes
            self._session.worker.do(self._stretch.take_back)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._stretch.wait(kind is not None)
            self.end()
        except BaseException:  # also an interrupt, wherever it came
            self.end()
            raise

    def __del__(self) -> None:
        if self._begun and self._stretch.running and os.getpid() == self._owner:  # interrupted before `__exit__` began
            self._session.worker.later(self._stretch.take_back)

    def __getattr__(self, name: str) -> NoReturn:
        if hasattr(Trace, name):
            raise AttributeError(
                f"this is no trace yet, and has no {name!r}: `with ior_nb.trace(...) as t:` runs it, "
                f"and after the block t.{name} is there"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def trace(self) -> Trace:
        """The trace, empty before it has begun."""
        return self._stretch.trace

    def end(self) -> None:
        """Close the window: from here on nothing belongs to it. Idempotent."""
        self._stretch.stop_at_once()
        if os.getpid() == self._owner:  # a forked child leaves the block, too
            self._session.worker.do(self._stretch.end)
            self._stretch.warn()

    def stop(self) -> None:
        """End it as a button or a verb does: who listens to the session is told."""
        self._stretch.stop()

    # ---- its command

    def become_wrapper(self) -> None:
        """Start the command as this process was started: with its descriptors and its environment."""
        plan = self._stretch.plan
        if plan.command is not None:
            command = replace(plan.command, inherits=True, env=environment() or plan.command.env)
            self._stretch.plan = replace(plan, command=command)

    def signal(self, number: int) -> bool:
        """Send a signal to the command, if it has not ended; tell whether there is one."""
        child = self._stretch.child
        if child is not None:
            child.signal(number)
        return child is not None

    def command_ended(self, seconds: float) -> bool:
        """Wait for the end of the command; tell whether it has come in time."""
        child = self._stretch.child
        return child is None or child.ended(seconds)


@own.all_ours
class Stretch(Books):
    """A stretch of time on a run, from its begin to its end; both are jobs of the session's worker."""

    def __init__(self, session: TracerSession, wanted: Plan, cell: int = -1) -> None:
        super().__init__(wanted, session.engine_name)
        self._session = session
        self._number = cell
        self.child: Child | None = None
        self._cell: Cell | None = None
        self.running = False
        self._counting: Counting | None = None

    def begin(self) -> None:
        """Start the command, the recording and the trace; what fails takes back what has begun.

        Raises:
            SourceError: it cannot be traced here, or what is needed for it cannot be had.
        """
        try:
            self._begin()
        except BaseException as error:
            over = self.child is not None and self.child.ended(0)
            self.take_back()
            if over and self.child is not None and isinstance(error, SourceError):
                raise self.child.ended_early() from error
            if isinstance(error, OSError) and not isinstance(error, IorError):
                raise SourceUnavailable(f"the trace cannot be started: {error.strerror or error}") from error
            raise

    def _begin(self) -> None:
        self.running = True
        if self.plan.command is not None and self._session.running is None:
            self.child = Child(self.plan.command)
            self.plan = self.plan.of_child(self.child.pid)
            self.trace.scope = str(self.plan.scope)
        if self.plan.record is not None:
            self._recorder = new_recorder()
            mode = self.plan.record_mode
            self._recorder.start(self.plan.record, metadata=self.trace.metadata(), block=True, mode=mode)
            if self._session.engine().counts_only:
                why = "; ".join(self._session.engine().notes) or "the engine counters was asked for"
                raise SourceUnavailable(f"there are no rows to record: {why}")
        self._session.open_window(self, self.stop)
        self._describe(self._session.engine())
        self._cell = self._session.begin_cell(self._number) if self._number >= 0 else None
        self.trace.began = moment()
        self._t0 = self.trace.began.boot
        self.trace.window = (self._t0, self._t0)
        if self._session.engine().counts_only:
            self.trace.counts_only = True
            self._counting = Counting()
            self._counting.begin()
        if self.child is not None:
            self.child.release()

    def take_back(self) -> None:
        """Leave nothing of it: neither trace nor recording nor command. Idempotent."""
        self.running = False
        self._recorder, recorder = None, self._recorder
        if recorder is not None:
            recorder.discard()
        try:
            self.end()
        finally:
            if self.child is not None:
                self.child.kill()

    def _describe(self, engine: Engine) -> None:
        """Say what is traced, where the engine knows better than the plan."""
        self.trace.notes += (*filter(None, [self._session.why]), *engine.notes)
        self.inherit(engine.caveats)
        self.trace.unfilled = dict(engine.unfilled)
        if engine.title:
            self.trace.title = f"{self.plan.title} ({engine.title})" if self.plan.named else engine.title
            self.trace.scope = engine.title

    def wait(self, failed: bool) -> None:
        """Wait for the command, or end it where the block has failed."""
        if self.child is not None:
            if failed:
                self.child.kill()
            else:
                self.trace.returncode = self.child.wait()

    def stop_at_once(self) -> None:
        """Nothing that begins from now on belongs to it."""
        if self._t1 == FOR_EVER:
            self._t1 = boot_clock()
        counting, self._counting = self._counting, None
        if counting is not None:
            self.trace.host = counting.end()

    def end(self) -> None:
        """Close the books. Idempotent."""
        self.running = False
        self.stop_at_once()
        self._end_cell()
        self._session.close_window(self)

    def _end_cell(self) -> None:
        cell, self._cell = self._cell, None
        if cell is not None:
            self._session.end_cell(cell)

    def stop(self) -> None:
        """End it as a button or a verb does: who listens to the session is told."""
        self.stop_at_once()
        self._session.worker.do(self.end)
        self.warn()
        self._session.announce(self.trace)

    def stop_clock(self, why: str) -> None:
        """The run ends before the window does."""
        if self._t1 == FOR_EVER:
            self._end_cell()
        super().stop_clock(why)

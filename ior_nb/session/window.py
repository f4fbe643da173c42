"""`Window`: one `Trace` being made, a stretch of time on a run. What `ior_nb.trace` returns."""

from __future__ import annotations

from types import TracebackType
from typing import NoReturn

from ior_nb.engine.contract import Engine
from ior_nb.result.trace import Trace
from ior_nb.runtime import own
from ior_nb.runtime.clock import FOR_EVER, boot_clock, moment
from ior_nb.session.books import Books, new_recorder
from ior_nb.session.child import Child
from ior_nb.session.plan import Plan
from ior_nb.session.session import TracerSession

__all__ = ["Window"]


@own.all_ours
class Window(Books):
    """One `Trace` being made: a stretch of time on a run. A context manager that gives the trace."""

    def __init__(self, session: TracerSession, wanted: Plan, *, cell: int = -1) -> None:
        super().__init__(wanted, session.engine_name)
        self._session = session
        self._cell = cell
        self._child: Child | None = None
        self._entry: list[int] | None = None

    def __enter__(self) -> Trace:
        if self.plan.command is not None and self._session.running is None:
            self._child = Child(self.plan.command)
            self.plan = self.plan.of_child(self._child.pid)
            self.trace.scope = str(self.plan.scope)
        try:
            if self.plan.record is not None:
                self._recorder = new_recorder()
                self._recorder.start(self.plan.record, metadata=self.trace.metadata(), block=True)
            self._session.open_window(self, self.stop)
            self._describe(self._session.engine())
            self._entry = self._session.begin_cell(self._cell) if self._cell >= 0 else None
            self.trace.began = moment()
            self._t0 = self.trace.began.boot
            self.trace.window = (self._t0, self._t0)
            if self._child is not None:
                self._child.release()
        except BaseException:
            self._recorder, recorder = None, self._recorder
            if recorder is not None:
                recorder.discard()
            self._session.close_window(self)
            if self._child is not None:
                self._child.kill()
            raise
        return self.trace

    def __getattr__(self, name: str) -> NoReturn:
        if hasattr(Trace, name):
            raise AttributeError(
                f"this is no trace yet, and has no {name!r}: `with ior_nb.trace(...) as t:` runs it, "
                f"and after the block t.{name} is there"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _describe(self, engine: Engine) -> None:
        """Say what is traced, where the engine knows better than the plan."""
        self.trace.notes += engine.notes
        self.inherit(engine.caveats)
        if engine.title:
            self.trace.title = f"{self.plan.title} ({engine.title})" if self.plan.named else engine.title
            self.trace.scope = engine.title

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._child is not None:
                if kind is None:
                    self.trace.returncode = self._child.wait()
                else:
                    self._child.kill()
        finally:
            self.end()

    def signal(self, number: int) -> None:
        """Send a signal to the command; nothing happens without one, or when it has ended."""
        if self._child is not None:
            self._child.signal(number)

    def end(self) -> None:
        """Close the window: from here on nothing belongs to it. Idempotent."""
        if self._t1 != FOR_EVER:
            self._session.settle()
            return
        self._t1 = boot_clock()
        if self._entry is not None:
            self._session.end_cell(self._entry)
        self._session.close_window(self)

    def stop(self) -> None:
        """End it as a button or a verb does: who listens to the session is told."""
        self.end()
        self._session.announce(self.trace)

    def stop_clock(self, why: str) -> None:
        """The run ends before the window does."""
        if self._t1 == FOR_EVER and self._entry is not None:
            self._session.end_cell(self._entry)
        super().stop_clock(why)

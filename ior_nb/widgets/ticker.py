"""The ticker: the one thread that refreshes panels, at most four times a second.

Only a thread moves views while a synchronous cell runs. It ends with the last panel.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from ior_nb.real import Event, Lock, RLock, SimpleQueue, Thread, current
from ior_nb.runtime import own

if TYPE_CHECKING:
    from ior_nb.runtime import LiveRuntime, Snapshot

__all__ = ["PERIOD_S", "Ticker", "ticker"]

PERIOD_S: Final = 0.25
_LOG: Final = logging.getLogger(__name__)


class Ticked(Protocol):
    """What the ticker knows of a panel."""

    @property
    def name(self) -> str:
        """Which panel it is, for the log."""

    @property
    def runtime(self) -> LiveRuntime:
        """What it shows."""

    def wanted(self, now: float, busy_since: float | None) -> bool:
        """Whether somebody looks who can be reached."""

    def refresh(self, now: float, *, force: bool = False) -> None:
        """Send what has changed."""


class Ticker:
    """Refreshes the panels somebody looks at, in a daemon thread named `ior-ticker`.

    What users do in a page is done here too: the calls it makes are the tracer's own and in no trace, and the user's
    thread, which receives the messages, is not kept.

    Attributes:
        lock: held while a panel is refreshed, greets a view or acts; whoever changes a panel elsewhere takes it too.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self._panels: list[Ticked] = []
        self._thread: Thread | None = None
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake = Event()
        self._guard = Lock()
        self._busy_since: float | None = None
        self._hooked: Any = None
        self._shared: dict[Any, Snapshot | None] | None = None  # in a tick: what the panels share

    def add(self, panel: Ticked) -> None:
        """Refresh this one from now on."""
        with self._guard:
            self._panels.append(panel)
            self._hook()
            if self._thread is None:
                self._thread = own.OwnThread(self._run, name="ior-ticker")
                self._thread.start()

    def remove(self, panel: Ticked) -> None:
        """Leave it alone."""
        with self._guard, contextlib.suppress(ValueError):
            self._panels.remove(panel)
        self._wake.set()

    def wake(self) -> None:
        """Tick now."""
        self._wake.set()

    def do(self, job: Callable[[], None], *, wait_s: float = 0.0) -> None:
        """Let the thread do something, under the lock; wait so long for its end. Without a thread it is done here."""
        done = Event()

        def run() -> None:
            try:
                with self.lock:
                    job()
            except Exception:
                _LOG.exception("an action failed")
            finally:
                done.set()

        with self._guard:
            here = self._thread is None or self._thread is current()
            if not here:
                self._jobs.put(run)
        if here:
            run()
            return
        self._wake.set()
        if wait_s:
            done.wait(wait_s)

    def later(self, job: Callable[[], None]) -> None:
        """Let the thread do something before its next tick; for what is called in a tick."""
        with self._guard:
            here = self._thread is None
            if not here:
                self._jobs.put(lambda: self.do(job))
        if here:
            self.do(job)
        self._wake.set()

    def refresh_now(self, runtime: LiveRuntime) -> None:
        """Refresh all visible panels of a runtime in this thread: the user has changed something."""
        self.tick(time.monotonic(), force=runtime)

    def tick(self, now: float, force: LiveRuntime | None = None) -> None:
        """Refresh what is due, or with `force` all that runtime's visible panels."""
        with self._guard:
            panels = list(self._panels)
        wanted = [p for p in panels if (force is None or p.runtime is force) and p.wanted(now, self._busy_since)]
        with self.lock:
            self._shared = {}
            try:
                for runtime in {id(panel.runtime): panel.runtime for panel in wanted}.values():
                    try:
                        runtime.update()
                    except Exception:
                        _LOG.debug("the engine did not answer", exc_info=True)  # its own state says so to the user
                for panel in wanted:
                    try:
                        panel.refresh(now, force=force is not None)
                    except Exception:
                        _LOG.exception("the panel %s could not send", panel.name)
            finally:
                self._shared = None

    def snapshot(self, runtime: LiveRuntime, top: int | None = None, by: str = "count") -> Snapshot | None:
        """Return the statistics: all panels of a tick that ask for the same share one snapshot."""
        source = runtime.statistics()
        if source is None:
            return None
        if self._shared is None:
            return source.snapshot(top=top, by=by)
        key = (id(source), top, by)
        if key not in self._shared:
            self._shared[key] = source.snapshot(top=top, by=by)
        return self._shared[key]

    def _run(self) -> None:
        while True:
            self._wake.wait(PERIOD_S)
            self._wake.clear()
            while not self._jobs.empty():
                self._jobs.get()()
            with self._guard:
                if not self._panels and self._jobs.empty():
                    self._thread = None
                    return
            try:
                self.tick(time.monotonic())
            except Exception:
                _LOG.exception("a tick failed")

    # ---- whether the kernel runs a cell, and may be deaf to its page meanwhile

    def _hook(self) -> None:
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        if shell is None or shell is self._hooked:
            return
        self._hooked = shell
        self._busy_since = time.monotonic()  # most likely by a cell; else the next one sets it right
        shell.events.register("pre_run_cell", self._cell_begins)
        shell.events.register("post_run_cell", self._cell_ends)

    def _cell_begins(self, *_: Any) -> None:
        self._busy_since = time.monotonic()

    def _cell_ends(self, *_: Any) -> None:
        self._busy_since = None

    def forget(self) -> None:
        """In a forked child: threads and pages are the parent's."""
        self.__init__()  # type: ignore[misc]


ticker: Final = Ticker()
os.register_at_fork(after_in_child=ticker.forget)

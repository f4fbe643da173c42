"""`Desk`: what a dashboard is given: the published sources, and what may be asked of the session."""

from __future__ import annotations

from contextvars import Context

from ior_nb.globalfilter import Filters
from ior_nb.result.stored import foreign_columns
from ior_nb.result.trace import Trace
from ior_nb.runtime import FlameSource, ProbeControl, SnapshotSource, StreamTail, context_with_runtime_bindings
from ior_nb.session.bindings import Bindings
from ior_nb.session.controls import Control, Recording
from ior_nb.session.past import Past
from ior_nb.session.session import TracerSession

__all__ = ["Desk"]


class Desk:
    """`runtime.LiveRuntime`. All methods may be called from any thread.

    Args:
        session: what is watched, started and stopped.
        trace: show this finished trace, with a filter of its own, instead of what the session does.

    Raises:
        ConfigError: the trace still runs, has no rows, or too many.
    """

    filters: Filters
    recording: Recording
    control: Control

    def __init__(self, session: TracerSession, trace: Trace | None = None) -> None:
        self._bindings = Bindings() if trace is not None else session
        if trace is not None:
            self._bindings.filters.foreign = foreign_columns(trace.rows)
            Past(trace, fixed=True)(context_with_runtime_bindings(Context(), self._bindings))
            self.update()
        self.filters = self._bindings.filters
        self.recording = Recording(session)
        self.control = Control(session, self._bindings)

    def statistics(self) -> SnapshotSource | None:
        return self._bindings.statistics()

    def stream(self) -> StreamTail:
        return self._bindings.stream()

    def trie(self) -> FlameSource | None:
        return self._bindings.trie()

    def probes(self) -> ProbeControl | None:
        return self._bindings.probes()

    def update(self) -> None:
        self._bindings.update()

"""`Bindings`: the views' side. A trace starter publishes into it, the views read from it; neither knows the other."""

from __future__ import annotations

from collections.abc import Callable

from ior_nb.globalfilter import Filters
from ior_nb.real import RLock
from ior_nb.runtime import (
    Filter,
    FlameSource,
    LiveTrace,
    LiveTrieSource,
    ProbeControl,
    ProbeManager,
    RecordingController,
    SnapshotSource,
    StreamSource,
    StreamTail,
)
from ior_nb.session.fitted import drawn, in_groups, ranked, with_tail
from ior_nb.sinks.streamrow import Passing, RingBuffer, Sequencer

__all__ = ["Bindings"]


class Bindings:
    """`TraceRuntimeBindings` for starters, and what a `LiveRuntime` reads. All methods may be called from any thread.

    Attributes:
        filters: the filter of what is on screen.

    Args:
        stream_rows: rows the live stream keeps.
    """

    filters: Filters

    def __init__(self, stream_rows: int = 10_000) -> None:
        self._begin(stream_rows)

    def _begin(self, stream_rows: int, active: Filter | None = None) -> None:
        """Own a new ring, numbering and filter, with nothing on screen."""
        self._lock = RLock()
        self._stream, self._sequencer = RingBuffer(stream_rows), Sequencer()
        self._nothing = RingBuffer(1)  # what is streamed while nothing is published
        self.filters = Filters(lambda: self.stream().snapshot(), active, self._lock)
        self.clear()

    # ---- RuntimePublisher

    def set_dashboard_snapshot_source(self, source: SnapshotSource | None) -> None:
        """Publish the statistics."""
        self._statistics: SnapshotSource | None = None if source is None else ranked(source)

    def set_event_stream_source(self, source: StreamSource | None) -> None:
        """Publish the stream."""
        self._source: StreamTail = self._nothing if source is None else with_tail(source)

    def set_live_trie(self, trie: LiveTrieSource | None) -> None:
        """Publish the flame trie."""
        self._trie: FlameSource | None = None if trie is None else drawn(trie)

    def set_probe_manager(self, manager: ProbeManager | None) -> None:
        """Publish the probe control."""
        self._probes: ProbeControl | None = None if manager is None else in_groups(manager)

    def set_live_filter_setter(self, setter: Callable[[Filter], None] | None) -> None:
        """Publish what puts a new filter into the running pipeline; None unregisters."""
        self.filters.setter = setter

    def set_live_trace(self, trace: LiveTrace | None) -> None:
        """Publish the trace itself."""
        self._live: LiveTrace | None = trace

    def clear(self) -> None:
        """Take everything off the screen, so that it can go."""
        self.set_dashboard_snapshot_source(None)
        self.set_event_stream_source(None)
        self.set_live_trie(None)
        self.set_probe_manager(None)
        self.set_live_filter_setter(None)
        self.set_live_trace(None)

    # ---- RuntimeState

    def stream_buffer(self) -> RingBuffer:
        """Return the ring of the last rows."""
        return self._stream

    def recorder(self) -> RecordingController | None:
        """Return the recorder, None when there is none."""
        return None

    def stream_sequencer(self) -> Sequencer:
        """Return the one row numbering."""
        return self._sequencer

    def filter_epoch(self) -> int:
        """Return the filter generation rows are stamped with."""
        return self.filters.epoch

    # ---- what views read

    def statistics(self) -> SnapshotSource | None:
        """Return the statistics."""
        return self._statistics

    def stream(self) -> StreamTail:
        """Return the last rows that the filter accepts, and warnings."""
        return Passing(self._source, self.filters.active)

    def trie(self) -> FlameSource | None:
        """Return the flame trie."""
        return self._trie

    def probes(self) -> ProbeControl | None:
        """Return the probe control; None when no trace runs."""
        return self._probes

    def live(self) -> LiveTrace | None:
        """Return the trace on screen."""
        return self._live

    def update(self) -> None:
        """Bring what is on screen up to date: a view is about to read it."""
        if (live := self._live) is not None:
            live.update()

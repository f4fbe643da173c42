"""The contracts between the tracing engine and the views: read this page first, then `live`.

Data flows one way. An engine produces `EventBatch`es, a run stamps them and feeds the sinks, views pull snapshots from
the sinks. The starter of a trace puts its sinks and controls into the open views through a `RuntimePublisher`, and the
views read them from there. Neither side knows the other.

Threads: one thread feeds the sinks, any thread may read them, and each call is atomic. A call takes no longer than a
copy of the data; only a `TraceStarter` may. A method that cannot do its work raises an `ior_nb.errors.IorError`; no
return value reports a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from pathlib import Path
from typing import Protocol, runtime_checkable

from ior_nb.runtime.batch import EventBatch
from ior_nb.runtime.filter import Filter
from ior_nb.runtime.sheet import Sheet, Tree
from ior_nb.runtime.shown import PageState, RecordingState, TraceState
from ior_nb.runtime.statistics import Snapshot
from ior_nb.runtime.values import ProbeState, SnapshotNode

__all__ = [
    "Configurator",
    "EventIngester",
    "EventSink",
    "HostsTrace",
    "LiveTrace",
    "LiveTrieSource",
    "ProbeManager",
    "RecordingController",
    "RuntimePublisher",
    "RuntimeState",
    "Sequencer",
    "SheetSource",
    "SnapshotSource",
    "Snapshotter",
    "StreamSource",
    "TraceRuntimeBindings",
    "TraceStarter",
    "TreeSource",
]


@runtime_checkable
class TraceStarter(Protocol):
    """Starts a trace."""

    def __call__(self, context: Context) -> None:
        """Start; return when the start succeeded. Long work goes on in the background.

        The starter finds its bindings in the context, and publishes its sources when the start has succeeded.

        Raises:
            SourceError: the start failed; nothing is left running, and nothing has been published.
        """


@runtime_checkable
class StreamSource(Protocol):
    """Read side of the live stream."""

    def __len__(self) -> int:
        """Return how many rows are held now."""

    def snapshot(self) -> EventBatch:
        """Return the rows, oldest first. They never change; without any the batch is empty."""


@runtime_checkable
class EventSink(StreamSource, Protocol):
    """Read and write side of the live stream."""

    def push(self, batch: EventBatch) -> None:
        """Append rows; the oldest make room."""


@runtime_checkable
class SnapshotSource(Protocol):
    """The read side of the statistics."""

    def snapshot(self, *, top: int | None = ..., by: str = ...) -> Snapshot | None:
        """Return the statistics, or None when there is no engine. After an exception a view keeps the last good ones.

        A source may leave the two arguments out: views then show the rows it gives.

        Args:
            top: files, directories and processes at most, the rest in a row `other`; None for the usual number.
            by: `count`, `bytes` or `latency`: what decides which they are.
        """


@runtime_checkable
class SheetSource(Protocol):
    """The statistics in the form that can be added up with those of other hosts."""

    def sheet(self, *, top: int | None = ..., by: str = ...) -> Sheet:
        """Return the statistics; the arguments as of `SnapshotSource`."""


@runtime_checkable
class EventIngester(Protocol):
    """Write side of the statistics."""

    def ingest(self, batch: EventBatch) -> None:
        """Count these rows."""

    def reset(self) -> None:
        """Start again from nothing."""


@runtime_checkable
class Snapshotter(Protocol):
    """Read side of the live flame trie."""

    @property
    def version(self) -> int:
        """Grows with every ingest and reset; a view redraws when it changed."""

    def snapshot_tree(self) -> tuple[SnapshotNode, int]:
        """Return the tree and the version its data belongs to."""

    def snapshot_json(self) -> tuple[bytes, int]:
        """Return the tree as JSON and its version."""


@runtime_checkable
class Configurator(Protocol):
    """Write side of the live flame trie. An invalid argument raises ConfigError and changes nothing."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Frame fields, root first."""

    @property
    def count_field(self) -> str:
        """The metric that gives a frame its width."""

    def reconfigure(self, fields: Sequence[str]) -> None:
        """Set the fields and drop what was accumulated, also when they are the same."""

    def set_count_field(self, name: str) -> None:
        """Set the metric and start a fresh baseline; nothing happens for the same one."""

    def reset(self) -> None:
        """Drop what was accumulated."""


@runtime_checkable
class LiveTrieSource(Snapshotter, Configurator, Protocol):
    """Both halves of the live flame trie."""


@runtime_checkable
class TreeSource(Protocol):
    """The flame trie in the form that can be added up with those of other hosts."""

    def tree(self, limit: int = ...) -> Tree:
        """Return the largest nodes, so many at most, and below each a leaf of what was left out."""


@runtime_checkable
class ProbeManager(Protocol):
    """Which system calls are traced, live. An unknown system call or a closed manager raises."""

    def states(self) -> list[ProbeState]:
        """Return the state of every system call, by name."""

    def toggle(self, syscall: str) -> None:
        """Switch one on or off."""

    def active_count(self) -> tuple[int, int]:
        """Return how many are on, and how many there are."""


@runtime_checkable
class LiveTrace(Protocol):
    """The trace on screen, running or finished: what a view may ask its starter."""

    def state(self) -> TraceState:
        """Return what is going on."""

    def update(self) -> None:
        """Bring the published sources up to date: a view is about to read them."""

    def reset(self) -> None:
        """Begin the aggregates anew; a finished trace counts on where it was stopped, else refuses."""

    def stop(self) -> None:
        """End the trace; a finished one stops counting its rows where it does, else refuses."""

    def pages(self, paths: Sequence[str]) -> Mapping[str, PageState]:
        """Return what is known of pages of these files now; each is looked at, so they should be few."""

    def export(self, path: str, wanted: Filter) -> Path:
        """Write the rows that a filter accepts to a file, the format by the ending."""


@runtime_checkable
class HostsTrace(LiveTrace, Protocol):
    """A trace of several hosts, of which a view may choose one; `TraceState` names them."""

    def choose(self, host: str) -> None:
        """Publish what is known of one host; empty for all. ConfigError when there is none of that name."""


@runtime_checkable
class RecordingController(Protocol):
    """The recorder: writes rows to one file at a time."""

    def start(
        self, path: str | Path, *, metadata: Mapping[str, str] | None = ..., generated: bool = ..., block: bool = ...
    ) -> None:
        """Begin a recording; RecordingError when the path cannot be written."""

    def record(self, batch: EventBatch) -> None:
        """Hand over rows; nothing happens without a recording."""

    def stop(self) -> Path | None:
        """Finish the file and give it its name; return where it is."""

    def status(self) -> RecordingState:
        """Return what is going on."""


@runtime_checkable
class Sequencer(Protocol):
    """The one numbering of rows."""

    def reserve(self, count: int) -> int:
        """Reserve `count` numbers in a row; return the first. With 0 that is the number of the next row to come."""


@runtime_checkable
class RuntimePublisher(Protocol):
    """The write side: a trace starter calls it to put its live objects into the open views.

    None takes an object off the screen. An object with only the members of its contract is enough.
    """

    def set_dashboard_snapshot_source(self, source: SnapshotSource | None) -> None:
        """Publish the statistics."""

    def set_event_stream_source(self, source: StreamSource | None) -> None:
        """Publish the stream."""

    def set_live_trie(self, trie: LiveTrieSource | None) -> None:
        """Publish the flame trie."""

    def set_probe_manager(self, manager: ProbeManager | None) -> None:
        """Publish the probe control."""

    def set_live_filter_setter(self, setter: Callable[[Filter], None] | None) -> None:
        """Publish the function that puts a new filter into the running pipeline. It leaves the probes alone."""

    def set_live_trace(self, trace: LiveTrace | None) -> None:
        """Publish the trace itself."""


@runtime_checkable
class RuntimeState(Protocol):
    """State that belongs to the views' side and outlives one trace."""

    def stream_buffer(self) -> EventSink:
        """Return the ring of the last rows."""

    def recorder(self) -> RecordingController | None:
        """Return the recorder, None when there is none."""

    def stream_sequencer(self) -> Sequencer:
        """Return the one monotonic row numbering."""

    def filter_epoch(self) -> int:
        """Return the filter generation rows are stamped with."""


@runtime_checkable
class TraceRuntimeBindings(RuntimePublisher, RuntimeState, Protocol):
    """What a starter is handed."""

"""The contracts between the tracing engine and the views: read this page first.

Data flows one way: an engine produces `EventBatch`es, the session stamps them and feeds the sinks, views pull
snapshots from the sinks. Nothing below imports either side.

Threads: sinks are fed by one thread (the session's pump) and read by any; each call is atomic. Nothing here blocks
longer than a copy takes, but `TraceStarter` and what its docstring names. A method that cannot do its work raises an
`ior_nb.errors.IorError`; nothing is reported by a return value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ior_nb.runtime.batch import EventBatch
from ior_nb.runtime.filter import Filter
from ior_nb.runtime.statistics import Snapshot
from ior_nb.runtime.values import ProbeState, SnapshotNode

__all__ = [
    "Configurator",
    "EventIngester",
    "EventSink",
    "FilterControl",
    "LiveTrieSource",
    "ProbeManager",
    "RecordingController",
    "RuntimePublisher",
    "RuntimeState",
    "Sequencer",
    "SnapshotSource",
    "Snapshotter",
    "StreamSource",
    "TraceRuntimeBindings",
    "TraceStarter",
]


@runtime_checkable
class TraceStarter(Protocol):
    """Starts a trace."""

    def __call__(self, context: Context) -> None:
        """Start; return when start-up succeeded. Long work goes on in the background.

        Raises:
            SourceError: start-up failed; nothing is left running.
        """


@runtime_checkable
class StreamSource(Protocol):
    """Read side of the live stream."""

    def __len__(self) -> int:
        """Rows held now."""

    def snapshot(self) -> EventBatch:
        """Return the rows, oldest first: a copy nobody else changes; no rows gives an empty batch."""


@runtime_checkable
class EventSink(StreamSource, Protocol):
    """Read and write side of the live stream."""

    def push(self, batch: EventBatch) -> None:
        """Append rows; the oldest make room."""


@runtime_checkable
class SnapshotSource(Protocol):
    """Read side of the statistics."""

    def snapshot(self) -> Snapshot | None:
        """Return the statistics, None without an engine. An exception: keep showing the last good one."""


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
class ProbeManager(Protocol):
    """Which system calls are traced, live. An unknown syscall or a closed manager raises."""

    def states(self) -> list[ProbeState]:
        """Return every syscall's state, by name."""

    def toggle(self, syscall: str) -> None:
        """Switch one on or off."""

    def set_active(self, syscalls: Iterable[str], *, active: bool) -> None:
        """Switch several on or off, in one step."""

    def set_family(self, family: str, *, active: bool) -> None:
        """Switch a whole family on or off."""

    def set_rate(self, syscall: str, rate: int) -> None:
        """Sample a syscall, or all of a family: 1 records all, N one in N, 0 counts only."""

    def active_count(self) -> tuple[int, int]:
        """Return how many are on, and how many there are."""


@runtime_checkable
class FilterControl(Protocol):
    """The filter of the whole session, with undo."""

    def parse(self, text: str) -> Filter:
        """Return the filter of a text; FilterSyntaxError says where it is wrong."""

    def set(self, filter: Filter, label: str = "") -> bool:  # noqa: A002 - the field's own word
        """Make it the active one; False when it already is."""

    def undo(self) -> bool:
        """Go back one; False when there is none."""


@runtime_checkable
class RecordingController(Protocol):
    """The recorder's surface."""

    def start(self, path: str | Path, *, metadata: Any = ..., generated: bool = ..., block: bool = ...) -> None:
        """Begin a recording; RecordingError when the path cannot be written."""

    def record(self, batch: EventBatch) -> None:
        """Hand over rows."""

    def stop(self) -> Path | None:
        """Finish and publish; return where."""

    def status(self) -> Any:
        """Return what is going on."""


@runtime_checkable
class Sequencer(Protocol):
    """The one numbering of rows."""

    def take(self, count: int) -> int:
        """Reserve `count` numbers in a row; return the first."""


@runtime_checkable
class RuntimePublisher(Protocol):
    """The write side a trace starter calls to put its live objects into the open views."""

    def set_dashboard_snapshot_source(self, source: SnapshotSource | None) -> None:
        """Publish the statistics."""

    def set_event_stream_source(self, source: StreamSource | None) -> None:
        """Publish the stream."""

    def set_live_trie(self, trie: LiveTrieSource | None) -> None:
        """Publish the flame trie."""

    def set_probe_manager(self, manager: ProbeManager | None) -> None:
        """Publish the probe control."""

    def set_live_filter_setter(self, setter: Callable[[Filter, int], None] | None) -> None:
        """Publish how a new filter is put into the running pipeline, probes untouched; None unregisters."""


@runtime_checkable
class RuntimeState(Protocol):
    """State the session owns and that outlives one trace."""

    def stream_buffer(self) -> EventSink:
        """Return the ring the stream view reads."""

    def recorder(self) -> RecordingController | None:
        """Return the recorder, None when there is none."""

    def stream_sequencer(self) -> Sequencer:
        """Return the one monotonic row numbering."""

    def filter_epoch(self) -> int:
        """Return the filter generation rows are stamped with."""


@runtime_checkable
class TraceRuntimeBindings(RuntimePublisher, RuntimeState, Protocol):
    """What a starter is handed."""

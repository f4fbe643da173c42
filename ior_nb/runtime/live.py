"""What a dashboard is given: the read side of what a `RuntimePublisher` published, and the few things a view may ask.

Panels know these contracts and nothing else. Any thread may call any method: the ticker's thread, or the one in which
the kernel handles a click. A method that cannot do its work raises an `ior_nb.errors.IorError`, whose text is for the
user.

Three sources have more members here than `contracts` asks of a published object. Where a published object lacks them,
the session makes them from those it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ior_nb.runtime.batch import EventBatch
from ior_nb.runtime.contracts import LiveTrieSource, ProbeManager, SnapshotSource, StreamSource
from ior_nb.runtime.filter import Filter
from ior_nb.runtime.shown import (
    FlameChoices,
    FlameColumns,
    Frame,
    PageState,
    RecordingState,
    Suggestion,
    Task,
    TraceState,
)

__all__ = [
    "FilterControl",
    "FlameSource",
    "LiveRuntime",
    "ProbeControl",
    "RecordingControl",
    "StreamTail",
    "TraceControl",
]


@runtime_checkable
class StreamTail(StreamSource, Protocol):
    """The live stream, and what came since a view looked last."""

    def tail(self, after: int) -> tuple[EventBatch, int]:
        """Return the rows pushed after the first `after` ones (-1: all that are held), and how many were ever pushed.

        A count smaller than `after` says that the stream began anew: all rows are returned then.
        """


@runtime_checkable
class FlameSource(LiveTrieSource, Protocol):
    """The flame trie, as columns too, with what it can be asked for and a second metric."""

    def choices(self) -> FlameChoices:
        """Return what fields, metrics and orders there are."""

    @property
    def height_field(self) -> str:
        """The second metric, empty for none."""

    def set_height_field(self, name: str) -> None:
        """Set the second metric and start a fresh baseline; nothing happens for the same one."""

    def snapshot_columns(self, min_share: float = ..., limit: int = ..., focus: Sequence[Frame] = ...) -> FlameColumns:
        """Return the nodes of at least that share, `limit` at most, more of them below the frames in `focus`."""


@runtime_checkable
class ProbeControl(ProbeManager, Protocol):
    """The probes, several at a time and with their sampling."""

    def set_active(self, syscalls: Iterable[str], *, active: bool) -> None:
        """Switch several on or off, in one step."""

    def set_family(self, family: str, *, active: bool) -> None:
        """Switch a whole family on or off."""

    def set_rate(self, syscall: str, rate: int) -> None:
        """Sample a system call, or all of a family: 1 records all, N one in N, 0 counts only."""


@runtime_checkable
class FilterControl(Protocol):
    """The filter of the whole dashboard, with its text form and its history."""

    @property
    def active(self) -> Filter:
        """The filter in force."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What each change was, oldest first; `undo` takes back the last one."""

    def parse(self, text: str) -> Filter:
        """Return the filter of a text; FilterSyntaxError says where it is wrong."""

    def text(self, filter: Filter) -> str:  # noqa: A002 - the field's own word
        """Return the text form; empty for no filter."""

    def set(self, filter: Filter, label: str = "") -> bool:  # noqa: A002 - the field's own word
        """Make it the active one; False when it already is."""

    def undo(self) -> bool:
        """Go back one; False when there is none."""

    def suggest(self, text: str, position: int) -> Sequence[Suggestion]:
        """Return what may stand at the cursor, the likeliest first."""


@runtime_checkable
class RecordingControl(Protocol):
    """Recordings of the session."""

    def start(self, path: str = "") -> Path:
        """Write every row from now on to a Parquet file; without a name, to a new one in the working directory."""

    def stop(self) -> Path | None:
        """Finish the recording; return the file."""

    def status(self) -> RecordingState:
        """Return what is going on."""


@runtime_checkable
class TraceControl(Protocol):
    """Begin and end a trace from a view."""

    def state(self) -> TraceState:
        """Return what is going on."""

    def start(self, pid: int = 0, tid: int = 0, *, system: bool = False, families: Sequence[str] = ()) -> None:
        """Trace a process and its children (0: this one), one thread, or the whole machine."""

    def stop(self) -> None:
        """End the trace; what was seen stays."""

    def reset(self) -> None:
        """Begin the aggregates anew; the stream stays."""

    def choose(self, host: str) -> None:
        """Show one of the trace's hosts; empty for all."""

    def tasks(self, pid: int = 0) -> Sequence[Task]:
        """Return the processes, this one first; with `pid` the threads of that process."""

    def pages(self, paths: Sequence[str]) -> Mapping[str, PageState]:
        """Return what is known of pages of these files now; each is looked at, so they should be few."""

    def export(self, path: str) -> Path:
        """Write the rows that the filter in force accepts to a file, the format by the ending."""


@runtime_checkable
class LiveRuntime(Protocol):
    """All a dashboard is given. A source is None until one was published; a run that ended leaves its last ones."""

    @property
    def filters(self) -> FilterControl:
        """The filter of the whole dashboard."""

    @property
    def recording(self) -> RecordingControl:
        """The recorder."""

    @property
    def control(self) -> TraceControl:
        """The trace itself."""

    def statistics(self) -> SnapshotSource | None:
        """Return the statistics."""

    def stream(self) -> StreamTail:
        """Return the last rows that the filter in force accepts, and warnings."""

    def trie(self) -> FlameSource | None:
        """Return the flame trie."""

    def probes(self) -> ProbeControl | None:
        """Return the probe control; None when no trace runs."""

    def update(self) -> None:
        """Bring the sources up to date. The ticker calls this before it refreshes the panels that somebody looks at."""

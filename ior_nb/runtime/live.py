"""What a dashboard is given: the read side of what a `RuntimePublisher` publishes, and the few things a view may ask.

Panels know these contracts and nothing else. Every method may be called from any thread: the ticker's, or the one the
kernel handles a click in. What cannot be done raises an `ior_nb.errors.IorError`, whose text is for the user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from ior_nb.runtime.batch import EventBatch
from ior_nb.runtime.contracts import FilterControl, LiveTrieSource, ProbeManager, SnapshotSource, StreamSource
from ior_nb.runtime.filter import Filter
from ior_nb.runtime.statistics import Snapshot
from ior_nb.runtime.values import Accounting

__all__ = [
    "FilterEditor",
    "FlameChoices",
    "FlameColumns",
    "FlameSource",
    "LiveRuntime",
    "RankedStatistics",
    "RecordingControl",
    "RecordingState",
    "StreamTail",
    "Suggestion",
    "Task",
    "TraceControl",
    "TraceState",
]


class FlameColumns(NamedTuple):
    """Visible nodes of a flame trie as arrays of one length, the root first, then depth first; siblings by name.

    Numbers are int64: cast those a browser draws to float64, for plotly sends int64 as text.
    """

    ids: np.ndarray
    """Of 53 bits, made from the names on the way to the node: the same in every refresh. The root's is 0."""
    parents: np.ndarray
    """Id of the parent, -1 for the root."""
    labels: np.ndarray
    """Names: strings. Traced text, never markup."""
    values: np.ndarray
    """Own value, without children's."""
    totals: np.ndarray
    """Value of the subtree, hidden nodes included: at least the sum of the children's."""
    heights: np.ndarray
    """Subtree total of the height metric, 0 without one."""
    version: int
    """The version the data belongs to."""


class FlameChoices(NamedTuple):
    """What a flame trie can be asked for."""

    fields: Mapping[str, str]
    """What frames can be: name -> meaning."""
    metrics: Mapping[str, str]
    """What widths and heights can mean: name -> unit (`ns`, `bytes`, empty for calls)."""
    presets: Sequence[Sequence[str]]
    """Orders of fields worth offering."""


@runtime_checkable
class FlameSource(LiveTrieSource, Protocol):
    """The flame trie as a view wants it: columns, and a second metric."""

    def choices(self) -> FlameChoices:
        """Return what fields, metrics and orders there are."""

    @property
    def height_field(self) -> str:
        """The second metric, empty for none."""

    def set_height_field(self, name: str) -> None:
        """Set the second metric and start a fresh baseline; nothing happens for the same one."""

    def snapshot_columns(self, min_share: float = ..., limit: int = ..., focus: Sequence[str] = ...) -> FlameColumns:
        """Return the nodes of at least that share, `limit` at most, more of them below the frames named in `focus`."""


@runtime_checkable
class RankedStatistics(SnapshotSource, Protocol):
    """The statistics as a view wants them: with the rows that are highest by what it shows."""

    def snapshot(self, *, top: int | None = None, by: str = "count") -> Snapshot | None:
        """Return the statistics, with `top` files, directories and processes (None: the usual number).

        Args:
            top: how many rows of each; the rest is in a row `other`.
            by: `count`, `bytes` or `latency`: what decides which they are.
        """


@runtime_checkable
class StreamTail(StreamSource, Protocol):
    """The live stream as a view wants it: what came since it looked last."""

    def tail(self, after: int) -> tuple[EventBatch, int]:
        """Return the rows pushed after the first `after` ones (-1: all that are held), and how many were ever pushed.

        A count smaller than `after` says that the stream began anew: all rows are returned then.
        """


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One way to go on in a filter being typed: replace `start` up to the cursor by `text`."""

    text: str
    start: int
    kind: str
    """`dimension`, `operator`, `value`, `unit` or `keyword`."""
    doc: str = ""
    """What it means, in one line."""


@runtime_checkable
class FilterEditor(FilterControl, Protocol):
    """The filter of the whole dashboard, with its text form and its history."""

    @property
    def active(self) -> Filter:
        """The filter in force."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What each change was, oldest first; `undo` takes back the last one."""

    def text(self, filter: Filter) -> str:  # noqa: A002 - the field's own word
        """Return the text form; empty for no filter."""

    def suggest(self, text: str, position: int) -> Sequence[Suggestion]:
        """Return what may stand at the cursor, the likeliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingState:
    """What the recorder does, or how its last recording went."""

    active: bool = False
    """Whether rows are being written."""
    path: str = ""
    """The file; empty where there is none."""
    rows: int = 0
    """Rows that are safely in it."""
    dropped: int = 0
    """Rows missing in it."""
    size: int = 0
    """Bytes written."""
    error: str = ""
    """What ended it early; empty when nothing did."""


@runtime_checkable
class RecordingControl(Protocol):
    """Recordings of the session."""

    def start(self, path: str = "") -> Path:
        """Write every row from now on to a Parquet file; without a name, to a new one in the working directory."""

    def stop(self) -> Path | None:
        """Finish the recording; return the file."""

    def status(self) -> RecordingState:
        """Return what is going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A process or a thread one may trace."""

    pid: int
    tid: int
    """The thread; equal to `pid` for the process itself."""
    comm: str
    """Raw name: escape it before it is shown."""
    command: str = ""
    """Raw command line; empty for threads."""
    uid: int = 0
    """Its user."""
    own: bool = False
    """Whether it is the process the dashboard runs in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceState:
    """What is being traced now, or was last."""

    running: bool = False
    """Whether a trace runs."""
    title: str = ""
    """Whose calls, in words; empty when nothing has been traced yet. Raw: escape it."""
    engine: str = ""
    """Name of the engine."""
    rows: int = 0
    """Rows so far."""
    elapsed_s: float = 0.0
    """How long it has run, or ran."""
    accounting: Accounting = field(default_factory=Accounting)
    """Where the calls went."""
    notes: tuple[str, ...] = ()
    """What the user should know, as `demo data: made up, nothing was traced`. Raw: escape them."""
    warnings: int = 0
    """Warning rows in the stream."""
    origin_ns: int = 0
    """When it began, on the clock of the rows; 0 where that is not known."""
    counted_s: float = 0.0
    """For how long statistics and flame graph have been counting, since a reset or another filter; 0: all the time."""
    fixed: bool = False
    """Whether only this finished trace is shown, and nothing can be started from here."""


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

    def tasks(self, pid: int = 0) -> Sequence[Task]:
        """Return the processes, this one first; with `pid` the threads of that process."""

    def export(self, path: str) -> Path:
        """Write the rows to a file, the format by the ending: the trace's where it has ended, else the stream's."""


@runtime_checkable
class LiveRuntime(Protocol):
    """All a dashboard is given. A source is None until there is one; a run that ended leaves its last ones."""

    @property
    def filters(self) -> FilterEditor:
        """The filter of the whole dashboard."""

    @property
    def recording(self) -> RecordingControl:
        """The recorder."""

    @property
    def control(self) -> TraceControl:
        """The trace itself."""

    def statistics(self) -> RankedStatistics | None:
        """Return the statistics."""

    def stream(self) -> StreamTail:
        """Return the last rows, those the filter in force accepts, and warnings."""

    def trie(self) -> FlameSource | None:
        """Return the flame trie."""

    def probes(self) -> ProbeManager | None:
        """Return the probe control; None when no trace runs."""

    def look(self) -> None:
        """Somebody looks: called by the ticker before panels are refreshed. Keeps the sources up to date."""

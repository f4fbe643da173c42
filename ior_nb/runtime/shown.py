"""Small frozen values that views show, and what a view is told when it asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ior_nb.errors import RecordingError
from ior_nb.runtime.completeness import Completeness
from ior_nb.runtime.progress import Step

__all__ = [
    "FOLDED",
    "ROOT",
    "UNTOLD",
    "FlameChoices",
    "FlameColumns",
    "Frame",
    "PageState",
    "RecordingState",
    "Suggestion",
    "Task",
    "TraceState",
]


ROOT: Final = -1
FOLDED: Final = -2
UNTOLD: Final = -3
"""Where a trie does not tell which field a frame is of."""

Frame = tuple[str, str]
"""A frame of a flame graph as a view names it: its field (empty where it has none), and its name."""


class FlameColumns(NamedTuple):
    """Visible nodes of a flame trie as arrays of one length, the root first, then depth first; siblings by name.

    Numbers are int64: cast those a browser draws to float64, for plotly sends int64 as text.
    """

    ids: np.ndarray
    """A node has the same id in every refresh: it is made from the names on the way to the node. The root has 0. Ids
    have 53 bits, for that is what a number of a browser holds."""
    parents: np.ndarray
    """Id of the parent, -1 for the root."""
    labels: np.ndarray
    """Names: strings. Traced text, never markup."""
    fields: np.ndarray
    """Which of the trie's fields a frame is of: its place among them, `ROOT` for the root, `FOLDED` for a leaf that
    stands for small frames; int8."""
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


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One way to go on in a filter being typed: replace `start` up to the cursor by `text`."""

    text: str
    start: int
    kind: str
    """`dimension`, `operator`, `value`, `unit` or `keyword`."""
    doc: str = ""
    """What it means, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageState:
    """What is known of a file's pages in memory, in bytes."""

    cached: int = -1
    """In the page cache now; -1 where the kernel does not tell, or not us."""
    dirtied: int = 0
    """Made dirty by calls and mapped memory of the trace."""
    written: int = 0
    """What a device has taken since."""
    pending: int = 0
    """Still to be written."""
    never: int = 0
    """Of a file that was deleted before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingState:
    """What a recorder is doing, or how its last recording went."""

    active: bool = False
    """Whether rows are being taken."""
    path: Path | None = None
    """The file's name: the intended one while recording, then the real one; None where there is no file."""
    requested_path: Path | None = None
    """The name that was asked for, absolute and with `.parquet` at its end."""
    temporary_path: Path | None = None
    """Where the rows are while recording; afterwards only if that file could not be given its name."""
    rows_written: int = 0
    """Rows in finished row groups: these survive when the program is killed."""
    rows_dropped: int = 0
    """Rows missing in the recording, because the queue was full or writing failed."""
    bytes_written: int = 0
    """Size of what has been written."""
    error: RecordingError | None = None
    """What ended the recording early, or kept it from its name. Stays here when it has been delivered."""


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
    completeness: Completeness = field(default_factory=Completeness)
    """Where the calls went, and what the rows lack."""
    notes: tuple[str, ...] = ()
    """What the user should know, as `demo data: made up, nothing was traced`. Raw: escape them."""
    warnings: int = 0
    """Warning rows in the stream."""
    origin_ns: int = 0
    """When it began, on the clock of the rows; 0 where that is not known."""
    counted_s: float = 0.0
    """For how long statistics and flame graph have been counting, since a reset or another filter; 0: all the time."""
    hosts: tuple[str, ...] = ()
    """Where it runs, when that is several hosts of which one may be chosen. Raw: escape them."""
    host: str = ""
    """The one that is shown; empty for all of them."""
    fixed: bool = False
    """Whether only this trace is ever shown, and none can be started, stopped or reset from here."""
    counting: Step | None = None
    """How much of it the panels show so far, where that is not all yet."""
    paused: bool = False
    """Whether that stays so until somebody has it count on."""

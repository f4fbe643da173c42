"""What the client of a cluster and its hosts tell one another about a trace, as values that are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ior_nb.dask.places import Key
from ior_nb.errors import IorError
from ior_nb.runtime import Accounting
from ior_nb.runtime.text import show_count, show_ns
from ior_nb.session.plan import Request

__all__ = [
    "LATE",
    "TASKS",
    "Found",
    "Order",
    "Report",
    "Shown",
    "Successor",
    "by_place",
    "of_users",
    "topic",
    "words_of",
]

LATE: Final = "ior-nb-late-"
TASKS: Final = "ior-nb-tasks-"
"""What the names of the plugins begin with; the run follows."""


def topic(run: str) -> str:
    """Return where the scheduler keeps what hosts tell before they are asked."""
    return f"ior-nb-{run}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a host is asked to do."""

    run: str
    """What tells this trace from others of the cluster."""
    folder: str
    """Where the recordings go."""
    token: str
    """Name of a file there, by which a host knows whether it has the same folder."""
    engine: str = "auto"
    wanted: Request
    """What each host traces, but for whom."""
    pids: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The processes each collector is for, by the place."""


@dataclass(frozen=True, slots=True)
class Found:
    """A process that holds nannies, or a worker without one."""

    host: str
    """Its name as users know it."""
    place: str
    """What is the same for all processes that one collector can trace."""
    pid: int
    user: int
    nanny: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a host shows while it is traced, and last when that has ended."""

    place: str
    """Where its processes are; see `places.place`."""
    sheet: bytes
    tree: bytes
    """Both as `runtime.sheet` sends them."""
    elapsed_ns: int
    accounting: Accounting
    engine: str
    ahead_ns: int
    """The scheduler's wall clock less the clock of the rows here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a host."""

    host: str
    place: str
    """Where its processes are; see `places.place`."""
    pid: int
    """The process the collector was begun in."""
    problem: str = ""
    """What went wrong; empty when all went well."""
    engine: str = ""
    path: str = ""
    """Where its recording is: in the folder, or on that host."""
    shared: bool = True
    """Whether that host has the same folder, and may write there."""
    size: int = 0
    rows: int = 0
    with_task: int = 0
    tasks: int = 0
    """Tasks that have a thread and a time."""
    workers: tuple[str, ...] = ()
    """Addresses of workers that have noted their tasks."""
    unstamped: tuple[str, ...] = ()
    """Tasks that have run, and whose calls nobody knows."""
    accounting: Accounting = field(default_factory=Accounting)
    missed: int = 0
    """Tasks nobody had room to note."""
    clock_error_ns: int = -1
    notes: tuple[str, ...] = ()
    after: int = 0
    """The process that traced before this one and has left; 0 for none."""
    late_ns: int = 0
    """How long nobody traced then."""
    left: bool = False
    """Whether it went before the client had it end its trace."""
    spools: str = ""
    """Where its workers note their tasks, on that host."""
    last: Shown | None = field(default=None, repr=False)
    """What it showed in the end."""

    @property
    def key(self) -> Key:
        """Which collector it is of."""
        return self.place, self.pid

    def line(self) -> str:
        """Return it in a line; raw."""
        if self.problem:
            return f"{self.host}: {self.problem}"
        parts = [f"{self.host}: {self.accounting.line()}", show_count(self.tasks, "task")]
        if many := len(self.unstamped):
            names = self.unstamped[0] + (", ..." if many > 1 else "")
            parts.append(f"{show_count(many, 'task')} whose calls are not told apart ({names})")
        if self.missed:
            parts.append(f"{show_count(self.missed, 'task')} there was no room to note")
        return "; ".join([*parts, *self.notes])


@dataclass(frozen=True, slots=True)
class Successor:
    """A collector that goes on where another one's process has left."""

    address: str
    """Of the process it was begun in."""
    report: Report

    @property
    def before(self) -> Key:
        """Which collector it goes on for."""
        return self.report.place, self.report.after

    def line(self) -> str:
        """Return what there is to say of it."""
        return f"process {self.report.pid} went on {show_ns(self.report.late_ns)} later"


def by_place(found: Mapping[str, Found]) -> dict[str, list[tuple[str, Found]]]:
    """Return the processes that one collector can trace, with their addresses; those with nannies first."""
    places: dict[str, list[tuple[str, Found]]] = {}
    for address, one in sorted(found.items(), key=lambda known: not known[1].nanny):
        places.setdefault(one.place, []).append((address, one))
    return places


def of_users(there: Sequence[tuple[str, Found]]) -> list[tuple[str, Found]]:
    """Return the first process of each user: one may trace where another may not."""
    users: dict[int, tuple[str, Found]] = {}
    for address, one in there:
        users.setdefault(one.user, (address, one))
    return list(users.values())


def words_of(error: object) -> str:
    """Return what went wrong in words: of ours what they say, of others what they are as well."""
    if isinstance(error, ModuleNotFoundError):
        return f"ior-nb is not installed there ({error})"
    return str(error) if isinstance(error, IorError) else f"{type(error).__name__}: {error}"

"""The pairs (contract, class that satisfies it): mypy checks them below, the test at run time."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import pytest

from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.contract import Engine
from ior_nb.engine.counters import CountersEngine
from ior_nb.engine.demo import DemoEngine
from ior_nb.engine.replay import ReplayEngine
from ior_nb.engine.stopping import PtraceEngine, StraceEngine
from ior_nb.export.arrow import columns
from ior_nb.globalfilter import Filters
from ior_nb.runtime import (
    Configurator,
    EventIngester,
    EventSink,
    FilterControl,
    FlameSource,
    LiveRuntime,
    LiveTrace,
    LiveTrieSource,
    ProbeControl,
    ProbeManager,
    RecordingControl,
    RecordingController,
    RuntimePublisher,
    RuntimeState,
    Sequencer,
    SheetSource,
    SnapshotSource,
    Snapshotter,
    StreamSource,
    StreamTail,
    TraceControl,
    TraceRuntimeBindings,
    TraceStarter,
    TreeSource,
)
from ior_nb.session.bindings import Bindings
from ior_nb.session.controls import Control, Recording
from ior_nb.session.desk import Desk
from ior_nb.session.past import Past
from ior_nb.session.probemanager import Manager
from ior_nb.session.run import Run
from ior_nb.session.session import TracerSession, View
from ior_nb.sinks.flamegraph import LiveTrie
from ior_nb.sinks.parquet import Recorder
from ior_nb.sinks.statsengine import Statistics
from ior_nb.sinks.streamrow import Passing, RingBuffer
from ior_nb.sinks.streamrow import Sequencer as RowSequencer
from ior_nb.widgets.dashboard import Dashboard
from tests.fakes import FakeEngine

PAIRS: list[tuple[Any, type]] = [
    (TraceStarter, Run),
    (TraceStarter, Past),
    (LiveTrace, Run),
    (LiveTrace, Past),
    (StreamSource, RingBuffer),
    (StreamTail, RingBuffer),
    (StreamTail, Passing),
    (EventSink, RingBuffer),
    (Sequencer, RowSequencer),
    (EventIngester, Statistics),
    (SnapshotSource, Statistics),
    (SheetSource, Statistics),
    (Snapshotter, LiveTrie),
    (Configurator, LiveTrie),
    (LiveTrieSource, LiveTrie),
    (FlameSource, LiveTrie),
    (TreeSource, LiveTrie),
    (ProbeManager, Manager),
    (ProbeControl, Manager),
    (RecordingController, Recorder),
    (RecordingControl, Recording),
    (TraceControl, Control),
    (FilterControl, Filters),
    (RuntimePublisher, Bindings),
    (RuntimeState, Bindings),
    (TraceRuntimeBindings, Bindings),
    (TraceRuntimeBindings, TracerSession),
    (LiveRuntime, Desk),
    (View, Dashboard),
    (Engine, BccEngine),
    (Engine, CountersEngine),
    (Engine, DemoEngine),
    (Engine, ReplayEngine),
    (Engine, StraceEngine),
    (Engine, PtraceEngine),
    (Engine, FakeEngine),
]


def _checked_by_mypy(run: Run, past: Past, desk: Desk, dashboard: Dashboard) -> tuple[object, ...]:
    starters: list[TraceStarter] = [run, past]
    live: list[LiveTrace] = [run, past]
    tails: list[StreamTail] = [RingBuffer(), Passing(RingBuffer())]
    sink: EventSink = RingBuffer()
    numbers: Sequencer = RowSequencer()
    ingester: EventIngester = Statistics()
    statistics: SnapshotSource = Statistics()
    sheets: SheetSource = Statistics()
    recorder: RecordingController = Recorder(to_arrow=columns)
    bindings: list[TraceRuntimeBindings] = [Bindings(), TracerSession()]
    trie: FlameSource = LiveTrie()
    trees: TreeSource = LiveTrie()
    probes: ProbeControl = Manager((), {}, lambda enabled, rates: None)
    runtime: LiveRuntime = desk
    view: View = dashboard
    engines: list[Engine] = [BccEngine(), StraceEngine(), PtraceEngine(), CountersEngine(), DemoEngine(), FakeEngine()]
    return (
        starters,
        live,
        tails,
        sink,
        numbers,
        ingester,
        statistics,
        sheets,
        recorder,
        bindings,
        trie,
        trees,
        probes,
        runtime,
        (
            view,
            engines,
        ),
    )


def faults(contract: Any, concrete: type) -> list[str]:
    """Return where a class falls short of a contract: no member, no value, or other arguments."""
    found = []
    for base in contract.__mro__:
        if base is object or not getattr(base, "_is_protocol", False):
            continue
        for name, member in vars(base).items():
            if isinstance(member, property):
                given = inspect.getattr_static(concrete, name, None)
                annotated = any(name in vars(kind).get("__annotations__", {}) for kind in concrete.__mro__)
                if inspect.isroutine(given) or (given is None and not annotated):
                    found.append(f"{name} is no value")
            elif inspect.isfunction(member) and (not name.startswith("_") or name in ("__len__", "__call__")):
                method = inspect.getattr_static(concrete, name, None)
                if not inspect.isfunction(method):
                    found.append(f"{name} is no method")
                elif not _takes(inspect.signature(method), inspect.signature(member)):
                    found.append(f"{name} takes other arguments")
    return found


def _takes(given: inspect.Signature, wanted: inspect.Signature) -> bool:
    """Tell whether every call that the contract allows is one that the method takes."""
    parameters = list(wanted.parameters.values())[1:]
    placed = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    named = {p.name: p for p in parameters}
    needed = {name: p for name, p in named.items() if p.default is p.empty}
    calls: list[tuple[list[Any], dict[str, Any]]] = [
        ([], named),
        ([], needed),
        (list(placed), {name: p for name, p in named.items() if p not in placed}),
    ]
    for positional, by_name in calls:
        try:
            given.bind(None, *positional, **by_name)
        except TypeError:
            return False
    return True


@pytest.mark.parametrize(("contract", "concrete"), PAIRS, ids=lambda value: value.__name__)
def test_class_satisfies_its_contract(contract: Any, concrete: type) -> None:
    """Every member of the contract is there, values as values and methods with the contract's arguments."""
    assert faults(contract, concrete) == []


class Small(Protocol):
    """A contract to fall short of."""

    @property
    def version(self) -> int:
        """A value."""

    def take(self, count: int, *, top: int = ...) -> int:
        """A method."""


class _Right:
    version = 3

    def take(self, count: int, *, top: int = 1, more: str = "") -> int:
        return count


class _NoValue:
    def take(self, count: int, *, top: int = 1) -> int:
        return count


class _Method(_Right):
    def version(self) -> int:  # type: ignore[override]
        return 3


class _OtherName(_Right):
    def take(self, number: int, *, top: int = 1) -> int:  # type: ignore[override]
        return number


class _NeedsMore(_Right):
    def take(self, count: int, *, top: int) -> int:  # type: ignore[override]
        return count


class _AsksMore(_Right):
    def take(self, count: int, size: int, *, top: int = 1) -> int:  # type: ignore[override]
        return count


class _NoMethod:
    version = 3
    take = 4


@pytest.mark.parametrize(
    ("concrete", "expected"),
    [
        (_Right, []),
        (_NoValue, ["version is no value"]),
        (_Method, ["version is no value"]),
        (_OtherName, ["take takes other arguments"]),
        (_NeedsMore, ["take takes other arguments"]),
        (_AsksMore, ["take takes other arguments"]),
        (_NoMethod, ["take is no method"]),
    ],
)
def test_the_check_sees_what_falls_short(concrete: type, expected: list[str]) -> None:
    """A value that is missing or a method, and a method that takes other arguments than the contract's, are found."""
    assert faults(Small, concrete) == expected


def test_engines_have_no_arguments_of_their_own() -> None:
    """Every method of an engine has exactly the contract's arguments: the session knows no others."""
    for engine in (BccEngine, StraceEngine, PtraceEngine, DemoEngine, ReplayEngine, FakeEngine):
        for name, member in vars(Engine).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                wanted, given = (list(inspect.signature(m).parameters) for m in (member, getattr(engine, name)))
                assert given == wanted, f"{engine.__name__}.{name}"

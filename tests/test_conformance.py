"""The pairs (contract, class that satisfies it): mypy checks them below, the test at run time."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ior_nb.engine.bcc import BccEngine
from ior_nb.engine.contract import Engine as EngineContract
from ior_nb.engine.demo import DemoEngine
from ior_nb.engine.replay import ReplayEngine
from ior_nb.export.arrow import record_batch
from ior_nb.flamegraph import LiveTrie
from ior_nb.globalfilter import Filters
from ior_nb.parquet import Recorder
from ior_nb.probemanager import Manager
from ior_nb.run import Run
from ior_nb.runtime import (
    Configurator,
    EventIngester,
    EventSink,
    FilterControl,
    LiveTrieSource,
    ProbeManager,
    RecordingController,
    RuntimePublisher,
    RuntimeState,
    Sequencer,
    SnapshotSource,
    Snapshotter,
    StreamSource,
    TraceRuntimeBindings,
    TraceStarter,
)
from ior_nb.session import TracerSession
from ior_nb.statsengine import Engine
from ior_nb.streamrow import RingBuffer
from ior_nb.streamrow import Sequencer as RowSequencer
from tests.fakes import FakeEngine

PAIRS: list[tuple[Any, type]] = [
    (Snapshotter, LiveTrie),
    (Configurator, LiveTrie),
    (LiveTrieSource, LiveTrie),
    (ProbeManager, Manager),
    (FilterControl, Filters),
    (TraceStarter, Run),
    (StreamSource, RingBuffer),
    (EventSink, RingBuffer),
    (Sequencer, RowSequencer),
    (EventIngester, Engine),
    (SnapshotSource, Engine),
    (RecordingController, Recorder),
    (RuntimePublisher, TracerSession),
    (RuntimeState, TracerSession),
    (TraceRuntimeBindings, TracerSession),
]


def _checked_by_mypy(run: Run) -> tuple[object, ...]:
    starter: TraceStarter = run
    source: StreamSource = RingBuffer()
    sink: EventSink = RingBuffer()
    numbers: Sequencer = RowSequencer()
    ingester: EventIngester = Engine()
    statistics: SnapshotSource = Engine()
    recorder: RecordingController = Recorder(to_arrow=record_batch)
    bindings: TraceRuntimeBindings = TracerSession()
    trie: LiveTrieSource = LiveTrie()
    probes: ProbeManager = Manager((), {}, lambda enabled, rates: None)
    filters: FilterControl = TracerSession().filters
    return starter, source, sink, numbers, ingester, statistics, recorder, bindings, trie, probes, filters


@pytest.mark.parametrize(("contract", "concrete"), PAIRS, ids=lambda value: value.__name__)
def test_class_satisfies_its_contract(contract: Any, concrete: type) -> None:
    """Every member of the contract is there and takes the contract's arguments."""
    members = {
        name: member
        for base in contract.__mro__
        for name, member in vars(base).items()
        if callable(member)
        and (not name.startswith("_") or name in ("__len__", "__call__"))
        and base is not object
        and getattr(base, "_is_protocol", False)
    }

    assert members
    for name, member in members.items():
        wanted = list(inspect.signature(member).parameters.values())
        given = inspect.signature(getattr(concrete, name)).parameters
        assert {p.name for p in wanted} <= set(given), f"{concrete.__name__}.{name} lacks an argument"
        required = {p.name for p in given.values() if p.default is p.empty and p.kind is not p.VAR_POSITIONAL}
        assert required <= {p.name for p in wanted}, f"{concrete.__name__}.{name} needs more than the contract gives"


ENGINES: list[type[EngineContract]] = [BccEngine, DemoEngine, ReplayEngine, FakeEngine]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)
def test_engines_have_the_same_surface(engine: type) -> None:
    """Every member of the contract is there, and every method has exactly the contract's arguments."""
    members = {name: member for name, member in vars(EngineContract).items() if not name.startswith("_")}

    assert "start" in members
    for name, member in members.items():
        assert hasattr(engine, name), f"{engine.__name__} has no {name}"
        if callable(member):
            wanted, given = (list(inspect.signature(m).parameters) for m in (member, getattr(engine, name)))
            assert given == wanted, f"{engine.__name__}.{name}"

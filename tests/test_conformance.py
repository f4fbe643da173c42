"""The pairs (contract, class that satisfies it): mypy checks them below, the test at run time."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ior_nb.export.arrow import record_batch
from ior_nb.parquet import Recorder
from ior_nb.run import Run
from ior_nb.runtime import (
    EventSink,
    RecordingController,
    RuntimePublisher,
    RuntimeState,
    Sequencer,
    StreamSource,
    TraceRuntimeBindings,
    TraceStarter,
)
from ior_nb.session import TracerSession
from ior_nb.streamrow import RingBuffer
from ior_nb.streamrow import Sequencer as RowSequencer

PAIRS: list[tuple[Any, type]] = [
    (TraceStarter, Run),
    (StreamSource, RingBuffer),
    (EventSink, RingBuffer),
    (Sequencer, RowSequencer),
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
    recorder: RecordingController = Recorder(to_arrow=record_batch)
    bindings: TraceRuntimeBindings = TracerSession()
    return starter, source, sink, numbers, recorder, bindings


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

"""Every scenario the Go program `ior` is tested with, here: the calls made, and what their rows say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ior_nb.runtime import EventBatch
from ior_nb.session.tracing import trace as ior_trace
from tests.live.conftest import session_on
from tests.live.scenarios.calls import SCENARIOS
from tests.live.scenarios.program import ROOT, command
from tests.live.scenarios.table import ELSEWHERE, NOT_HERE, reference


@pytest.fixture(scope="module")
def ran(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], EventBatch]]:
    """All scenarios, run in one trace: what each says it did, and the rows between its markers."""
    folder = tmp_path_factory.mktemp("scenarios")
    with (
        session_on(engine) as session,
        ior_trace(command=command(folder, *SCENARIOS), session=session, families="all") as trace,
    ):
        pass
    assert trace.returncode == 0
    assert trace.accounting.unaccounted == 0
    batch = trace.batch.take(np.argsort(trace.batch["time_ns"], kind="stable"))
    paths, times = batch.text("path_arg"), batch["time_ns"]
    found = {}
    for line in (folder / "log").read_text().splitlines():
        told = json.loads(line)
        begin, end = (times[paths == f"/ior-nb-scenario/{told['name']}/{which}"][0] for which in ("begin", "end"))
        found[told["name"]] = told, batch.take((times > begin) & (times < end))
    return found


def is_right(row: Any, column: str, wanted: Any) -> bool:
    """Tell whether a row has in a column what the scenario says."""
    if wanted == "any":
        return True
    seen = row[column]
    return bool(seen >= wanted[1]) if isinstance(wanted, list) else bool(seen == wanted)


def differences(call: dict[str, Any], row: Any) -> dict[str, Any]:
    """Return the columns that are not as the scenario says: name -> (meant, seen)."""
    wanted = {name: value for name, value in call.items() if name not in ("tid", "between")}
    return {name: (value, row[name]) for name, value in wanted.items() if not is_right(row, name, value)}


def faults(log: list[dict[str, Any]], batch: EventBatch) -> list[str]:
    """Compare what a scenario did with the rows: one row, and the right one, for each call; "" where they agree."""
    found, times, tids, syscalls = [], batch["time_ns"], batch["tid"], batch.text("syscall")
    free = np.ones(len(batch), bool)
    for call in [call for call in log if call["between"]]:
        inside = (tids == call["tid"]) & (times >= call["between"][0]) & (times <= call["between"][1])
        rows = list(batch.take(inside & (syscalls == call["syscall"])))
        free &= ~inside
        if len(rows) != 1:
            found.append(f"{len(rows)} rows for {call}, but {list(syscalls[inside])}")
        elif wrong := differences(call, rows[0]):
            found.append(f"{call['syscall']}: (meant, seen) {wrong}")
    noted = [call for call in log if not call["between"]]
    for call in noted:
        rows = list(batch.take(free & (tids == call["tid"]) & (syscalls == call["syscall"])))
        right = [row for row in rows if not differences(call, row)]
        if len(right) != noted.count(call):
            found.append(f"{len(right)} rows and not {noted.count(call)} are {call}; there are {rows}")
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_rows_of_a_scenario_are_its_calls(name: str, ran: dict[str, tuple[dict[str, Any], EventBatch]]) -> None:
    """Each call a scenario made is one row, with all the columns the scenario knows."""
    told, batch = ran[name]
    if "not_here" in told:
        return  # nothing to compare: the machine lacks it

    assert told.get("failed") is None
    assert faults(told["log"], batch) == []


def test_every_scenario_of_the_reference_has_its_place() -> None:
    """Each scenario is a function of this folder, has a test elsewhere, or a reason not to apply."""
    tests = {name: test.split("::") for name, test in ELSEWHERE.items()}

    assert sorted(reference()) == sorted({*SCENARIOS, *ELSEWHERE, *NOT_HERE} & set(reference()))
    assert not (SCENARIOS.keys() & ELSEWHERE.keys()) | (SCENARIOS.keys() & NOT_HERE.keys())
    assert [name for name, (file, test) in tests.items() if f"def {test}(" not in (ROOT / file).read_text()] == []

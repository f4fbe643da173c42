"""`auto` is the best engine that works here, and says in a line why it is no better one."""

from __future__ import annotations

import pytest

from ior_nb import errors
from ior_nb.engine import ENGINES
from ior_nb.session.choice import best
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from tests.fakes import FakeEngine, RefusedEngine, refuse_all


@pytest.fixture(autouse=True)
def _without_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IOR_NB_REPLAY", raising=False)


def test_the_first_that_works_is_taken_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first engine works there is nothing to tell."""
    monkeypatch.setattr("ior_nb.engine.bcc.BccEngine", FakeEngine)

    assert best()[1] == ""
    assert next(iter(ENGINES)) == "bcc"


def test_the_next_one_says_in_a_line_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first are refused the next traces, and the result names it, the reasons, and who knows more."""
    monkeypatch.setattr("ior_nb.engine.bcc.BccEngine", RefusedEngine)
    monkeypatch.setattr("ior_nb.engine.serve.ServeEngine", RefusedEngine)
    monkeypatch.setattr("ior_nb.engine.stopping.StraceEngine", FakeEngine)
    with TracerSession() as session, trace(session=session) as t:
        pass

    assert t.engine == "fake"
    cannot = f"cannot ({RefusedEngine.why})"
    assert t.notes[0] == f"strace, for bcc {cannot}; serve {cannot}; see %ior doctor"


def test_where_none_works_each_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in knows why each engine is refused."""
    refuse_all(monkeypatch)
    with TracerSession() as session, pytest.raises(errors.PermissionDenied) as refusal:
        trace(session=session, system=True).__enter__()

    assert f"strace: {RefusedEngine.why}; ptrace: {RefusedEngine.why}" in str(refusal.value)


@pytest.mark.parametrize("name", [name for name, row in ENGINES.items() if row.traces])
def test_an_engine_asked_for_by_name_is_the_only_one_tried(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises with its reason and remedy."""
    refuse_all(monkeypatch)
    with TracerSession(engine=name) as session, pytest.raises(errors.PermissionDenied, match="A remedy"):
        session.prepare()

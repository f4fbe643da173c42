"""Where nothing may be traced: what the host counts, and no row that was none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ior_nb import errors
from ior_nb.engine.counters import CountersEngine
from ior_nb.runtime import Scope
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from tests.fakes import RefusedEngine, refuse_all


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> TracerSession:
    """A session on a machine whose tracer has no rights."""
    refuse_all(monkeypatch)
    return TracerSession()


def test_counters_stand_in_for_an_engine_that_cannot_work(session: TracerSession, tmp_path: Path) -> None:
    """The block runs; what the host counts is there, labelled so, with the reason in one line, and no rows."""
    (tmp_path / "file").write_bytes(bytes(1000))
    with session, trace(session=session) as t:
        for _ in range(3):
            (tmp_path / "file").read_bytes()

    said = str(t)
    assert len(t) == 0
    assert t.engine == "counters"
    assert t.host is not None
    assert [(f.times, f.written, f.size) for f in t.host.opened if f.path == str(tmp_path / "file")] == [
        (3, False, 1000)
    ]
    assert t.host.io.get("rchar", 3000) >= 3000
    assert "counters only" in said.splitlines()[0]
    assert f"nothing can be traced here: {RefusedEngine.why} (see %ior doctor)" in said
    assert "calls seen" not in said
    assert "counters only" in t._repr_html_()
    assert "counters only" in t.df().attrs["completeness"]
    assert t.accounting.line().startswith("counters only: nothing was traced")
    assert not t.accounting.complete


@pytest.mark.parametrize("asked", [{"tid": os.getpid()}, {"system": True}, {"command": ["true"]}])
def test_what_is_not_this_process_is_refused_as_before(session: TracerSession, asked: dict[str, object]) -> None:
    """The host counts this process: of any other the reason is what there is to say."""
    with session, pytest.raises(errors.PermissionDenied, match="lacks CAP_BPF"), trace(session=session, **asked):  # type: ignore[arg-type]
        pass


def test_there_are_no_rows_to_record(session: TracerSession, tmp_path: Path) -> None:
    """Who asks for a recording is told that there will be none, before anything runs."""
    target = tmp_path / "x.parquet"

    with session, pytest.raises(errors.SourceError, match="no rows to record"), trace(session=session, record=target):
        pass
    assert not target.exists()


def test_an_engine_asked_for_by_name_still_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stands in for it."""
    refuse_all(monkeypatch)
    with TracerSession(engine="bcc") as session, pytest.raises(errors.PermissionDenied):
        session.prepare()


def test_counters_asked_for_by_name_say_what_they_cannot() -> None:
    """Another process's are none of theirs."""
    from ior_nb.runtime import TraceOptions

    with pytest.raises(errors.ConfigError, match="this process as a whole, not process 1"):
        CountersEngine().start(TraceOptions(scope=Scope(pids=(1,)), enabled=frozenset({0})), lambda _: None)


def test_cells_one_after_the_other_have_their_own(session: TracerSession, tmp_path: Path) -> None:
    """Windows on one run count from their own begin to their own end."""
    with session, trace(session=session) as whole:
        with trace(session=session) as first:
            (tmp_path / "a").write_bytes(b"1")
        with trace(session=session) as second:
            (tmp_path / "b").write_bytes(b"1")

    def names(t: object) -> set[str]:
        return {Path(f.path).name for f in t.host.opened if str(tmp_path) in f.path}  # type: ignore[attr-defined]

    assert (names(first), names(second), names(whole)) == ({"a"}, {"b"}, {"a", "b"})

"""Which way is taken, and what the others would give."""

from __future__ import annotations

from pathlib import Path

import pytest

from ior_nb.doctor import taken as module
from ior_nb.doctor.finding import Finding, report
from ior_nb.doctor.taken import WAYS, ways
from ior_nb.engine import ENGINES

GOOD, BAD = Finding("rights", True, "all"), Finding("rights", False, "none", "get some")


def taken(found: list[Finding]) -> str:
    """Return the engine that is taken."""
    return next(f.seen.partition(":")[0] for f in found if f.name == "way")


@pytest.fixture(autouse=True)
def _there_is_a_strace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_strace", lambda: "")
    monkeypatch.setattr(module, "_served", lambda: "no service runs on this machine")


def test_bcc_is_taken_where_nothing_speaks_against_it() -> None:
    """And what strace would give is told."""
    found = ways([GOOD], held=lambda: "")

    assert taken(found) == "bcc"
    assert any(f.name == "strace" and "µs" in f.seen for f in found)


def test_without_rights_strace_is_taken_and_the_summary_says_so() -> None:
    """A bad finding is one of eBPF: traces are made all the same."""
    found = [BAD, *ways([BAD], held=lambda: "")]

    assert taken(found) == "strace"
    assert report(found).rstrip().endswith("eBPF will not work: 1 of 5 checks failed. Traces are made with strace.")


def test_where_there_is_a_service_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes before what stops programs, and the summary names it."""
    monkeypatch.setattr(module, "_served", lambda: "")
    found = [BAD, *ways([BAD], held=lambda: "")]

    assert taken(found) == "serve"
    assert report(found).rstrip().endswith("Traces are made with serve.")


def test_without_a_service_its_way_says_what_it_would_give() -> None:
    """And why there is none."""
    (told,) = [f.seen for f in ways([BAD], held=lambda: "") if f.name == "serve"]

    assert told.startswith("no service runs on this machine; it would give your own processes")


def test_without_strace_ptrace_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how strace is got is told."""
    monkeypatch.setattr(module, "_strace", lambda: "not installed (apt-get install strace)")
    found = ways([BAD], held=lambda: "")

    assert taken(found) == "ptrace"
    assert any("apt-get install strace" in f.seen for f in found)


def test_where_nobody_may_be_held_counters_are_left(tmp_path: Path) -> None:
    """The reason is told with what Yama says."""
    yama = tmp_path / "proc/sys/kernel/yama"
    yama.mkdir(parents=True)
    (yama / "ptrace_scope").write_text("3\n")
    found = ways([BAD], tmp_path, held=lambda: "no program may be held here: Operation not permitted")

    assert taken(found) == "counters"
    assert any("ptrace_scope=3" in f.seen for f in found)


def test_the_ways_are_those_of_auto() -> None:
    """In its order."""
    assert [way.name for way in WAYS[:-1]] == [name for name, row in ENGINES.items() if row.traces]

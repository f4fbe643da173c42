"""What each label did, in the summary of a trace."""

from __future__ import annotations

import pytest
from hypothesis import given

from ior_nb import aggregate
from ior_nb.result import labelled
from ior_nb.result.summary import Summary
from ior_nb.result.tally import Tally
from ior_nb.runtime import Completeness, EventBatch
from tests.events import ROWS, made
from tests.fakes import batch


def _summary(*batches: EventBatch) -> Summary:
    tally = Tally()
    for rows in batches:
        tally.add(rows)
    return tally.summary(title="test", duration_s=1.0, completeness=Completeness())


@given(ROWS)
def test_the_summary_has_what_the_table_has(rows: list[dict[str, object]]) -> None:
    """Labels, most time first, with their sums; calls without a label are none."""
    events = made(rows)
    table = aggregate.labels(events, {})
    names = ("label", "calls", "errors", "bytes_read", "bytes_written", "time_ns")
    expected = {row[0]: row[1:] for row in zip(*(table[name].tolist() for name in names), strict=True) if row[0]}
    found = _summary(events).labels

    assert {
        r.label: (r.calls, r.errors, r.bytes_read, r.bytes_written, r.latency_ns) for r in found
    }.items() <= expected.items()
    assert len(found) == min(len(expected), 10)
    assert [r.latency_ns for r in found] == sorted((row[4] for row in expected.values()), reverse=True)[:10]


def test_labels_are_a_table_of_text_and_of_html() -> None:
    """Every label is there as text, whatever it says; without labels there is no table."""
    rows = batch(syscall=["read"] * 2, file=["/a"] * 2, bytes=[7, 8], latency_ns=[5, 6], label=["<b>", "<b>"])
    found, without = _summary(rows), _summary(batch(syscall=["read"], file=["/a"]))

    assert "Labels\n" in found.text()
    assert "15 B" in found.text()
    assert "&lt;b&gt;" in found.html()
    assert "<b></td>" not in found.html()
    assert "Labels" not in without.text()
    assert "Labels" not in without.html()


def test_of_very_many_labels_those_with_most_time_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and what is shown is right for them."""
    monkeypatch.setattr(labelled, "_LABELS", 20)
    parts = [
        batch(syscall=["read"] * 10, latency_ns=[n * 10 + i for i in range(10)], label=[f"{n}/{i}" for i in range(10)])
        for n in range(10)
    ]

    found = _summary(*parts).labels

    assert [(r.label, r.calls, r.latency_ns) for r in found] == [(f"9/{i}", 1, 90 + i) for i in reversed(range(10))]

"""The filter panel: one value, edited as fields and as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ior_nb.globalfilter import Filters
from ior_nb.real import RLock
from ior_nb.runtime import EventBatch, Filter
from ior_nb.runtime.filter import DIMENSIONS, Dimension, Text
from ior_nb.widgets.filter import FilterPanel
from ior_nb.widgets.ticker import ticker
from tests.widgets.conftest import act, refreshes
from tests.widgets.fake import FakeRuntime, RecordedComm

Open = Callable[..., FilterPanel]
HOSTILE = "<img src=x onerror=alert(1)>\u202e\nx"


def ask(panel: FilterPanel, text: Any, *edits: tuple[str, int, str, str], cursor: int | None = None, n: int = 1) -> Any:
    """Return the one answer the page gets about a draft."""
    start = len(RecordedComm.log)
    made = [{"dimension": d, "slot": s, "operator": o, "value": v} for d, s, o, v in edits]
    panel.comm.push({"kind": "ask", "view": "v1", "n": n, "text": text, "edits": made, "cursor": cursor})
    (message,) = RecordedComm.log[start:]
    return message[1]["content"]


def force(runtime: FakeRuntime) -> str:
    """Return the text of the filter in force."""
    return runtime.filters.text(runtime.filters.active)


def test_a_change_is_one_message_and_nothing_none(runtime: FakeRuntime, opened: Open) -> None:
    """The panel sends one message when the filter or its history changed, whoever did it."""
    panel = opened(FilterPanel, runtime)
    assert len(refreshes(panel, 1.0)) == 1
    assert refreshes(panel, 2.0) == []
    runtime.filters.set(runtime.filters.parse("pid=3 latency>=5ms"))
    assert len(refreshes(panel, 3.0)) == 1
    assert panel.data["chips"] == ["pid=3", "latency>=5ms"]
    assert panel.data["terms"] == [["pid", "=", "3"], ["latency", ">=", "5ms"]]
    assert refreshes(panel, 4.0) == []


def test_a_closed_panel_is_silent(runtime: FakeRuntime, opened: Open) -> None:
    """After close neither changes nor questions are answered."""
    panel = opened(FilterPanel, runtime)
    panel.close()
    RecordedComm.log.clear()
    runtime.filters.set(runtime.filters.parse("pid=3"))
    panel.refresh(1.0)
    panel._asked(panel, {"kind": "ask", "text": "pid=3"}, [])
    assert RecordedComm.log == []


def test_a_new_dimension_gets_its_field(runtime: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """The fields are the rows of the table of dimensions."""
    monkeypatch.setitem(DIMENSIONS, "depth", Dimension(name="depth", columns=("fd",), doc="how deep"))
    panel = opened(FilterPanel, runtime)
    assert [row["name"] for row in panel.table] == list(DIMENSIONS)
    assert panel.table[-1] == {
        "name": "depth",
        "doc": "how deep",
        "unit": "",
        "text": False,
        "operators": ["=", "!=", "<", "<=", ">", ">="],
    }


def test_a_conjunction_fills_the_fields(runtime: FakeRuntime, opened: Open) -> None:
    """Every simple term has its field, two of one dimension two; the rest stays text."""
    answer = ask(
        opened(FilterPanel, runtime), 'latency>=1ms latency<5ms comm~py errors not file~/proc (pid=1 or pid=2) file=""'
    )
    assert answer["terms"] == [
        ["latency", ">=", "1ms"],
        ["latency", "<", "5ms"],
        ["comm", "~", "py"],
        ["errors", "", "errors"],
    ]
    assert answer["others"] == ["not file~/proc", "pid=1 or pid=2", 'file=""']
    assert answer["text"].startswith("latency>=1ms latency<5ms")  # what is being typed is not rewritten


def test_fields_rewrite_their_terms_only(runtime: FakeRuntime, opened: Open) -> None:
    """An edited field replaces, adds or removes its own term; numbers keep their units, text is quoted."""
    panel = opened(FilterPanel, runtime)
    base = "latency>=1ms not file~/proc latency<5ms errors pid=3"
    assert ask(panel, base, ("latency", 1, "<=", "10us"))["text"] == (
        "latency>=1ms and not file~/proc and latency<=10us and errors and pid=3"
    )
    assert ask(panel, base, ("pid", 0, "=", ""), ("errors", 0, "", ""))["text"] == (
        "latency>=1ms and not file~/proc and latency<5ms"
    )
    assert ask(panel, "", ("bytes", 0, ">=", "4KiB"), ("comm", 0, "=", 'a "b" or pid=1'))["text"] == (
        'bytes>=4KiB and comm="a \\"b\\" or pid=1"'
    )
    assert ask(panel, "pid=1 or pid=2", ("tid", 0, "=", " 7 "))["text"] == "(pid=1 or pid=2) and tid=7"


def test_a_wrong_field_says_so_and_changes_nothing(runtime: FakeRuntime, opened: Open) -> None:
    """The parser's words stand at the field; a field holds one value, not a piece of a filter."""
    panel = opened(FilterPanel, runtime)
    answer = ask(panel, "pid=3", ("latency", 0, ">=", "5x"), ("fd", 0, "=", "3 or pid=4"), ("syscall", 0, "=", "ope"))
    assert answer["text"] == "pid=3"
    assert "unknown unit 'x'" in answer["wrong"]["latency#0"]
    assert "one value" in answer["wrong"]["fd#0"]
    assert "did you mean" in answer["wrong"]["syscall#0"]
    assert (
        act(panel, "apply", text="pid=3", edits=[{"dimension": "fd", "slot": 0, "operator": "=", "value": "x"}]) == ""
    )
    assert force(runtime) == ""


def test_an_error_has_its_place(runtime: FakeRuntime, opened: Open) -> None:
    """A text that does not parse is answered with the message in one line and the position."""
    answer = ask(opened(FilterPanel, runtime), "pid=3 latency>=5x")
    assert answer["error"] == "latency: unknown unit 'x'; there are ns us ms s m h"
    assert answer["at"] == 16


def test_completion_comes_with_kinds_and_docs(runtime: FakeRuntime, opened: Open) -> None:
    """Suggestions are for the cursor, a few dozen at most, and carry the number of the question."""
    panel = opened(FilterPanel, runtime)
    answer = ask(panel, "lat pid=3", cursor=3, n=17)
    assert answer["n"] == 17
    assert answer["suggestions"] == [["latency", 0, "dimension", "duration of the call"]]
    assert len(ask(panel, "syscall=", cursor=8)["suggestions"]) == 50
    assert ask(panel, "lat", cursor=99)["suggestions"] == []
    assert ask(panel, "lat")["suggestions"] == []


@pytest.mark.parametrize("text", [None, 3, ["pid=3"], {"a": 1}])
def test_nonsense_questions_are_answered_with_an_error(runtime: FakeRuntime, opened: Open, text: Any) -> None:
    """What is no draft is refused in words."""
    panel = opened(FilterPanel, runtime)
    assert "a draft is a text" in ask(panel, text)["error"]
    assert act(panel, "apply", text=text) != ""


def test_a_question_that_fails_is_answered(runtime: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """Whatever goes wrong, the page hears of it and waits no longer."""
    monkeypatch.setattr(runtime.filters, "suggest", lambda text, position: 1 / 0)
    assert ask(opened(FilterPanel, runtime), "pid=3", cursor=1)["error"] == "division by zero"
    answer = ask(opened(FilterPanel, runtime), "", ("pid", float("inf"), "=", "3"))  # type: ignore[arg-type]
    assert answer["error"] == "slot: expected a whole number from 0 to 10000, not inf"


def test_questions_are_answered_by_the_ticker(runtime: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """The thread that receives messages only hands them on; a panel closed meanwhile does not answer."""
    jobs: list[Callable[[], None]] = []
    panel = opened(FilterPanel, runtime)
    monkeypatch.setattr(ticker, "do", jobs.append)
    for _ in range(2):
        panel.comm.push({"kind": "ask", "view": "v1", "n": 1, "text": "pid=3"})
    assert RecordedComm.log == []
    jobs[0]()
    assert len(RecordedComm.log) == 1
    panel.close()
    RecordedComm.log.clear()
    jobs[1]()
    assert RecordedComm.log == []


def test_unknown_dimensions_and_operators_are_refused(runtime: FakeRuntime, opened: Open) -> None:
    """Only what the table has can be asked for."""
    panel = opened(FilterPanel, runtime)
    assert "no dimension" in ask(panel, "", ("colour", 0, "=", "red"))["error"]
    assert "no numeric comparison" in ask(panel, "", ("pid", 0, "~", "3"))["error"]
    assert "no text comparison" in ask(panel, "", ("comm", 0, "<", "3"))["error"]


def test_apply_clear_drop_and_undo(runtime: FakeRuntime, opened: Open) -> None:
    """The buttons change the filter of the whole dashboard; applied drafts are named, the history is newest first."""
    panel = opened(FilterPanel, runtime)
    edit = {"dimension": "pid", "slot": 0, "operator": "=", "value": "3"}
    assert act(panel, "apply", text="comm~py", edits=[edit], view="v1", n=5) == ""
    assert force(runtime) == "comm~py and pid=3"
    panel.refresh(0, force=True)
    assert panel.data["applied"] == ["v1", 5]
    assert act(panel, "drop", text="comm~py") == ""
    assert force(runtime) == "pid=3"
    panel.refresh(0, force=True)
    assert panel.data["labels"] == ["clear comm", "comm~py pid=3"]
    assert act(panel, "undo") == ""
    assert force(runtime) == "comm~py and pid=3"
    assert act(panel, "clear") == ""
    assert not runtime.filters.active.active
    for _ in range(2):
        act(panel, "undo")
    assert act(panel, "undo") == "there is no filter to undo"
    assert "nothing called" in act(panel, "nonsense")


def test_a_filter_that_rows_cannot_answer_is_not_applied(runtime: FakeRuntime, opened: Open) -> None:
    """What is wrong is said, the draft stays one, and so does the filter in force."""
    runtime.filters = Filters(EventBatch.empty, None, RLock())  # type: ignore[assignment]
    panel = opened(FilterPanel, runtime)

    assert "no column 'task' to filter by" in act(panel, "apply", text="task=load-1", view="v1", n=5)
    panel.refresh(0, force=True)
    assert panel.data["applied"] == ["", 0]
    assert not runtime.filters.active.active


def test_a_wrong_text_is_not_applied(runtime: FakeRuntime, opened: Open) -> None:
    """Applying a wrong text is answered at the field, and the filter in force stays."""
    panel = opened(FilterPanel, runtime)
    start = len(RecordedComm.log)
    assert act(panel, "apply", text="pid=x", view="v1", n=3) == ""
    answers = [d["content"] for _, d, _ in RecordedComm.log[start:] if d.get("method") == "custom"]
    assert [(a["n"], a["at"]) for a in answers if a["kind"] == "answer"] == [(3, 4)]
    assert force(runtime) == ""


def test_hostile_values_travel_as_text(runtime: FakeRuntime, opened: Open) -> None:
    """A name with markup and invisible characters is escaped in every text, and no field has to hold it."""
    panel = opened(FilterPanel, runtime)
    runtime.filters.set(Filter(Text("file", "=", HOSTILE)))
    panel.refresh(1.0)
    assert "\u202e" not in panel.data["text"] + panel.data["labels"][0]
    assert panel.data["terms"] == []
    assert "&lt;img" in panel.still()
    assert "<img" not in panel.still()


def test_without_a_filter_the_still_says_all(runtime: FakeRuntime, opened: Open) -> None:
    """The empty state is a sentence."""
    assert opened(FilterPanel, runtime).still() == "<p>filter: <code>all</code></p>"

"""Lines of Python: tables of them, and texts with what each line made in the margin."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from pathlib import Path

import pytest

from ior_nb import load
from ior_nb.export.stacks import stacks
from ior_nb.globalfilter import parse
from ior_nb.result import lines
from ior_nb.result.cost import Cost
from ior_nb.result.lines import annotated
from ior_nb.result.trace import Trace
from ior_nb.runtime import EventBatch
from ior_nb.runtime.stacks import Frame, written
from tests.fakes import batch
from tests.result.cells import keep, traced

CELL = "/tmp/ipykernel_7/4711.py"
TEXT = ["# %%ior --families all\n", "for name in names:\n", "    frame = read_csv(name)\n", "done()\n"]
MODULE = Frame("<module>", CELL, 3)
READ = Frame("read_csv", "/x/site-packages/pandas/io.py", 900)
OPEN = Frame("open", "/x/site-packages/pandas/handles.py", 70)
HOSTILE = Frame("f;<b>(x)\n", "/home/ada/</td>;a.py", 7)


@pytest.fixture(autouse=True)
def cell() -> Iterator[None]:
    """The text of a cell, as IPython keeps it."""
    keep(CELL, TEXT)
    yield
    linecache.clearcache()


def rows() -> EventBatch:
    """Return calls of a cell's line by two places of a library, of the next line, of a module, and of no Python."""
    places = [[MODULE, READ, OPEN], [MODULE, READ], [MODULE, READ], [Frame("<module>", CELL, 4)], [HOSTILE], []]
    own = [MODULE, MODULE, MODULE, Frame("<module>", CELL, 4), HOSTILE, Frame("", "", 0)]
    return batch(
        syscall=["openat", "read", "read", "wait4", "read", "write"],
        latency_ns=[300_000, 5000, 5000, 1000, 20, 10],
        bytes=[0, 4096, 1024, 0, 5, 6],
        is_error=[True, False, False, False, False, False],
        ret=[-2, 4096, 1024, 0, 5, 6],
        file_kind=["file", "file", "pipe", "", "file", "file"],
        stack=[written(frames) for frames in places],
        py_file=[frame.file for frame in own],
        py_line=[frame.line for frame in own],
        py_func=[frame.function for frame in own],
    )


def a_trace() -> Trace:
    """Return a finished trace of these rows."""
    return traced(rows(), {CELL: 12})


def test_lines_add_up_to_all_calls_most_time_first() -> None:
    """One row a line, with its text; calls without a line are a row too, so that sums are totals."""
    frame = a_trace().lines()

    assert frame["calls"].tolist() == [3, 1, 1, 1]
    assert frame["source"].tolist() == ["frame = read_csv(name)", "done()", "", ""]
    assert frame["time_ns"].sum() == 311_030
    assert (frame["line"].tolist()[0], frame["function"].tolist()[0]) == (3, "<module>")
    assert (frame["errors"].tolist()[0], frame["bytes"].tolist()[0]) == (1, 5120)
    assert frame["waiting_ns"].tolist()[:2] == [5000, 1000]


def test_lines_of_libraries_are_those_that_made_the_call() -> None:
    """The other end of the stack."""
    frame = a_trace().lines(library=True)

    assert frame["function"].tolist()[:2] == ["open", "read_csv"]
    assert frame["calls"].sum() == 6


def test_lines_of_a_file_are_chosen_by_the_end_of_its_path() -> None:
    """As `%ior lines -f` does."""
    frame = a_trace().lines("handles.py", library=True)

    assert frame["line"].tolist() == [70]


def test_the_cell_shows_what_each_line_made() -> None:
    """Its own text with `%%ior` on top, hot lines marked, the number of the cell; no line is left out."""
    shown, _ = a_trace().annotated()
    text = shown.text().splitlines()

    assert "cell 12" in text[0]
    assert [line.split(None, 1)[1] if line[:1] != "*" else "" for line in text[1:2]] == ["%%ior --families all"]
    assert text[3].startswith("* ")
    assert "3    5.0 KiB   310 µs     5 µs" in text[3]
    assert text[3].endswith("frame = read_csv(name)")
    assert len(text) == 5


def test_modules_of_the_user_s_own_are_shown_behind_the_cells() -> None:
    """What a cell calls of them is no line of the cell; where there is no cell only a file asked for is shown."""
    keep(HOSTILE.file, [f"line {number}\n" for number in range(1, 20)])
    _, shown = a_trace().annotated()
    alone = traced(rows().take(rows().text("py_file") == HOSTILE.file), {})

    assert shown.title == HOSTILE.file
    assert [(line.number, line.cost is not None) for line in shown.lines] == [
        *((5, False), (6, False), (7, True), (8, False), (9, False)),
    ]
    assert alone.annotated() == []
    assert len(alone.annotated("a.py")) == 1


@pytest.mark.parametrize(
    ("kept", "code", "line"),
    [
        ("get_ipython().run_cell_magic('time', '', 'a()\\nb()\\n')", Frame("<module>", "<timed exec>", 2), 3),
        ("get_ipython().run_line_magic('time', 'a()')", Frame("<module>", "<timed eval>", 1), 1),
        ("get_ipython().run_line_magic('timeit', 'a()')", Frame("inner", "<magic-timeit>", 1), 1),
    ],
)
def test_what_a_cell_times_is_its_own(kept: str, code: Frame, line: int) -> None:
    """The magics that time call their code the same in all cells; the cell below them on the stack says whose it is."""
    keep(CELL, [kept])
    shown = annotated({(Frame("<module>", CELL, 1), code, READ): Cost(calls=7)})

    assert [(each.title, [at.number for at in each.lines if at.cost]) for each in shown] == [("a cell", [line])]


def test_a_function_that_was_timed_may_be_another_cell_s() -> None:
    """Cells that are timed call their code the same: nothing says whose it was, so it is no line of this one."""
    keep(CELL, ["get_ipython().run_cell_magic('time', '', 'a()\\nb()\\n')"])
    shown = annotated({(Frame("<module>", CELL, 1), Frame("f", "<timed exec>", 2)): Cost(calls=7), (MODULE,): Cost()})

    assert [each.title for each in shown] == ["a cell", "<timed exec>"]


def test_dollars_are_no_formulas() -> None:
    """Pages set what stands between two of them as one; markup says that here it is none."""
    trace = a_trace()
    shown, _ = trace.annotated()

    for page in (shown.html(), trace.summary().html()):
        assert page.startswith('<div class="tex2jax_ignore mathjax_ignore"')


def test_libraries_below_a_line_can_be_unfolded() -> None:
    """The HTML has them inside the line, and needs no script."""
    shown, _ = a_trace().annotated()
    page = shown.html()

    assert page.count("<details>") == 1
    assert "open  pandas/handles.py:70: 1 call, 300 µs" in page
    assert "<script" not in page


def test_hostile_names_and_texts_are_text() -> None:
    """What a traced program calls its files and functions, and what a line holds, never becomes markup."""
    keep(HOSTILE.file, ["<img src=x>\x1b[2J\n"] * 7)
    (shown,) = a_trace().annotated("a.py")

    assert "<img" not in shown.html()
    assert "</td>;a.py" not in shown.html()
    assert "\x1b" not in shown.text()


def test_a_text_that_is_not_here_still_has_its_numbers() -> None:
    """A recording from elsewhere: lines by number, and the word that the text is missing."""
    linecache.clearcache()
    shown, _ = a_trace().annotated()

    assert [line.number for line in shown.lines] == [3, 4]
    assert "cannot be found" in shown.text()


def test_the_text_of_a_cell_is_found_in_another_kernel() -> None:
    """The name of its code is made of its text: played back in the same notebook, a recording shows the cells there."""
    linecache.cache["/tmp/ipykernel_99/4711.py"] = linecache.cache.pop(CELL)
    trace = a_trace()
    trace.cells = {"/tmp/ipykernel_99/4711.py": 3}
    shown, _ = trace.annotated()

    assert shown.title == "cell 3"
    assert "frame = read_csv(name)" in shown.text()


def test_the_summary_of_a_trace_shows_the_cell() -> None:
    """As text and as HTML, before the tables."""
    trace = a_trace()

    assert "frame = read_csv(name)" in trace.summary().text()
    assert "frame = read_csv(name)" in trace.summary().html()


def test_the_report_shows_the_cell(tmp_path: Path) -> None:
    """One page that needs nothing else has it too."""
    page = a_trace().export(tmp_path / "x.html").read_text()

    assert "frame = read_csv(name)" in page
    assert "cell 12" in page


def test_the_lesser_stacks_are_dropped_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept has its numbers; memory stays bounded."""
    monkeypatch.setattr(lines, "_STACKS", 4)
    tally = lines.LineTally()

    tally.add(rows())

    assert max(cost.time_ns for cost in tally.costs().values()) == 300_000
    assert len(tally.costs()) <= 3


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("py_line=3", 3),
        ('py_line>3 and py_func="<module>"', 1),
        ("py_func~MODULE", 4),
        ("py_file=/home/*", 1),
        ("stack~read_csv", 3),
        ("not stack~read_csv", 3),
        (r'py_func="f;<b>(x)\n"', 1),
    ],
)
def test_filters_know_lines(text: str, calls: int) -> None:
    """By file, line, function and anything in the stack."""
    assert parse(text).mask(rows()).sum() == calls


def test_a_flame_graph_has_functions_above_calls() -> None:
    """The field `python` gives a frame for each function; a `;` in a name makes none."""
    found = stacks(rows(), "python,syscall", ["count"])

    assert (
        "<module> (/tmp/ipykernel_7/4711.py:3)",
        "read_csv (/x/site-packages/pandas/io.py:900)",
        "read",
    ) in found.frames
    assert [len(frames) for frames in found.frames if "f\\x3b<b>" in frames[0]] == [2]
    assert ("write",) in found.frames


def test_a_recording_has_the_stacks_and_says_the_same(tmp_path: Path) -> None:
    """What is loaded from it has every column, and DuckDB reads it."""
    duckdb = pytest.importorskip("duckdb")
    path = a_trace().to_parquet(tmp_path / "x.parquet")

    again = load(path)
    count = duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE py_line = 3 AND stack LIKE '%read_csv%'").fetchall()

    for name in ("stack", "py_file", "py_func"):
        assert again.batch.text(name).tolist() == rows().text(name).tolist()
    assert again.lines()["calls"].tolist() == [3, 1, 1, 1]
    assert count == [(3,)]


def test_faults_count_with_the_time_they_slept() -> None:
    """It is all that is known of theirs, and the line that touched cold memory may be the one that took the time."""
    lines = [Frame("<module>", CELL, line) for line in (3, 3, 2)]
    found = batch(
        syscall=["page_fault", "page_fault", "read"],
        state=["untimed", "untimed", "done"],
        latency_ns=[0, 0, 5_000_000],
        wait_device_ns=[30_000_000, 7_000_000, 4_000_000],
        wait_other_ns=[0, 1_000_000, 0],
        stack=[written([line]) for line in lines],
    )

    (cell,) = traced(found, {CELL: 12}).annotated()
    margins = {line.number: line.cost.time_ns for line in cell.lines if line.cost}
    assert margins == {2: 5_000_000, 3: 38_000_000}
    assert cell.total_ns == 43_000_000


def test_a_line_that_cannot_be_told_is_said() -> None:
    """Calls of the cell without a line number are not lost from sight."""
    costs: dict[tuple[Frame, ...], Cost] = {(Frame("<module>", CELL, 0),): Cost(calls=7)}
    (shown,) = annotated(costs)

    assert "7 more calls" in shown.text()


def test_files_know_the_lines_that_opened_them() -> None:
    """Those of most calls first, three of them by name; nothing where it is not known."""
    places: list[object] = ["a.py:1", *["b.py:2"] * 3, "c.py:3", "c.py:3", "d.py:4", "e.py:5", ""]
    trace = traced(batch(syscall=["read"] * 9, file=[*["/x"] * 8, "/y"], opened_at=places, bytes=[*[9] * 8, 1]))

    assert trace.files()["opened_at"].tolist() == ["b.py:2, c.py:3, a.py:1, 2 more", ""]
    assert parse("opened_at=c.py:3").mask(trace.batch).sum() == 2

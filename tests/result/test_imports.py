"""What imports cost: no line's own, but one line that folds, with the packages it was for."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from pathlib import Path

import pytest

from ior_nb.globalfilter import parse
from ior_nb.result.imports import by_package, imports_line
from ior_nb.result.trace import Trace
from ior_nb.runtime import EventBatch
from ior_nb.runtime.stacks import Frame, written
from tests.fakes import batch
from tests.result.cells import keep, traced

CELL = "/tmp/ipykernel_7/12.py"
TEXT = ["import pandas\n", "import mine\n", "frame = pandas.read_csv(name)\n"]
IMPORT = Frame("_find_and_load", "<frozen importlib._bootstrap>", 1027)
SITE = "/usr/lib/python3/dist-packages"
PANDAS = Frame("<module>", f"{SITE}/pandas/__init__.py", 22)
OWN = Frame("<module>", "/home/ada/mine.py", 8)


def cell(line: int) -> Frame:
    """Return a frame of the cell."""
    return Frame("<module>", CELL, line)


# Stack, file, bytes, own frame.
CALLS: tuple[tuple[list[Frame], str, int, Frame], ...] = (
    ([cell(1), IMPORT], f"{SITE}/pandas/__init__.py", 100, cell(1)),
    ([cell(1), IMPORT, PANDAS, IMPORT], f"{SITE}/numpy-2.0.libs/libblas.so.3", 1000, cell(1)),
    ([cell(1), IMPORT, PANDAS, IMPORT], "/home/ada/numpy", 0, cell(1)),  # looked for where the user is
    ([cell(1), IMPORT, PANDAS], "/home/ada/.cache/x.json", 7, cell(1)),
    ([cell(2), IMPORT], "/home/ada/mine.py", 50, cell(2)),
    ([cell(2), IMPORT, OWN], "/home/ada/data.csv", 11, OWN),  # what the user's module does is the user's own
    ([cell(3), IMPORT], "/usr/lib/python3.11/json/__init__.py", 20, cell(3)),  # asked for by what it calls
    ([cell(3), Frame("read_csv", f"{SITE}/pandas/io.py", 9)], "/home/ada/data.csv", 13, cell(3)),
    ([], "/home/ada/data.csv", 17, Frame("", "", 0)),
)


@pytest.fixture(autouse=True)
def _cell() -> Iterator[None]:
    keep(CELL, TEXT)
    yield
    linecache.clearcache()


def rows() -> EventBatch:
    """Return the calls."""
    return batch(
        syscall=["read"] * len(CALLS),
        latency_ns=[1000 * 2**at for at in range(len(CALLS))],
        bytes=[moved for _, _, moved, _ in CALLS],
        file=[file for _, file, _, _ in CALLS],
        file_kind=["file"] * len(CALLS),
        stack=[written(frames) for frames, _, _, _ in CALLS],
        py_file=[own.file for *_, own in CALLS],
        py_line=[own.line for *_, own in CALLS],
        py_func=[own.function for *_, own in CALLS],
    )


def a_trace() -> Trace:
    """Return a finished trace of them."""
    return traced(rows(), {CELL: 12})


def test_imports_are_told_by_package_most_time_first() -> None:
    """By the file that was read; where that says nothing, by who asked for it."""
    frame = a_trace().imports()

    assert frame["package"].tolist() == ["the standard library", "mine", "pandas", "numpy"]
    assert frame["calls"].tolist() == [1, 1, 3, 1]
    assert frame["bytes"].tolist() == [20, 50, 107, 1000]


def test_lines_have_one_row_for_all_imports_and_add_up() -> None:
    """No line has what an import made, and nothing is lost."""
    frame = a_trace().lines()
    found = dict(zip(frame["function"] + " " + frame["line"].astype(str), frame["calls"], strict=True))

    assert found == {"(imports) 0": 6, "<module> 3": 1, "<module> 8": 1, " 0": 1}
    assert frame["time_ns"].sum() == 1000 * (2 ** len(CALLS) - 1)
    assert "numpy" in frame["source"][frame["function"] == "(imports)"].tolist()[0]


def test_the_line_of_a_library_may_be_an_import_s() -> None:
    """Asked for the lines that made the calls themselves, those of the import machinery are there."""
    frame = a_trace().lines(library=True)

    assert "_find_and_load" in frame["function"].tolist()
    assert "(imports)" not in frame["function"].tolist()


def test_the_cell_shows_its_imports_folded() -> None:
    """The margin of a line is what it made itself; below the cell stands what its imports made, by package."""
    shown, _ = a_trace().annotated()
    text = shown.text().splitlines()

    assert text[1].split() == ["1", "import", "pandas"]
    assert text[3].split()[-3:] == ["frame", "=", "pandas.read_csv(name)"]
    assert text[4].strip().startswith("imports: 6 calls, 1.1 KiB, 95 µs (the standard library 64 µs, mine 16 µs")
    assert shown.html().count("<details>") == 2
    assert "<td" in shown.html().partition("imports: 6 calls")[2]


def test_a_cell_of_nothing_but_imports_is_shown() -> None:
    """It has no line with a call of its own, and yet something to say."""
    trace = traced(rows()[:2])

    (shown,) = trace.annotated()

    assert "imports: 2 calls" in shown.text()


def test_the_summary_has_imports_in_a_line() -> None:
    """As text, as HTML and in the report; a name is text."""
    trace = a_trace()

    assert "imports: 6 calls" in trace.summary().text()
    assert "<summary" in trace.summary().html().partition("imports: 6 calls")[0]


def test_imports_of_one_cell_are_said_once() -> None:
    """Where a cell that is shown has all imports, there is no second line for the trace."""
    summary = a_trace().summary()

    assert summary.text().count("imports: 6 calls") == 1
    assert summary.html().count("imports: 6 calls") == 1


def test_the_line_names_as_many_packages_as_have_room() -> None:
    """No name is cut; where there is room for none the sums are there."""
    found = by_package(a_trace()._sums.of_all()[2].costs())

    assert imports_line(found).endswith("(the standard library 64 µs, mine 16 µs, pandas 13 µs, numpy 2 µs)")
    assert imports_line(found, 80).endswith("(the standard library 64 µs, 3 more)")
    assert imports_line(found, 20) == "imports: 6 calls, 1.1 KiB, 95 µs"


@pytest.mark.parametrize(("cells", "calls"), [((1,), 2), ((1, 2), 1)])
def test_imports_too_deep_to_see_the_cell_are_the_cell_s_where_there_is_only_one(
    cells: tuple[int, ...], calls: int
) -> None:
    """Packages import packages, and a stack ends somewhere: with two cells nobody knows whose it was."""
    files = [f"/tmp/ipykernel_7/{number}.py" for number in cells]
    found = [[Frame("<module>", file, 1), IMPORT] for file in files]
    trace = traced(
        batch(
            syscall=["read"] * (len(found) + 1),
            file=[f"{SITE}/six.py"] * (len(found) + 1),
            stack=[*map(written, found), written([PANDAS, IMPORT], cut=True)],
            py_file=[*files, PANDAS.file],
        )
    )

    assert [one.imports[0][1].calls for one in trace.annotated()] == [calls] * len(cells)
    assert trace.imports()["calls"].tolist() == [len(cells) + 1]


def test_where_a_module_was_looked_for_nobody_knows_for_whom() -> None:
    """A folder says nothing, and a cell is no package."""
    trace = traced(batch(syscall=["newfstatat"], file=["/home/ada"], stack=[written([cell(3), IMPORT])]))

    assert trace.imports()["package"].tolist() == ["looking for modules"]


def test_hostile_names_of_packages_are_text() -> None:
    """A folder can have any name."""
    trace = traced(batch(stack=[written([IMPORT])], file=[f"{SITE}/<img src=x>\x1b[2J/y.py"], syscall=["read"]))

    assert "<img" not in trace.summary().html()
    assert "\x1b" not in trace.summary().text()


def test_mine_leaves_out_what_imports_make() -> None:
    """Files of the user's own that an import looked at are not what the user did; without a stack nobody knows."""
    assert parse("mine").mask(rows()).tolist() == [False] * 5 + [True, False, True, True]


def test_the_report_shows_imports(tmp_path: Path) -> None:
    """Where the cell is, they are below it."""
    page = a_trace().export(tmp_path / "x.html").read_text()

    assert "imports: 6 calls" in page

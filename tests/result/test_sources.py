"""Where lines have their text from: the notebook, a recording, files nobody has changed since."""

from __future__ import annotations

import json
import linecache
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from ior_nb import load
from ior_nb.export import EXPORTERS
from ior_nb.result.sources import Sources, recorded
from ior_nb.result.trace import Trace
from ior_nb.runtime.stacks import CELLS, Frame, written
from tests.fakes import batch
from tests.result.cells import keep, traced

CELL = "/tmp/ipykernel_7/4711.py"
TEXT = ["# %%ior --families all\n", "x = '<b>\x1b[2J'\n", "frame = read_csv(x)\n"]


@pytest.fixture(autouse=True)
def cell() -> Iterator[None]:
    """The text of a cell, as IPython keeps it."""
    keep(CELL, TEXT)
    yield
    linecache.clearcache()


def a_trace(*, file: str = CELL, line: int = 3) -> Trace:
    """Return a finished trace of a call of a line."""
    return traced(
        batch(
            syscall=["read"], stack=[written([Frame("f", file, line)])], py_file=[file], py_line=[line], py_func=["f"]
        ),
        {CELL: 12},
    )


def test_a_recording_shows_the_cell_where_nobody_has_it(tmp_path: Path) -> None:
    """Its text and its number are in the footer: loaded elsewhere, margin and table are what they were."""
    path = a_trace().to_parquet(tmp_path / "x.parquet")
    linecache.clearcache()

    again = load(path)
    (shown,) = again.annotated()

    assert shown.title == "cell 12"
    assert [line.text for line in shown.lines] == ["%%ior --families all", "x = '<b>\x1b[2J'", "frame = read_csv(x)"]
    assert again.lines()["source"].tolist() == ["frame = read_csv(x)"]
    assert "<b>" not in shown.html()
    assert "\x1b" not in shown.text()


def test_cells_stay_in_recordings_of_recordings_and_of_parts(tmp_path: Path) -> None:
    """What is filtered, and written again, has them."""
    path = a_trace().to_parquet(tmp_path / "x.parquet")
    linecache.clearcache()

    again = load(load(path).filter("py_line=3").to_parquet(tmp_path / "y.parquet"))

    assert again.annotated()[0].title == "cell 12"


def test_a_recording_without_cells_has_none(tmp_path: Path) -> None:
    """`record_cells=False`: it is the user's code, and his to keep."""
    trace = a_trace()
    trace.records_cells = False

    assert CELLS not in trace.metadata()
    assert "read_csv" not in json.dumps(trace.metadata())


def test_other_exports_have_no_cells(tmp_path: Path) -> None:
    """Text travels in recordings, and where it is shown, in the report; a trace for another tool has rows alone."""
    trace = a_trace()
    for name in EXPORTERS.keys() - {"parquet", "html"}:
        assert b"read_csv(x)" not in trace.export(tmp_path / f"x-{name}", format=name).read_bytes()


def test_only_cells_that_made_calls_are_recorded() -> None:
    """Nothing else of the notebook."""
    other = "/tmp/ipykernel_7/9.py"
    keep(other, ["secret = 1\n"])

    assert "secret" not in a_trace().metadata()[CELLS]


def test_a_file_that_was_edited_between_two_traces_is_shown_as_it_is(tmp_path: Path) -> None:
    """What was shown of a module before it was changed and loaded anew is not its text any more."""
    module = tmp_path / "reading.py"
    module.write_text("first()\n")
    before = Sources().of(str(module))
    module.write_text("# more\nsecond()\n")

    assert before == ("first()",)
    assert Sources().of(str(module)) == ("# more", "second()")


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("""get_ipython().system('echo "it\\'s" > a')""", """!echo "it's" > a"""),
        ("    names = get_ipython().getoutput('ls')", "    names = !ls"),
        ("get_ipython().run_line_magic('time', 'f(\\'a\\')')", "%time f('a')"),
        ("get_ipython().run_line_magic('cd', '')", "%cd"),
        ("x = get_ipython().run_line_magic('who_ls', 'int')", "x = %who_ls int"),
        ("get_ipython().run_cell_magic('time', '', 'a()\\nb()\\n')", "%%time\na()\nb()"),
        ("""text = "get_ipython().system('a')\"""", """text = "get_ipython().system('a')\""""),
        ("get_ipython().system(command)", "get_ipython().system(command)"),
        ("get_ipython().run_line_magic('a')", "get_ipython().run_line_magic('a')"),
        ("get_ipython().system('\\x')", "get_ipython().system('\\x')"),
    ],
)
def test_magics_of_a_cell_are_shown_as_they_were_written(kept: str, shown: str) -> None:
    """IPython keeps what it has made of them; what a user calls himself, or stands in a text, is left alone."""
    file = "/tmp/ipykernel_7/1.py"

    assert "\n".join(Sources({file: kept}).of(file)) == shown


def test_too_much_text_stays_behind() -> None:
    """A footer is read whole by everybody who opens the file."""
    keep(CELL, ["x" * (1 << 21)])

    assert CELLS not in a_trace().metadata()


def test_a_file_is_shown_as_long_as_it_is_unchanged(tmp_path: Path) -> None:
    """What was written after the trace are other lines; so are those of another machine's file of the same name."""
    module = tmp_path / "mine.py"
    module.write_text("read()\n")
    before = module.stat().st_mtime_ns

    assert Sources(until_ns=before).line(str(module), 1) == "read()"
    assert Sources(until_ns=before, host=platform.node()).line(str(module), 1) == "read()"
    assert Sources(until_ns=before, host="elsewhere").line(str(module), 1) == ""
    os.utime(module, ns=(before + 1, before + 1))
    assert Sources(until_ns=before).line(str(module), 1) == ""


@pytest.mark.parametrize(
    "footer",
    ["", "[]", "{", '{"a": 1}', '{"/etc/passwd": {"text": "x"}}', f'{{"{CELL}": {{"text": 7, "number": 1}}}}'],
)
def test_a_footer_that_says_something_else_says_nothing(footer: str) -> None:
    """Anybody may have written it."""
    assert recorded({CELLS: footer}) == ({}, {})

"""The verbs of `%ior` without a kernel: what they say where there is nothing to show, and with hostile names."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError

from ior_nb.commands.magics import _cell_parser
from ior_nb.commands.verbs import Verbs, arguments_of
from ior_nb.errors import ConfigError
from ior_nb.result.trace import Trace
from ior_nb.runtime.clock import boot_clock
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import trace
from tests.fakes import FakeEngine, batch

EVIL = "\x1b]0;pwned\x07\x1b[31mred\u202e"


class Shell:
    """As much of IPython as the verbs want."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {}


@pytest.fixture
def engine() -> FakeEngine:
    """An engine the test plays."""
    return FakeEngine()


@pytest.fixture
def shell() -> Shell:
    """A shell with nothing in it."""
    return Shell()


@pytest.fixture
def verbs(engine: FakeEngine, shell: Shell) -> Verbs:
    """The verbs over a session of that engine."""
    return Verbs(shell, TracerSession(engine=engine), lambda made: shell.user_ns.update(_ior=made))


def traced(verbs: Verbs, engine: FakeEngine, **wanted: Any) -> Trace:
    """Return a trace of cell 7 with one row."""
    with trace(session=verbs.session, pid=1, cell=7, **wanted) as made:
        engine.emit(batch(syscall=["read"], file=[EVIL], comm=[EVIL], time_ns=[boot_clock()], pid=[1]))
    verbs.session.remember(7, made)
    return made


@pytest.mark.parametrize("line", ["df", "export x.csv", "sql SELECT * FROM trace"])
def test_without_a_trace_the_reason_is_said(verbs: Verbs, engine: FakeEngine, shell: Shell, line: str) -> None:
    """Nothing traced is not the same as a trace whose name is gone: then the way to it is said."""
    verb, _, rest = line.partition(" ")
    with pytest.raises(UsageError, match="nothing has been traced yet"):
        verbs.run(verb, rest)
    traced(verbs, engine)
    with pytest.raises(UsageError, match=r"_ior.* is not there any more; `%ior show 7` shows the last one"):
        verbs.run(verb, rest)
    shell.user_ns["_ior"] = 5

    with pytest.raises(UsageError, match=r"_ior.* is no trace any more"):
        verbs.run(verb, rest)


@pytest.mark.parametrize(
    "line",
    [
        f"diff {EVIL!s} 7",
        f"load /nowhere/{EVIL}.parquet",
        f"export /nowhere/{EVIL}.csv",
        f"record /nowhere/{EVIL}",
        f"filter {EVIL}=3",
        f"load '{EVIL}",
        f"load --{EVIL}",
        f"sql SELECT '{EVIL}' FROM nothing_{EVIL}",
    ],
)
def test_what_was_typed_never_acts_on_the_terminal(
    verbs: Verbs, engine: FakeEngine, shell: Shell, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error quotes names as escapes."""
    shell.user_ns["_ior"] = traced(verbs, engine)
    verb, _, rest = line.partition(" ")
    with pytest.raises((UsageError, OSError, ValueError)) as error:
        verbs.run(verb, rest)

    assert not set("\x1b\x07\u202e") & set(str(error.value) + capsys.readouterr().out)


def test_what_is_printed_never_acts_on_the_terminal(
    verbs: Verbs, engine: FakeEngine, shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paths, titles and filters in what verbs print, and in tables."""
    shell.user_ns["_ior"] = found = traced(verbs, engine, title=EVIL)
    for verb, rest in (("export", f"{tmp_path}/{EVIL}.csv"), ("filter", f'file~"{EVIL}"'), ("cells", ""), ("show", "")):
        verbs.run(verb, rest)
    verbs.run("record", f"{tmp_path}/{EVIL}")
    verbs.run("status", "")
    verbs.run("record", "stop")
    shown = "".join([capsys.readouterr().out, repr(found), repr(found.df()), found.files().to_string()])

    assert "pwned" in shown
    assert not set("\x1b\x07\u202e") & set(shown)


def test_rows_that_were_not_kept_say_where_they_are(verbs: Verbs, engine: FakeEngine, tmp_path: Path) -> None:
    """In the recording, where there is one; else nowhere, and how to have them next time."""
    without = traced(verbs, engine, keep_rows=False)
    with pytest.raises(ConfigError, match="it was not recorded: trace with its rows"):
        without.files()
    recorded = traced(verbs, engine, keep_rows=False, record=tmp_path / "x.parquet")

    with pytest.raises(ConfigError, match=r"ior_nb\.load\(.*x\.parquet"):
        recorded.files()


def test_cells_of_every_engine_are_known(verbs: Verbs, engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the engine used before are still listed and compared when another one has traced."""
    first = traced(verbs, engine)
    demo = verbs.use("demo")
    try:
        demo.remember(9, first)
        verbs.run("cells", "")
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["cell", "7", "9"]
        assert verbs.run("diff", "7 9").totals()["delta"].eq(0).all()
    finally:
        demo.close()


def test_sql_over_a_recording_of_a_part_counts_its_rows(verbs: Verbs, engine: FakeEngine, tmp_path: Path) -> None:
    """`%ior record` writes no accounting into the footer: what is said of the file is then what is in it."""
    pytest.importorskip("duckdb")
    path = tmp_path / "part.parquet"
    with trace(session=verbs.session, pid=1, filter="comm=b or bytes>5"):
        verbs.run("record", str(path))
        now = boot_clock()
        engine.emit(batch(syscall=["read"] * 3, comm=["b"] * 3, time_ns=[now] * 3, pid=[1] * 3))
        verbs.run("record", "stop")
    answer = verbs.run("sql", f"SELECT count(*) AS n FROM '{path}'")

    assert answer["n"].tolist() == [3]
    assert answer.attrs["accounting"]["seen"] == answer.attrs["accounting"]["emitted"] == 3


def test_a_cell_whose_trace_is_gone_is_told_from_an_unknown_one(verbs: Verbs, engine: FakeEngine) -> None:
    """Of a cell that was listed, run while %ior start traced, it is said where its rows are no more."""
    with trace(session=verbs.session, pid=1) as over:
        verbs.session.end_cell(verbs.session.begin_cell(5))
    verbs._ended(over)

    with pytest.raises(UsageError, match="the trace that cell 5 is of"):
        verbs.run("diff", "5 5")
    with pytest.raises(UsageError, match="6 is neither a traced cell"):
        verbs.run("diff", "6 6")


@pytest.mark.parametrize("name", ["3x", "a-b", "a.b", "class"])
def test_a_trace_is_bound_to_names_that_code_can_say(name: str) -> None:
    """Another one is refused before the cell runs."""
    assert arguments_of(_cell_parser(), "--name über_3").name == "über_3"
    with pytest.raises(UsageError, match="is no name of a variable"):
        arguments_of(_cell_parser(), f"--name {name}")


def test_a_report_has_its_time_of_day_in_one_zone(
    verbs: Verbs, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is sent it reads the time that a loaded recording says as well, wherever either was made."""
    found = traced(verbs, engine)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        page = found.export(tmp_path / "x.html").read_text()
    finally:
        monkeypatch.undo()
        time.tzset()

    assert f"{datetime.fromtimestamp(found.started_at, UTC):%Y-%m-%d %H:%M:%S} UTC" in page


def test_what_was_not_entered_is_no_trace(verbs: Verbs) -> None:
    """`t = ior_nb.trace(); t.df()` says how a trace is made; other names are missing as on any object."""
    window = trace(session=verbs.session, pid=1)

    with pytest.raises(AttributeError, match=r"`with ior_nb.trace\(...\) as t:` runs it"):
        window.df()
    with pytest.raises(AttributeError, match="has no attribute 'dff'"):
        window.dff()
    assert not hasattr(window, "df")


def test_cells_of_a_sampled_trace_are_compared_by_their_rows_when_asked(verbs: Verbs, engine: FakeEngine) -> None:
    """Exact counts know no cells: a comparison is refused, and says how to compare the rows alone."""
    engine.totals |= {"seen": 97, "sampled_out": 97}
    found = traced(verbs, engine)
    verbs.session.remember(7, found.filter("cell=7"))
    with pytest.raises(ConfigError, match=r"97 counted only.*%ior diff --rows-only A B"):
        verbs.run("diff", "7 7")

    assert "97 counted only" in repr(verbs.run("diff", "--rows-only 7 7"))

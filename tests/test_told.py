"""Whatever shows rows says what they lack: every public surface, under sampling, under loss and under a filter.

The surfaces come from the tables and classes themselves. A new one that is in none of the lists below fails here, until
somebody has decided what it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import comm
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ior_nb.commands import cli
from ior_nb.commands.verbs import VERBS, Verbs
from ior_nb.engine.counted import COUNTER
from ior_nb.engine.replay import ReplayEngine
from ior_nb.export import EXPORTERS
from ior_nb.result.comparison import Diff
from ior_nb.result.figures import FIGURES
from ior_nb.result.load import load
from ior_nb.result.trace import Trace
from ior_nb.runtime.clock import boot_clock
from ior_nb.session.session import TracerSession
from ior_nb.session.tracing import dashboard, trace
from ior_nb.syscalls import BY_NAME
from ior_nb.widgets import PANELS
from ior_nb.widgets.ticker import ticker
from tests.fakes import FakeEngine, batch
from tests.widgets.fake import RecordedComm

ROWS: Final = 3
CALLS: Final = 100
LOST: Final = CALLS - ROWS

pytestmark = pytest.mark.filterwarnings("ignore::ior_nb.errors.LostEventsWarning")


class Missing(FakeEngine):
    """An engine with 100 calls, of which 3 are rows."""

    missing = ""

    def counters(self) -> np.ndarray:
        """Return the counts of all calls: 97 more reads than there are rows, a failed one among them."""
        found = super().counters()
        if self.totals["emitted"]:
            number = BY_NAME["read"].number
            for field, value in (("calls", CALLS - 1), ("errors", 2), ("bytes", 980), ("latency_ns", 98_000)):
                found[field][number] = value
            found["histogram"][number][9] = CALLS - 1
            number = BY_NAME["openat"].number
            found["calls"][number], found["latency_ns"][number], found["histogram"][number][9] = 1, 1000, 1
        assert found.dtype == COUNTER
        return found

    def emit_all(self) -> None:
        """Hand out the rows, and count the others."""
        self.emit(
            batch(
                syscall=["read", "read", "openat"],
                family=["FS"] * ROWS,
                comm=["python"] * ROWS,
                pid=[7] * ROWS,
                tid=[7] * ROWS,
                file=["/a", "/b", "/a"],
                bytes=[10, 0, 0],
                ret=[10, -5, 3],
                is_error=[False, True, False],
                latency_ns=[1000] * ROWS,
                time_ns=[boot_clock()] * ROWS,
            )
        )
        if self.missing:
            self.totals["seen"] += LOST
            self.totals[self.missing] += LOST


class Shell:
    """As much of IPython as the verbs want."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {}


CASES: Final = {  # what is missing -> what the engine counts, and what every surface says
    "sampled": ("sampled_out", f"{LOST} counted only"),
    "lost": ("lost_ring", f"{LOST} lost (ring)"),
    "filtered": ("", "only rows where comm~python"),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    """What is missing."""
    return str(request.param)


@pytest.fixture
def said(case: str) -> str:
    """What every surface has to say."""
    return CASES[case][1]


@pytest.fixture
def engine(case: str) -> Missing:
    """The engine that misses it."""
    made = Missing()
    made.missing = CASES[case][0]
    return made


@pytest.fixture
def session(engine: Missing, case: str) -> Iterator[TracerSession]:
    """A session over that engine, with a filter in force where that is the case."""
    with TracerSession(engine=engine) as made:
        if case == "filtered":
            made.set(made.parse("comm~python"))
        yield made


@pytest.fixture
def traced(session: TracerSession, engine: Missing) -> Trace:
    """A finished trace, of cell 5."""
    with trace(session=session, pid=1, cell=5) as made:
        engine.emit_all()
    session.remember(5, made)
    return made


def words(answer: Any) -> str:
    """Return all an answer says in words."""
    if isinstance(answer, pd.DataFrame):
        shown = repr(answer), answer._repr_html_()  # type: ignore[operator]
        assert all(answer.attrs["completeness"] in text for text in shown)
        return str(answer.attrs["completeness"])
    if isinstance(answer, pa.Table):
        return str(answer.schema.metadata)
    if isinstance(answer, Path):
        return answer.read_bytes().decode("utf-8", "replace")
    if hasattr(answer, "layout"):
        return str(answer.layout.title.text)
    if isinstance(answer, dict):
        return json.dumps(answer, default=str)
    return str(answer)


def public(kind: type) -> set[str]:
    """Return the names a class offers."""
    return {name for name in dir(kind) if not name.startswith("_")}


# ---- traces


def _of_a_cluster(traced: Trace, folder: Path) -> Trace:
    """Return the trace as one whose rows have a task."""
    rows = pq.read_table(traced.to_parquet(folder / "one.parquet"))
    pq.write_table(rows.append_column("task_prefix", pa.array(["sum"] * len(rows))), folder / "cluster.parquet")
    return load(folder / "cluster.parquet")


TRACE_SURFACES: Final[dict[str, Callable[[Trace, Path], Any]]] = {
    **{
        name: (lambda t, _, name=name: getattr(t, name)())  # type: ignore[misc]
        for name in (
            "df table stats syscalls families files directories processes errors probes slowest waiting timeline "
            "flame lines imports plot metadata peers objects labels"
        ).split()
    },
    "tasks": lambda t, folder: _of_a_cluster(t, folder).tasks(),
    "completeness": lambda t, _: t.completeness.line(),
    "summary": lambda t, _: t.summary().text() + t.summary().html(),
    "to_parquet": lambda t, folder: t.to_parquet(folder / "x.parquet"),
    "export": lambda t, folder: t.export(folder / "y.html"),
    "diff": lambda t, _: t.diff(t, rows_only=True),
    "cache": lambda t, _: t.cache(t),
    "writeback": lambda t, _: t.writeback(),
    "filter": lambda t, _: t.filter("bytes>=0").summary().text(),
    "__repr__": lambda t, _: repr(t),
    "_repr_html_": lambda t, _: t._repr_html_(),
    "_repr_mimebundle_": lambda t, _: t._repr_mimebundle_(),
    "__arrow_c_stream__": lambda t, _: pa.table(t),
}
TRACE_PARTS: Final = set(  # for the session and for other modules: they show nothing
    "accounting add annotated asked batch batches began caveats cells counters duration_s ended engine finish finished "
    "here home host leave_rows name notes options origin pages recorded_cells recording recording_error records_cells "
    "counts_only records_command returncode rows rows_let_go scope sources stand_for started_at texts title "
    "unfilled window keeps_rows".split()
)


def test_every_member_of_a_trace_is_known(traced: Trace) -> None:
    """A new method of `Trace` is a surface, or is said to be none."""
    members = public(Trace) | {name for name in vars(traced) if not name.startswith("_")}
    surfaces = {name for name in TRACE_SURFACES if not name.startswith("_")}

    assert members == surfaces | TRACE_PARTS


@pytest.mark.parametrize("name", TRACE_SURFACES)
def test_a_trace_says_it_everywhere(name: str, traced: Trace, said: str, tmp_path: Path) -> None:
    """Tables, figures, files, Arrow, summaries."""
    found = words(TRACE_SURFACES[name](traced, tmp_path))

    assert said in found.replace("\\u2192", "→")


@pytest.mark.parametrize("what", FIGURES)
def test_every_figure_says_it(what: str, traced: Trace, said: str) -> None:
    """In its title."""
    assert said in words(traced.plot(what))


DIFF_SURFACES: Final = {
    "totals",
    "syscalls",
    "latency",
    "files",
    "processes",
    "flame",
    "told",
    "__repr__",
    "_repr_html_",
}


def test_a_comparison_says_it_everywhere(traced: Trace, said: str) -> None:
    """Its text, its page, its tables, its figure."""
    assert public(Diff) == {name for name in DIFF_SURFACES if not name.startswith("_")}
    found = traced.diff(traced, rows_only=True)

    for name in DIFF_SURFACES:
        assert said in words(getattr(found, name)()), name


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_format_says_it(name: str, traced: Trace, said: str, tmp_path: Path) -> None:
    """In metadata, a title, a column, or a stack, by what room the format has."""
    found = words(traced.export(tmp_path / f"x{EXPORTERS[name].extension}"))

    assert said in found.replace('\\"', '"')


def test_a_recording_says_it_when_it_is_loaded(traced: Trace, said: str, tmp_path: Path) -> None:
    """What a trace lacked its recording lacks too, and with it whatever is made of that."""
    again = load(traced.to_parquet(tmp_path / "x.parquet"))

    assert said in words(again.syscalls())
    assert again.completeness.unrecorded == traced.completeness.unrecorded
    assert int(again.stats().at["calls", "value"]) == int(traced.stats().at["calls", "value"])  # type: ignore[arg-type]


def test_a_recording_says_it_when_it_is_played(traced: Trace, case: str, said: str, tmp_path: Path) -> None:
    """A playback lacks what its recording lacks, and counts it."""
    engine = ReplayEngine(traced.to_parquet(tmp_path / "x.parquet"))
    with TracerSession(engine=engine) as session, trace(session=session) as played:
        pass

    assert said in words(played.syscalls())
    assert played.accounting.unaccounted == 0
    assert played.summary().calls == (CALLS if case != "filtered" else ROWS)
    assert played.completeness.unrecorded == traced.completeness.unrecorded


def test_a_recording_of_the_session_says_it(engine: Missing, session: TracerSession, said: str, tmp_path: Path) -> None:
    """`%ior record` has the rows of one or several traces, and says what each of these lacks."""
    session.record(tmp_path / "x.parquet")
    with trace(session=session, pid=1):
        engine.emit_all()
    path = session.stop_recording()
    assert path is not None

    assert said in words(load(path).df())


# ---- the dashboard


def test_every_panel_says_it(traced: Trace, session: TracerSession, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the strip above it, and in its static picture; those of the whole dashboard too."""
    monkeypatch.setattr(comm, "create_comm", RecordedComm)
    monkeypatch.setattr(ticker, "add", lambda panel: None)
    board = dashboard(traced, session=session)
    try:
        for panel in (board.bar, *board.panels.values()):
            panel.refresh(1.0, force=True)
        pictures = {name: panel.picture() for name, panel in board.panels.items()}
        strips = {name: panel.data["told"] for name, panel in board.panels.items()}
        bar, whole = board.bar.still(), board.still()
    finally:
        board.close()

    assert strips.keys() == PANELS.keys()
    assert [name for name, strip in strips.items() if said not in strip] == []
    assert [name for name, picture in pictures.items() if picture and said not in picture] == []
    assert said in bar
    assert said in whole


def test_no_panel_takes_the_rows_for_the_whole(
    case: str, traced: Trace, session: TracerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statistics of a finished trace count the calls that are no rows, but under a filter, which nobody counted."""
    monkeypatch.setattr(comm, "create_comm", RecordedComm)
    monkeypatch.setattr(ticker, "add", lambda panel: None)
    board = dashboard(traced, session=session)
    try:
        shown = board.runtime.statistics()
        assert shown is not None
        found = shown.snapshot()
        for panel in board.panels.values():
            panel.refresh(1.0, force=True)
        files, latency = (board[name].picture() for name in ("files", "latency"))
    finally:
        board.close()

    assert found is not None
    whole = case != "filtered"
    assert found.calls == (CALLS if whole else ROWS)
    assert (found.errors, found.bytes) == ((2, 980) if whole else (1, 10))
    assert ("(not recorded)" in files) == whole
    assert ("of the rows" in latency) == whole


# ---- verbs and the terminal


VERB_SURFACES: Final = {
    "status": "", "show": "summary", "df": "", "sql": "SELECT count(*) FROM trace", "cells": "", "diff": "5 5",
    "stop": "", "lines": "--library", "load": "{folder}/x.parquet", "export": "{folder}/z.csv",
}  # fmt: skip
SILENT_VERBS: Final = set("start filter probes reset record doctor help convert".split())


def test_every_verb_is_known() -> None:
    """A new verb shows rows, or is said to show none."""
    assert VERBS.keys() == VERB_SURFACES.keys() | SILENT_VERBS


@pytest.mark.parametrize("verb", [v for v in VERB_SURFACES if v not in ("status", "stop")])
def test_a_verb_says_it_of_the_last_trace(
    verb: str, traced: Trace, session: TracerSession, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it prints or returns."""
    if verb == "sql":
        pytest.importorskip("duckdb")
    shell = Shell()
    verbs = Verbs(shell, session, lambda made: shell.user_ns.update(_ior=made))
    shell.user_ns["_ior"] = traced
    traced.to_parquet(tmp_path / "x.parquet")
    answer = verbs.run(verb, VERB_SURFACES[verb].format(folder=tmp_path))
    if verb == "export":
        answer = tmp_path / "z.csv"

    assert said in ("" if answer is None else words(answer)) + capsys.readouterr().out


@pytest.mark.parametrize("verb", ["status", "show", "df", "sql", "cells", "stop"])
def test_a_verb_says_it_of_a_running_trace(
    verb: str, engine: Missing, session: TracerSession, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """So far, or at its end."""
    shell = Shell()
    verbs = Verbs(shell, session, lambda made: shell.user_ns.update(_ior=made))
    if verb == "sql":
        pytest.importorskip("duckdb")
    verbs._window = trace(session=session, pid=1)
    verbs._window.__enter__()
    entry = session.begin_cell(6)
    engine.emit_all()
    session.end_cell(entry)
    capsys.readouterr()
    answer = verbs.run(verb, VERB_SURFACES[verb])

    assert said in ("" if answer is None else words(answer)) + capsys.readouterr().out


def test_sql_says_it_of_a_recording(traced: Trace, session: TracerSession, said: str, tmp_path: Path) -> None:
    """An answer made of files says what these lack."""
    pytest.importorskip("duckdb")
    traced.to_parquet(tmp_path / "it's.parquet")
    path = str(tmp_path / "it''s.parquet")
    answer = Verbs(Shell(), session, lambda _: None).run("sql", f"SELECT count(*) FROM '{path}'")

    assert said in words(answer)


def test_json_says_it(traced: Trace, said: str) -> None:
    """The line of `ior-nb trace --json`."""
    assert said in words(cli._as_json(traced))


# ---- and the numbers are right


def test_tables_add_up_to_all_calls(case: str, traced: Trace) -> None:
    """Where the kernel counted what is no row, sums of tables are the totals; a filter it knows nothing of."""
    tables = ("syscalls", "families", "files", "directories", "processes")
    whole = CALLS if case != "filtered" else ROWS

    assert traced.stats().loc[["calls", "recorded"], "value"].tolist() == [whole, ROWS]
    assert {name: int(getattr(traced, name)().calls.sum()) for name in tables} == dict.fromkeys(tables, whole)
    assert traced.errors().calls.sum() == (2 if case != "filtered" else 1)
    assert traced.summary().calls == whole
    if case != "filtered":
        reads = traced.syscalls().set_index("syscall").loc["read"]
        assert (reads.calls, reads.recorded, reads.bytes, reads.time_ns) == (99, 2, 980, 98_000)
        assert reads.mean_ns == pytest.approx(98_000 / 99)


def test_a_filter_over_missing_calls_is_not_corrected(engine: Missing, case: str) -> None:
    """Which of the missing calls would have passed nobody knows: sums are of the rows, and a comparison is refused."""
    if case == "filtered":
        engine.missing = "sampled_out"
    with TracerSession(engine=engine) as session:
        with trace(session=session, pid=1, filter="file=/a") as found:
            engine.emit_all()
        assert found.syscalls().calls.sum() == 2
        assert "nobody knows which of the 97 calls without a row would be among these" in found.completeness.line()
        with pytest.raises(ValueError, match=r"cannot compare .*rows_only=True"):
            found.diff(found)


def test_rows_that_are_whole_say_nothing() -> None:
    """A complete trace has no line below its tables and no second line in its titles."""
    engine = Missing()
    with TracerSession(engine=engine) as session, trace(session=session, pid=1) as found:
        engine.emit_all()

    assert found.completeness.told() == ""
    assert "seen" not in repr(found.syscalls())
    assert found.syscalls().attrs["whole"] is True
    assert found.flame().layout.title.text == "count: 3 calls"


def test_a_filter_that_changes_is_told_as_it_changed(engine: Missing, session: TracerSession) -> None:
    """Rows under several filters, one after the other, name them all."""
    with trace(session=session, pid=1) as found:
        session.set(session.parse("errors"))
        engine.emit_all()
        session.set(session.parse(""))

    assert found.caveats[0].endswith("all rows")
    assert "errors" in found.caveats[0]

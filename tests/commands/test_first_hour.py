"""What people type in their first hour, in an IPython without a kernel, over an engine that traces nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from ior_nb.commands import magics
from ior_nb.result.trace import Trace
from ior_nb.session.session import TracerSession
from tests.fakes import FakeEngine


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A shell with the magics, in a folder of its own."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    made = InteractiveShell.instance()
    monkeypatch.setattr(magics, "_warm_up", lambda _: None)
    magics.load(made)
    loaded = magics._loaded[id(made)]
    session = TracerSession(engine=FakeEngine())
    loaded.verbs.session, loaded.verbs._sessions = session, [session]
    yield made
    magics.unload(made)
    session.close()
    InteractiveShell.clear_instance()


def offered(shell: Any, line: str) -> list[str]:
    """Return what is completed at the end of a line."""
    from IPython.core.completer import provisionalcompleter

    with provisionalcompleter():
        return [line[: c.start] + c.text for c in shell.Completer.completions(line, len(line))]


@pytest.mark.parametrize(
    ("cell", "named"),
    [
        ("%%ior --no-display     # this cell, its threads, its children\nx = 7", ""),
        ("# what this is about\n\n%%ior --no-display\nx = 7", ""),
        ("%%ior --filter comm~python and latency>=1ms --no-display\nx = 7", "comm~python and latency>=1ms"),
    ],
)
def test_what_people_type_traces(shell: Any, cell: str, named: str) -> None:
    """Comments behind and above the magic, and a filter without quotes, do no harm."""
    done = shell.run_cell(cell, store_history=True)

    assert done.success
    assert shell.user_ns["x"] == 7
    assert isinstance(shell.user_ns["_ior"], Trace)
    assert shell.user_ns["_ior"].options.get("filter", "") == named


@pytest.mark.parametrize("line", ["%ior", "%ior --families all", "%ior   # trace this"])
def test_one_percent_sign_on_top_of_code_is_refused(shell: Any, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The code below is not run untraced; what was meant is said."""
    done = shell.run_cell(f"{line}\nx = 8", store_history=True)

    assert not done.success
    assert "x" not in shell.user_ns
    assert "%%ior" in capsys.readouterr().err


def test_status_alone_stays_what_it_is(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`%ior` without code below it says what is going on."""
    assert shell.run_cell("%ior\n# nothing else", store_history=True).success
    assert "not tracing" in capsys.readouterr().out


def test_a_traceback_shows_what_was_written(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The first line of the cell is the magic, not what it was made to."""
    shell.run_cell("%%ior --no-display\nimport os\n1 / 0", store_history=True)
    shown = capsys.readouterr()

    assert "__ior_cell__" not in shown.out + shown.err
    assert "%%ior --no-display" in shown.out + shown.err


def test_help_is_the_verbs_and_the_options(shell: Any) -> None:
    """`%ior?` and `%%ior?` show what there is to type."""
    for kind in ("line", "cell"):
        shown = shell.magics_manager.magics[kind]["ior"].__doc__

        assert "%ior show" in shown
        assert "--families" in shown


@pytest.mark.parametrize(
    ("line", "first", "others"),
    [
        ("%ior ", "%ior start", {"%ior help"}),
        ("%ior show ", "%ior show overview", {"%ior show summary", "%ior show flame"}),
        ("%ior filter ", "%ior filter syscall", {"%ior filter mine", "%ior filter clear"}),
        ("%ior filter errors or la", "%ior filter errors or latency", set()),
        ("%ior load ", "%ior load a.parquet", {"%ior load folder/", "%ior load --start"}),
        ("%%ior --", "%%ior --help", {"%%ior --families"}),
        ("%%ior --families FS,N", "%%ior --families FS,Network", set()),
        ("%ior start --engine d", "%ior start --engine demo", set()),
    ],
)
def test_completion_offers_our_words_alone(shell: Any, tmp_path: Path, line: str, first: str, others: set[str]) -> None:
    """Verbs, panels, dimensions, files and options come first, and names of Python not at all."""
    (tmp_path / "a.parquet").touch()
    (tmp_path / "b.txt").touch()
    (tmp_path / "folder").mkdir()
    found = offered(shell, line)

    assert found[0] == first
    assert others <= set(found)
    assert not {line + name for name in ("abs", "and_", "b.txt", "print")} & set(found)


def test_a_window_says_how_it_becomes_a_trace(shell: Any) -> None:
    """Asked as if it were a trace, a window that was not entered says what to write."""
    from ior_nb.session.tracing import trace

    window = trace(session=shell.magics_manager.registry["IorMagics"].session, pid=1)
    with pytest.raises(AttributeError, match=r"with ior_nb.trace\(...\) as t.*t.df"):
        window.df()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        window.nonsense()

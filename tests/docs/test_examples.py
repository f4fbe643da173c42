"""What the pages show is what happens: Python blocks are run as cells, in order, and outputs are compared."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import re
import shlex
import sys
import tempfile
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import ior_nb
from ior_nb import real
from ior_nb.commands import cli
from ior_nb.doctor.places import DISTRIBUTIONS
from ior_nb.engine.collector.served import __main__ as served
from ior_nb.session import session
from tests.docs.pages import PAGES, ROOT, Block, blocks, differs

# Where the pages say the reader is.
WORK: Final = "/home/ada/work"
WITH_PYTHON: Final = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]
LANGUAGES: Final = {"python", "text", "sh"}
SHELL: Final = [pytest.param(b, id=str(b)) for page in PAGES for b in blocks(page) if b.language == "sh"]
each_page = pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory with a short name, for summaries cut long ones."""
    with tempfile.TemporaryDirectory(prefix="ior-") as made:
        monkeypatch.chdir(made)
        yield Path(made)


@pytest.fixture
def shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A shell, as IPython on a terminal has one; the sessions that its cells make are closed at the end."""
    sessions: dict[str, ior_nb.TracerSession] = {}
    monkeypatch.setattr(session, "_defaults", sessions)
    settings = Config({"HistoryManager": {"enabled": False}})
    page = types.ModuleType("__main__")  # what is defined in it is sent to workers whole, as from a notebook
    monkeypatch.setitem(sys.modules, "__main__", page)
    made: Any = InteractiveShell.instance(config=settings, user_module=page)
    made.display_formatter.active_types = ["text/plain"]
    made.display_formatter.ipython_display_formatter.enabled = False
    made.displayhook.write_output_prompt = lambda: None
    yield made
    if "ior_nb" in made.extension_manager.loaded:
        made.extension_manager.unload_extension("ior_nb")
    InteractiveShell.clear_instance()
    for thread in real.threads():
        if thread.name == "ior-warm-up":
            thread.join(30)
    for one in sessions.values():
        one.close()


def run(page: Path, shell: Any, *, live: bool) -> list[str]:
    """Run the Python blocks of a page; return what is not as the page says."""
    wrong, printed = [], ""
    for block in blocks(page):
        needed = block.mark.removeprefix("needs: ") if block.mark.startswith("needs: ") else ""
        skipped = (block.mark == "live" and not live) or (needed and importlib.util.find_spec(needed) is None)
        if skipped:
            continue
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as output:
                result = shell.run_cell(block.text, store_history=True)
            printed = output.getvalue().replace(str(Path.cwd()), WORK)
            if not result.success:
                wrong.append(f"{block}: {result.error_before_exec or result.error_in_exec!r}")
        elif block.language == "text":
            wrong += [f"{block}: not printed: {line}" for line in differs(block.text, printed)]
    return wrong


of_dask = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")
"""Dask itself uses what pandas 3.1 warns of."""


@of_dask
@each_page
def test_examples_run_on_made_up_data(page: Path, shell: InteractiveShell) -> None:
    """Every Python block of a page runs without rights, with made-up data in place of what would be traced."""
    session._defaults["auto"] = ior_nb.TracerSession(engine="demo")

    assert run(page, shell, live=False) == []


@pytest.mark.live
@pytest.mark.timeout(150)
@of_dask
@each_page
def test_examples_run_as_real_traces(page: Path, shell: InteractiveShell) -> None:
    """Every Python block of a page traces for real, and what the page shows is printed."""
    assert run(page, shell, live=True) == []


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    """A block is Python, an output, or lines for a shell; what the comment above says is one of two things."""
    found = [block for page in PAGES for block in blocks(page)]

    assert [str(b) for b in found if b.language not in LANGUAGES] == []
    assert [str(b) for b in found if not re.fullmatch(r"|live|needs: \w+", b.mark)] == []
    assert sum(page.read_text().count("\n```") for page in PAGES) == 2 * len(found)


@pytest.mark.parametrize("block", SHELL)
def test_lines_for_a_shell_name_what_exists(block: Block) -> None:
    """Every command of a page is there, with the options, targets, extras and files that it is given."""
    assert [line for line in block.text.splitlines() if shlex.split(line, comments=True) and not exists(line)] == []


def exists(line: str) -> bool:
    """Tell whether a line of a shell can be run as it stands."""
    match shlex.split(line, comments=True):
        case ["sudo", "ior-nb", "serve", *words]:
            served._parser().parse_args(words)
            return True
        case ["ior-nb", *words]:
            cli._parser().parse_args(words)
            return True
        case ["make", target, *variables]:
            files = (value for name, _, value in (v.partition("=") for v in variables) if name == "NOTEBOOK")
            makefile = (ROOT / "Makefile").read_text()
            return re.search(rf"^{target}:", makefile, re.M) is not None and all((ROOT / f).exists() for f in files)
        case ["pip", "install", what]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            return what == "." or what in {f".[{extra}]" for extra in extras}
        case ["sudo", *command]:
            return " ".join(command) in DISTRIBUTIONS.values()
        case ["voila", notebook]:
            return os.path.exists(ROOT / notebook)
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    """A relative link names a file that is there."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []

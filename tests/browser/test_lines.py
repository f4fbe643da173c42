"""The panel of lines in a real page, over a real trace: other cells, a module, threads and workers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import Lab, Notebook, write_notebook
from tests.browser.test_tables import shoot

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]

MODULE = """
import os


def five(fd):
    for _ in range(5):
        os.pread(fd, 1, 0)


def many(fd, n):
    made = {}
    for at in range(n):  # a function and a line each
        exec("\\n" * at + f"def line_{at}(pread, fd):\\n    pread(fd, 1, 0)", made)
        made[f"line_{at}"](os.pread, fd)
"""
START = """
%load_ext ior_nb
import multiprocessing, os, sys, threading
sys.path.insert(0, os.getcwd())
import shop
Z = os.open("/dev/zero", os.O_RDONLY)
%ior start
"""
OTHER = "def seven(fd):\n    for _ in range(7):\n        os.pread(fd, 1, 0)"
WORK = """
shop.five(Z)
seven(Z)
thread = threading.Thread(target=seven, args=(Z,))
thread.start(); thread.join()
with multiprocessing.get_context("fork").Pool(1) as pool:
    pool.map(shop.five, [Z])
"""


@pytest.fixture(scope="module")
def notebook(lab: Lab, context: BrowserContext) -> Any:
    """A panel of lines over a trace of this kernel."""
    (lab.folder / "shop.py").write_text(MODULE)
    path = write_notebook(
        lab.folder / "lines.ipynb",
        START,
        "import ior_nb\nior_nb.dashboard(panels=['lines'])",
        OTHER,
        WORK,
        "shop.many(Z, 300)",
    )
    opened = Notebook(context, lab, path)
    for index in range(3):
        opened.run(index)
    opened.cell(1).locator(".ior-dashboard").scroll_into_view_if_needed()
    yield opened
    assert opened.complaints == []
    assert opened.external == []


def run(notebook: Notebook, index: int) -> None:
    """Run a cell without moving away from the panel."""
    notebook.page.evaluate("i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i }", index)
    notebook.command("notebook:run-cell")
    notebook.cell(1).locator(".bar-filter").scroll_into_view_if_needed()


def calls(notebook: Notebook) -> dict[tuple[str, str], int]:
    """Return (function, line) -> calls, as they are shown at one moment."""
    found = notebook.page.evaluate(
        """() => {
            const table = [...document.querySelectorAll(".tb")].find(t => t.offsetParent);
            if (!table) return [];
            const heads = [...table.tHead.rows[0].cells].map(c => c.querySelector(".tb-head").textContent);
            return [...table.tBodies[0].rows].filter(r => r.cells.length === heads.length).map(
                r => ["function", "line", "calls"].map(name => r.cells[heads.indexOf(name)].textContent));
        }"""
    )
    return {(function, line): int(count.replace(",", "")) for function, line, count in found}


def settled(notebook: Notebook, wanted: dict[tuple[str, str], int]) -> dict[tuple[str, str], int | None]:
    """Return the calls these lines are shown with: as soon as they are those wanted, or after ten seconds."""
    found: dict[tuple[str, str], int | None] = {}
    for _ in range(100):
        shown = calls(notebook)
        found = {line: shown.get(line) for line in wanted}
        if found == wanted:
            break
        notebook.page.wait_for_timeout(100)
    return found


def test_lines_of_other_cells_modules_threads_and_workers_come_live(notebook: Notebook) -> None:
    """Each has its calls while the trace runs, whoever runs it, and more when it runs again."""
    shoot(notebook.page, "lines-begin")
    run(notebook, 3)
    once = settled(notebook, {("seven", "3"): 14, ("five", "7"): 10})
    shoot(notebook.page, "lines-light")
    run(notebook, 3)
    twice = settled(notebook, {("seven", "3"): 28, ("five", "7"): 20})

    assert once == {("seven", "3"): 14, ("five", "7"): 10}
    assert twice == {("seven", "3"): 28, ("five", "7"): 20}


def test_a_click_narrows_to_a_function_a_file_or_a_line(notebook: Notebook, lab: Lab) -> None:
    """The function's name, the file, or the line of the file."""
    page = notebook.page
    row = page.locator(".tb tbody tr:visible", has_text="shop.py").first
    for column, terms in (
        ("five", ["py_func=five"]),
        ("shop.py", [f"py_file={lab.folder}/shop.py"]),
        ("7", [f"py_file={lab.folder}/shop.py", "py_line=7"]),
    ):
        row.locator("td, th", has_text=re.compile(rf"(^|/){column}")).first.click()
        page.wait_for_function("n => document.querySelectorAll('.bar-chip-text').length === n", arg=len(terms))
        assert page.locator(".bar-chip-text").all_inner_texts() == terms
        run(notebook, 3)
        row.wait_for()
        shoot(page, f"lines-narrowed-{len(terms)}")
        page.locator(".bar-filter button", has_text="Clear").click()
        page.wait_for_function("() => !document.querySelector('.bar-chip')")
        run(notebook, 3)
        row.wait_for()


def test_many_lines_are_there(notebook: Notebook) -> None:
    """Three hundred functions, by their names; the total is all calls."""
    run(notebook, 4)
    assert settled(notebook, {("line_0", "2"): 1}) == {("line_0", "2"): 1}
    page = notebook.page
    page.locator(".tb-search:visible").fill("line_29")
    last = {(f"line_{at}", str(at + 2)): 1 for at in (29, *range(290, 300))}

    assert settled(notebook, last) == last
    page.locator(".tb-search:visible").fill("")
    shoot(page, "lines-busy")


def test_a_narrow_page_has_function_and_calls(notebook: Notebook) -> None:
    """What has no room is left out, what a line is and what it made are not."""
    page = notebook.page
    page.set_viewport_size({"width": 520, "height": 900})
    notebook.cell(1).locator(".bar-filter").scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    shoot(page, "lines-narrow")
    heads = page.locator(".tb thead:visible .tb-head").all_inner_texts()
    page.set_viewport_size({"width": 1200, "height": 900})

    assert {"function", "line", "calls"} <= set(heads)


def test_the_panel_is_seen_in_the_dark(notebook: Notebook) -> None:
    """Every text differs from what is behind it."""
    page = notebook.page
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    notebook.cell(1).locator(".bar-filter").scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    shoot(page, "lines-dark")
    colors = page.locator(".tb tbody td:visible").first.evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor]"
    )
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")

    assert colors[0] != colors[1]

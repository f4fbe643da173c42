"""The tables of the dashboard in a real page, over a real trace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import Lab, Notebook, write_notebook

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]

SHOTS = os.environ.get("IOR_NB_SHOTS")  # a folder to keep pictures in, for the eye
START = """
%load_ext ior_nb
import os, tempfile, threading, time
d = tempfile.mkdtemp()
evil = d + "/<img src=x onerror=window.hacked=1>\\u202e\\n$x$&amp;"
def work(n, name="plain"):
    for i in range(n):
        with open(f"{d}/{name}-{i % 40}", "wb") as f:
            f.write(b"x" * (i + 1))
    with open(evil, "w") as f:
        f.write("x" * 100_000)
    for i in range(5):
        os.path.exists("/nonexistent")
go = True
def race():
    with open(evil) as f:
        for i in range(80):  # two calls, now this one ahead, now that one
            if not go:
                break
            for _ in range(600 * (i + 1)):
                os.lseek(f.fileno(), 0, 0) if i % 2 else os.get_blocking(f.fileno())
            time.sleep(0.4)
%ior start
"""


def rows(page: Page, column: str) -> list[str]:
    """Return the texts of one column of the visible table, in order; the total last."""
    return page.evaluate(  # type: ignore[no-any-return]
        """name => {
            const table = [...document.querySelectorAll(".tb")].find(t => t.offsetParent);
            const at = [...table.tHead.rows[0].cells].findIndex(c => c.querySelector(".tb-head").textContent === name);
            return [...table.tBodies[0].rows, table.tFoot.rows[0]].map(r => r.cells[at]?.textContent ?? "");
        }""",
        column,
    )


def numbers(page: Page, column: str) -> list[int]:
    """Return a column of counts."""
    return [int(text.replace(",", "")) for text in rows(page, column)]


def tab(page: Page, name: str) -> None:
    """Bring a panel to the front and wait for its rows."""
    page.locator(".lm-TabBar-tabLabel", has_text=name).first.click()
    page.locator(".tb tbody tr:visible td").first.wait_for()


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the page where one is wanted."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def again(notebook: Notebook, index: int) -> None:
    """Run a cell without touching the page with the pointer."""
    notebook.page.evaluate("i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i }", index)
    notebook.command("notebook:run-cell")
    notebook.cell(1).locator(".bar-filter").scroll_into_view_if_needed()  # what is out of sight is not refreshed


def filtered(page: Page) -> str:
    """Wait for a term of the filter and return it."""
    page.locator(".bar-filter").scroll_into_view_if_needed()
    page.locator(".bar-chip").wait_for()
    return page.locator(".bar-chip-text").inner_text()


def clear(page: Page) -> None:
    """Show all rows again."""
    page.locator(".bar-filter button", has_text="Clear").click()
    page.locator(".bar-chip").wait_for(state="detached")


@pytest.fixture(scope="module")
def notebook(lab: Lab, context: BrowserContext) -> Any:
    """A dashboard of the three tables over a trace of this kernel."""
    path = write_notebook(
        lab.folder / "tables.ipynb",
        START,
        "import ior_nb\nior_nb.dashboard(panels=['syscalls', 'files', 'processes'])",
        "work(400)",
        "threading.Thread(target=race, daemon=True).start()",
        "go = False",
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = Notebook(context, lab, path)
    for index in range(3):
        opened.run(index)
    opened.cell(1).locator(".ior-dashboard").scroll_into_view_if_needed()
    yield opened
    assert opened.complaints == []
    assert opened.external == []


def test_the_table_of_system_calls(notebook: Notebook) -> None:
    """Rows add up to the total, columns sort both ways, the search narrows, rows live on over refreshes."""
    page = notebook.page
    tab(page, "Syscalls")
    while numbers(page, "calls")[-1] < 1200:  # three calls a file
        page.wait_for_timeout(100)
    shoot(page, "tables-syscalls")
    *calls, total = numbers(page, "calls")
    assert sum(calls) == total
    assert calls == sorted(calls, reverse=True)

    head = page.locator(".tb-sort:visible", has_text="calls")
    head.click()
    assert page.locator("th[aria-sort=ascending]:visible").inner_text().startswith("calls")
    *calls, _ = numbers(page, "calls")
    assert calls == sorted(calls)
    head.press("Enter")
    assert page.locator("th[aria-sort=descending]:visible").count() == 1

    search = page.locator(".tb-search:visible")
    search.fill("/^(openat|write)$/")
    assert sorted(rows(page, "name")[:-1]) == ["openat", "write"]
    search.fill("/(/")
    assert search.get_attribute("aria-invalid") == "true"
    search.fill("")

    again(notebook, 3)
    row = page.locator(".tb tbody tr:visible").first
    row.hover()
    row.evaluate("tr => { tr.mine = true }")
    before, order = numbers(page, "calls")[-1], rows(page, "name")
    page.wait_for_function("() => [...document.querySelectorAll('.tb-held')].some(e => e.textContent)")
    while numbers(page, "calls")[-1] == before:  # numbers go on
        page.wait_for_timeout(100)
    assert rows(page, "name")[: len(order) - 1] == order[:-1]
    page.mouse.move(2, 2)
    page.wait_for_function("() => [...document.querySelectorAll('.tb-held')].every(e => !e.textContent)")
    *calls, _ = numbers(page, "calls")
    assert calls == sorted(calls, reverse=True)
    assert page.locator(".tb tbody tr").evaluate_all("list => list.filter(tr => tr.mine).length") == 1
    again(notebook, 4)


def test_rows_answer_to_the_keyboard(notebook: Notebook) -> None:
    """Arrows, End and Home move, Ctrl-C copies the row, Enter pushes it onto the filter."""
    page = notebook.page
    tab(page, "Files")
    page.locator(".tb-search:visible").fill("plain-")
    page.locator(".tb tbody tr:visible", has_text="plain-").nth(5).wait_for()
    page.locator(".tb-search:visible").press("ArrowDown")
    page.wait_for_function("() => document.activeElement.closest('.tb tbody')")
    focused = "() => document.activeElement.textContent"
    first = page.evaluate(focused)
    page.keyboard.press("End")
    last = page.evaluate(focused)
    page.keyboard.press("Home")
    assert page.evaluate(focused) == first != last
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Control+c")
    copied = page.evaluate("() => navigator.clipboard.readText()")
    page.keyboard.press("Enter")
    term, path = filtered(page), copied.split("\t")[0]
    assert "/plain-" in path
    assert term == f"file={path}"
    clear(page)
    again(notebook, 2)
    page.locator(".tb tbody tr:visible").first.wait_for()
    shoot(page, "tables-files")
    page.locator(".tb-search:visible").fill("")


def test_hostile_names_are_text_in_table_and_treemap(notebook: Notebook) -> None:
    """A file called like markup is text everywhere, and a click on it narrows to its very name."""
    page = notebook.page
    tab(page, "Files")
    page.locator(".tb-search:visible").fill("")
    page.locator(".tb-sort:visible", has_text="written").click()
    page.locator("button:visible", has_text="Treemap").click()
    page.locator(".tb-map:visible").locator("..").wait_for()
    page.locator("select[aria-label='size of the boxes']:visible").select_option("bytes")
    box = page.locator(".tb-map:visible text", has_text="<img").first
    box.wait_for()
    shoot(page, "tables-treemap")
    box.click(force=True)
    assert "<img src=x" in filtered(page)
    again(notebook, 2)
    page.locator("button:visible", has_text="Table").first.click()
    page.locator(".tb tbody tr:visible", has_text="<img src=x onerror=window.hacked=1>\\u202e\\x0a$x$&amp;").wait_for()
    shoot(page, "tables-hostile")
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("() => window.hacked") is None
    clear(page)
    again(notebook, 2)
    tab(page, "Processes")
    shoot(page, "tables-processes")
    more = page.locator("button:visible", has_text="column")
    if more.count():  # what does not fit
        more.click()
    assert set(rows(page, "state")[:-1]) == {"running"}
    *calls, total = numbers(page, "calls")
    assert sum(calls) == total

"""The stream in a real page, fed by a real trace of the notebook's own kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import Lab, Notebook, write_notebook

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]

SHOTS = os.environ.get("IOR_NB_SHOTS")  # a folder to keep pictures in, for the eye
NAME = "<img src=x onerror=window.hacked=1>\\u202e"
FILES = f"""
import os, time
from ior_nb.runtime.clock import boot_clock
from ior_nb.sinks.streamrow import warning
for i in range(60):
    name = d + '/kept.txt' if i % 2 else d + '/{NAME}'
    open(name, 'w').write('x' * i)
session.stream_buffer().push(warning('lost <b>7</b> calls', boot_clock()))
time.sleep(1)  # until the page has it all
"""


def test_the_stream_follows_pauses_searches_and_narrows(lab: Lab, context: BrowserContext) -> None:
    """One session at the table: new rows come, a click holds them still, keys do what the buttons do."""
    path = write_notebook(
        lab.folder / "stream.ipynb",
        "%load_ext ior_nb\nimport tempfile\nfrom ior_nb.session.session import default_session\n"
        "session = default_session(); d = tempfile.mkdtemp()\n%ior start",
        "import ior_nb; ior_nb.dashboard(panels=['stream'])",
        FILES,
        FILES,
    )
    notebook = Notebook(context, lab, path)
    page = notebook.page
    page.set_default_timeout(10_000)
    for index in range(3):
        notebook.run(index)
    grid, status, found = page.locator(".st-grid"), page.locator(".st-status"), page.locator(".st-found")
    rows = page.locator(".st-row:not([hidden])")
    rows.filter(has_text="kept.txt").first.wait_for()

    # A press holds the view still while rows go on arriving, and chooses what is under it, whenever it is released.
    rows.filter(has_text="kept.txt").first.locator("[role=gridcell]").last.hover()
    before = rows.all_inner_texts()
    page.mouse.down()
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 3 }")
    notebook.command("notebook:run-cell")
    page.wait_for_function("() => / [1-9][\\d,]* waiting/.test(document.querySelector('.st-status').textContent)")
    page.mouse.up()
    page.locator(".st-selected").wait_for()
    assert rows.all_inner_texts() == before
    assert "kept.txt" in page.locator(".st-selected").inner_text()

    # Search: the slash goes to the box, enter to the matches, an invalid expression is called so.
    grid.focus()
    page.keyboard.press("/")
    page.keyboard.type("onerror=\\w+")
    page.keyboard.press("Enter")
    page.wait_for_function("() => /^1? ?[\\d,]* of /.test(document.querySelector('.st-found').textContent)")
    assert "".join(page.locator(".st-here mark").all_inner_texts()) == "onerror=window"
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / "stream-search.png"))
    page.locator(".st-query").fill("(")
    assert found.inner_text().startswith("invalid")
    page.keyboard.press("Escape")

    # The rows of one descriptor, and back.
    everything = status.inner_text().split(",")[0]
    page.keyboard.press("T")
    page.wait_for_function("() => document.querySelector('.st-status').textContent.includes('of descriptor')")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('.st-status').textContent.includes('of descriptor')")
    assert status.inner_text().split(",")[0] == everything

    # A heading sorts, and says so.
    page.locator(".st-head button", has_text="latency").click()
    page.wait_for_selector(".st-head [aria-sort=descending]")
    page.locator(".st-head button", has_text="latency").click()
    page.locator(".st-head button", has_text="latency").click()

    # Enter shows a warning as a whole.
    grid.focus()
    page.keyboard.press("/")
    page.keyboard.type("lost <b>")
    page.keyboard.press("Enter")
    grid.focus()
    page.keyboard.press("Enter")
    assert page.locator(".st-whole").inner_text() == "lost <b>7</b> calls"
    page.keyboard.press("Escape")

    # Enter on a cell narrows the dashboard; the value is the raw one, so that the filter finds the rows.
    page.locator(".st-query").fill("onerror")
    page.locator(".st-query").press("Enter")
    grid.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".bar-chip")
    page.wait_for_function(  # a warning is a row too, and elements are used again: no one of them is the first row
        "() => { const texts = [...document.querySelectorAll('.st-row:not([hidden])')].map((row) => row.textContent);"
        " return texts.some((text) => text.includes('onerror')) && texts.every((text) => /onerror|lost/.test(text)) }"
    )
    assert "onerror" in page.locator(".bar-chip").inner_text()

    # Space follows again.
    page.locator(".bar-filter button", has_text="Clear").click()
    grid.focus()
    page.keyboard.press(" ")
    page.wait_for_function("() => document.querySelector('.st-status').textContent.startsWith('following')")

    # The selected row goes to the clipboard.
    page.keyboard.press("c")
    page.wait_for_function("() => document.querySelector('.st-status').textContent === 'copied 1 row'")

    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("() => window.hacked") is None
    assert notebook.complaints == []
    assert notebook.external == []

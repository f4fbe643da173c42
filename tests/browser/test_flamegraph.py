"""The flame panel in a page, over a real trace: what only a browser can show."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import Lab, Notebook, write_notebook

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]

SETUP = """%load_ext ior_nb
import os, tempfile, time
from ior_nb.session.session import default_session
from ior_nb.widgets.ticker import ticker
d = tempfile.mkdtemp()
for name in ("ab", "abc", "<img src=x onerror=window.hacked=1>$x^2$"):
    os.mkdir(f"{d}/{name}")
    open(f"{d}/{name}/f", "w").close()
def work(names):
    for name in names * 40:
        os.stat(f"{d}/{name}/f")
"""
BOTH = "work(['ab', 'abc', '<img src=x onerror=window.hacked=1>$x^2$'])"
FOCUS = "() => document.querySelector('.fl-stage').focus()"


def test_zoom_search_filter_and_theme(lab: Lab, context: BrowserContext) -> None:
    """The zoom outlives refreshes, also of a frame that is gone for a while; search, filter and a dark theme work."""
    path = write_notebook(
        lab.folder / "flame.ipynb",
        SETUP,
        "import ior_nb; board = ior_nb.dashboard(panels=['flame']); board",
        f"%ior start\n{BOTH}",
        "for i in range(10):\n    work(['ab', 'abc']); time.sleep(0.1); ticker.refresh_now(board.runtime)",
        "board.runtime.trie().reset(); work(['abc'])",
        BOTH,
        "default_session().filters.active",
        "%ior stop",
    )
    notebook = Notebook(context, lab, path)
    for index in range(3):
        notebook.run(index)
    page = notebook.page
    panel = notebook.cell(1).locator(".ior:has(.fl-stage)")
    crumbs, chosen = panel.locator(".fl-crumbs"), panel.locator(".fl-chosen")

    def frame(text: str) -> Any:
        return panel.locator(".fl-plot g.slice").filter(has=page.get_by_text(text, exact=True)).first

    # A first picture as wide as its place; the page's own names stay its own.
    frame("newfstatat").wait_for(timeout=30_000)
    widths = [
        panel.locator(what).first.evaluate("e => e.clientWidth") for what in (".fl-stage", ".fl-plot svg.main-svg")
    ]
    assert widths[0] == pytest.approx(widths[1], abs=1)
    assert widths[0] > 800
    assert page.evaluate("() => typeof Plotly") == "undefined"
    assert page.evaluate("() => window.hacked") is None
    assert page.locator("img[src=x]").count() == 0

    # Click zooms; ten refreshes while a cell runs keep it, and the numbers go on.
    frame("newfstatat").locator("path").first.click()
    page.wait_for_function("() => document.querySelector('.fl-crumbs [aria-current]')?.textContent === 'newfstatat'")
    n = page.evaluate(
        "() => Number(document.querySelector('.fl-chosen').textContent.match(/([0-9,]+) calls/)[1].replace(',', ''))"
    )
    notebook.run(3)
    page.wait_for_function(
        "n => document.querySelector('.fl-chosen').textContent.match(/([0-9,]+) calls/)[1].replace(',', '') > n + 700",
        arg=n,
    )
    assert crumbs.locator("[aria-current]").inner_text() == "newfstatat"

    # A deeper zoom by keyboard, whose frame vanishes and comes back; the zoom waits for it.
    page.evaluate(FOCUS)
    page.keyboard.press("/")
    page.keyboard.type("/ab")
    page.keyboard.press("Enter")
    assert re.search(r"\d+ frames, \d+\.\d % of the total", panel.locator(".fl-found").inner_text())
    page.evaluate(FOCUS)
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.fl-crumbs [aria-current]')?.textContent === '/ab'")
    notebook.run(4)
    page.wait_for_function("() => document.querySelector('.fl-crumbs .fl-gone')?.textContent === '/ab'")
    notebook.run(5)
    page.wait_for_function("() => document.querySelector('.fl-crumbs [aria-current]')?.textContent === '/ab'")
    page.evaluate(FOCUS)
    page.keyboard.press("u")
    assert crumbs.locator("[aria-current]").inner_text() == "newfstatat"

    # Frame -> filter of the dashboard: /ab and what is below, not /abc.
    page.evaluate(FOCUS)
    page.keyboard.press("f")
    page.wait_for_function("() => document.querySelector('.fl-none').textContent.includes('filter')")
    notebook.run(6)
    text = notebook.cell(6).inner_text()
    assert "newfstatat" in text
    assert "/ab/*" in text
    notebook.run(5)
    page.wait_for_function(
        "() => /^.ab40 calls.*100.0 % of the rows/.test(document.querySelector('.fl-chosen').textContent)"
    )

    # All calls are below /tmp/tmp...: of two matches, one inside the other, the total counts once.
    page.evaluate(FOCUS)
    page.keyboard.press("/")
    page.keyboard.press("Control+a")
    page.keyboard.type("tmp")
    assert panel.locator(".fl-found").inner_text() == "2 frames, 100.0 % of the total"

    # Paused, the picture stands still and the trace goes on.
    page.evaluate(FOCUS)
    page.keyboard.press(" ")
    notebook.run(5)
    page.wait_for_timeout(1500)
    assert "40 calls" in chosen.inner_text()
    page.evaluate(FOCUS)
    page.keyboard.press(" ")
    page.wait_for_function("() => document.querySelector('.fl-chosen').textContent.includes('80 calls')")

    # The dark theme reaches the colours of the plot.
    def ink() -> str:
        return str(page.evaluate("() => document.querySelector('.fl-plot').layout.font.color"))

    light = ink()
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.wait_for_function("was => document.querySelector('.fl-plot').layout.font.color !== was", arg=light)
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    notebook.run(7)
    assert notebook.external == []
    assert notebook.complaints == []

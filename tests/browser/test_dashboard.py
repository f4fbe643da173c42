"""The dashboard in real pages, over a real trace: what moves, what is kept, what is left behind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import KERNELS, Lab, Notebook, write_notebook

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]

WORK: Final = """
import os, time
def work(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name in ("/etc/hostname", "/etc/passwd"):
            fd = os.open(name, os.O_RDONLY); os.read(fd, 4096); os.close(fd)
        time.sleep(0.01)
"""
START: Final = "%load_ext ior_nb\n%ior start"
LEFT: Final = """
import subprocess, threading
import ipywidgets
from ior_nb.widgets.panel import Panel
for _ in range(3):
    d = ior_nb.dashboard(panels=["overview", "filter"]); display(d); work(0.3); d.close()
shown.close(); s.close(); time.sleep(0.6)
widgets = ipywidgets.widgets.widget._instances.values()
print([type(w).__name__ for w in widgets if isinstance(w, (Panel, ipywidgets.Tab))],
      [t.name for t in threading.enumerate() if t.name.startswith("ior")],
      subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "collector"], stdout=subprocess.PIPE).stdout.split())
"""
SHOW: Final = """
import ior_nb
from ior_nb.session.session import default_session
s = default_session()
shown = ior_nb.dashboard(panels=["overview"])
shown
"""


def until(what: Callable[[], Any], seconds: float = 15) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found


def calls(notebook: Notebook, cell: int) -> int:
    """Return the count of calls the overview shows; a view out of sight is not refreshed."""
    notebook.cell(cell).locator(".bar-title").scroll_into_view_if_needed()
    return int(notebook.cell(cell).locator(".ov-value").first.inner_text().replace(",", "") or 0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_view_moves_while_a_cell_runs(lab: Lab, context: BrowserContext, kernel: str) -> None:
    """During a synchronous cell the numbers go on; a click is handled at once or, as the page says, afterwards."""
    path = write_notebook(
        lab.folder / f"busy-{kernel}.ipynb", WORK, START, SHOW, "work(6)", "print(s.filters.active)", kernel=kernel
    )
    notebook = Notebook(context, lab, path)
    for index in range(3):
        notebook.run(index)
    until(lambda: notebook.cell(2).locator(".ov-value").count())
    notebook.cell(3).locator(".jp-InputArea-editor").click()
    notebook.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")
    seen = set()
    for _ in range(12):
        seen.add(calls(notebook, 2))
        notebook.page.wait_for_timeout(200)
    assert len(seen) >= 4
    notebook.cell(2).locator(".ov-row", has_text="hostname").click()
    strip = notebook.cell(2).locator(".ior-strip", has_text="busy")
    chip = notebook.cell(2).locator(".bar-chip", has_text="hostname")
    until(lambda: chip.count() or strip.count(), 5)
    until(chip.count, 20)
    notebook.run(4)
    assert "hostname" in notebook.cell(4).inner_text()
    assert notebook.complaints == []
    assert notebook.external == []


def test_a_reload_two_views_and_a_new_trace(lab: Lab, context: BrowserContext) -> None:
    """A reload brings the view back, a second view shows the same, a new trace takes the place of the old one."""
    cells = [WORK, START, SHOW, "shown", "work(0.5)", "%ior stop", "%ior start", "work(0.3)"]
    path = write_notebook(lab.folder / "views.ipynb", *cells)
    notebook = Notebook(context, lab, path)
    for index in range(5):
        notebook.run(index)
    first = until(lambda: calls(notebook, 2))
    until(lambda: calls(notebook, 3) >= first)
    notebook.command("docmanager:save")
    notebook.page.reload()
    notebook.page.wait_for_selector(".ov-value", timeout=60_000)
    until(lambda: calls(notebook, 2) >= first)
    until(lambda: calls(notebook, 3) >= first)
    notebook.run(5)
    title = notebook.cell(2).locator(".bar-title")
    title.scroll_into_view_if_needed()
    until(lambda: title.inner_text().startswith("traced"))
    ended = calls(notebook, 2)
    assert ended >= first
    notebook.run(6)
    until(lambda: calls(notebook, 2) < ended)
    notebook.run(7)
    until(lambda: calls(notebook, 2) > 50)
    assert notebook.complaints == []


def test_nothing_is_left_behind(lab: Lab, context: BrowserContext) -> None:
    """Closed dashboards leave no widget, comm, ticker or collector; the saved notebook shows the last state."""
    path = write_notebook(lab.folder / "life.ipynb", WORK, START, SHOW, LEFT)
    notebook = Notebook(context, lab, path)
    for index in range(4):
        notebook.run(index)
    assert "[] [] []" in notebook.cell(3).inner_text()
    notebook.command("docmanager:save")
    outputs = json.loads(path.read_text())["cells"][3]["outputs"]
    stills = ["".join(o["data"]["text/html"]) for o in outputs if "text/html" in o.get("data", {})]
    assert len(stills) == 3
    assert all("mean latency" in still for still in stills)
    # The kernel ends, the notebook is opened again: the picture, and no word of a missing model.
    notebook.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    notebook.page.close()
    again = Notebook(context, lab, path)
    shown = again.cell(3).locator(".jp-OutputArea")
    until(lambda: "mean latency" in shown.inner_text())
    again.page.wait_for_timeout(1000)
    assert "model not found" not in shown.inner_text()


def test_the_other_notebook_application_shows_it_too(lab: Lab, context: BrowserContext) -> None:
    """Jupyter Notebook 7 draws the dashboard, live, without anything from elsewhere."""
    path = write_notebook(lab.folder / "seven.ipynb", WORK, START, SHOW, "work(0.5)")
    notebook = Notebook(context, lab, path, place="notebooks")
    for index in range(4):
        notebook.run(index)
    until(lambda: calls(notebook, 2) > 50)
    assert notebook.external == []

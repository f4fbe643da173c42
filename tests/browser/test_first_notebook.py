from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import ROOT, Lab, Notebook, write_notebook

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]

SHOTS = os.environ.get("IOR_NB_SHOTS")  # a folder to keep pictures in, for the eye


def shoot(notebook: Notebook, name: str) -> None:
    """Keep a picture of the page where one is wanted."""
    if SHOTS:
        notebook.page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def test_the_first_notebook_runs_in_jupyterlab(lab: Lab, context: BrowserContext) -> None:
    """Run All gives the summary, the rows and the completeness line; nothing is fetched from elsewhere."""
    path = lab.folder / "01-first-trace.ipynb"
    shutil.copy(ROOT / "notebooks" / path.name, path)
    notebook = Notebook(context, lab, path)
    notebook.command("notebook:clear-all-cell-outputs")
    notebook.command("notebook:run-all-cells")
    summary = notebook.cell(1).locator(".jp-OutputArea-output").first
    summary.scroll_into_view_if_needed()
    shoot(notebook, "first-trace-light")

    assert "complete: " in summary.inner_text()
    assert summary.locator("td", has_text="numbers.csv").count() > 0
    assert "complete: " in notebook.cell(4).inner_text()
    assert notebook.external == []
    notebook.page.evaluate(
        "() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
    )
    notebook.page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    notebook.page.wait_for_selector("#jupyterlab-splash", state="detached")
    shoot(notebook, "first-trace-dark")
    notebook.page.evaluate(
        "() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})"
    )


def test_hostile_names_are_text_in_the_page(lab: Lab, context: BrowserContext) -> None:
    """A file called like markup neither becomes an element nor runs; an error and an empty trace show as well."""
    path = write_notebook(
        lab.folder / "hostile.ipynb",
        "%load_ext ior_nb\nimport os, tempfile\nd = tempfile.mkdtemp()",
        "%%ior\nopen(d + '/<img src=x onerror=window.hacked=1>\\u202etxt', 'w').write('x');",
        "%%ior\n1 / 0",
        "%%ior --families Nonsense\n1",
    )
    notebook = Notebook(context, lab, path)
    for index in range(4):
        notebook.run(index)
    page = notebook.page
    summary = notebook.cell(1).locator(".jp-OutputArea-output").first
    shoot(notebook, "hostile")

    assert "<img src=x onerror=window.hacked=1>\\u202etxt" in summary.inner_text()
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("() => window.hacked") is None
    assert "0 calls" in notebook.cell(2).inner_text()
    assert "UsageError" in notebook.cell(3).inner_text()

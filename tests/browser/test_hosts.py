"""The list of hosts in a real page, over recordings of three machines, one of which has a hostile name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import BrowserContext

from ior_nb.export import About, export
from tests.browser.conftest import Lab, Notebook, write_notebook
from tests.fakes import batch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

SHOTS = os.environ.get("IOR_NB_SHOTS")  # a folder to keep pictures in, for the eye
ODD: Final = "<img src=x onerror=window.hacked=1>\u202e" + "x" * 80
CALLS: Final = {"ada": 300, "bob": 500, ODD: 700}


def shown(lab: Lab, context: BrowserContext, *panels: str) -> Notebook:
    """Show panels over the recordings of all hosts."""
    folder = lab.folder / "fleet"
    folder.mkdir(exist_ok=True)
    for number, (host, calls) in enumerate(CALLS.items()):
        rows: dict[str, list[object]] = {
            "syscall": ["read"] * calls,
            "family": ["FS"] * calls,
            "comm": ["worker"] * calls,
            "pid": [7] * calls,
            "file": [f"/data/part-{number}"] * calls,
            "time_ns": [10**12 + i * 10**6 for i in range(calls)],
            "seq": list(range(calls)),
        }
        about = About(metadata={"ior_nb.hostname": host})
        export(batch(**rows), folder / f"{number}.parquet", about=about)
    show = f"import ior_nb; ior_nb.dashboard(ior_nb.load('fleet'), panels={list(panels)})"
    notebook = Notebook(context, lab, write_notebook(lab.folder / f"hosts-{panels[0]}.ipynb", show))
    notebook.page.set_default_timeout(15_000)
    notebook.run(0)
    return notebook


def test_a_click_on_a_process_is_about_its_host(lab: Lab, context: BrowserContext) -> None:
    """The filter says host and id, the rows that are left are that host's, and the stream says so in a column."""
    notebook = shown(lab, context, "stream", "processes")
    page = notebook.page
    page.locator(".ior-dashboard .lm-TabBar-tabLabel", has_text="Processes").click()
    process = page.locator(".tb:visible tbody tr").filter(has_text="bob")
    process.hover()
    process.locator(".tb-funnel").click()
    page.locator(".tb:visible tfoot").filter(has_text=f"{CALLS['bob']:,}").wait_for()
    page.locator(".ior-dashboard .lm-TabBar-tabLabel", has_text="Stream").click()
    page.locator(".st-grid:visible").get_by_text("bob", exact=True).first.wait_for()
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / "hosts-stream.png"))

    assert "host=bob" in page.locator(".ior-dashboard").inner_text()
    assert page.evaluate("() => window.hacked") is None
    assert notebook.complaints == []


def test_a_host_is_chosen_from_the_list(lab: Lab, context: BrowserContext) -> None:
    """All are shown at first, then the one that is chosen, then all again; a name is text, and fits the bar."""
    notebook = shown(lab, context, "processes", "files")
    page = notebook.page
    hosts, total = page.locator("select[aria-label=host]"), page.locator(".tb:visible tfoot")
    names = {}
    for host in ("", "ada", ODD, ""):
        hosts.select_option(value=host)
        total.filter(has_text=f"{CALLS.get(host, sum(CALLS.values())):,}").wait_for()
        names[host] = page.locator(".tb:visible tbody tr:visible th").all_inner_texts()
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / f"hosts-{len(host)}.png"))
    page.set_viewport_size({"width": 500, "height": 900})
    bar, chosen = page.locator(".ior-dashboard").bounding_box(), hosts.bounding_box()
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / "hosts-narrow.png"))

    assert hosts.locator("option").count() == 4
    assert [len(found) for found in names.values()] == [3, 1, 1]
    assert all(name.endswith(":7") for found in names.values() for name in found)
    assert bar is not None
    assert chosen is not None
    assert chosen["x"] + chosen["width"] <= bar["x"] + bar["width"]
    assert page.evaluate("() => window.hacked") is None
    assert notebook.complaints == []

"""The panels that steer a trace, in a real page, over a real trace: filter, recorder, picker."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import Lab, Notebook, write_notebook

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]

SHOW = "rows = d.runtime.stream().snapshot(); print(sorted({rows.tables['file'][int(c)] for c in rows['file']}))"


def test_filter_record_and_pick(lab: Lab, context: BrowserContext) -> None:
    """A typed filter acts on the session, a recording can be read, a picked child is traced; nothing is fetched."""
    path = write_notebook(
        lab.folder / "steer.ipynb",
        "%load_ext ior_nb\n"
        "import ior_nb, subprocess, tempfile\n"
        "from ior_nb.session.session import default_session\n"
        "s = default_session(); folder = tempfile.mkdtemp()\n"
        "d = ior_nb.dashboard(panels=['filter', 'recorder', 'picker'])\n"
        "loop = 'for i in $(seq 900); do : < /etc/hostname; sleep 0.05; done'\n"
        "child = subprocess.Popen(['sh', '-c', loop, '<img src=x onerror=window.hacked=1>\\u202e'])\n"
        "%ior start\nprint(child.pid)",
        "d",
        "for name in 'ab': open(f'{folder}/{name}', 'w').write(name)",
        SHOW,
        "rows = ior_nb.load(path); print(len(rows) > 0, folder + '/a' in set(rows.df()['file']))",
        "import time\nfor _ in range(60):\n"
        "    rows = d.runtime.stream().snapshot(); mine = set(rows['pid'].tolist())\n"
        "    if child.pid in mine: break\n"
        "    time.sleep(0.1)\n"
        "print(child.pid in mine)",
        "%ior stop\nchild.kill(); child.wait();",
    )
    expect.set_options(timeout=20_000)
    notebook = Notebook(context, lab, path)
    page, view = notebook.page, notebook.cell(1)

    def out(index: int) -> str:
        notebook.run(index)
        return str(notebook.cell(index).locator(".jp-OutputArea-output").first.inner_text())

    def tab(name: str) -> None:
        view.locator(".lm-TabBar-tab", has_text=name).click()

    child = out(0).split()[-1]
    notebook.run(1)
    text, state = view.locator(".ft-text"), view.locator(".ft-state")

    # A wrong text is marked at the place, and not applied.
    text.fill("pid=3 latency>=5x")
    expect(state).to_have_text("latency: unknown unit 'x'; there are ns us ms s m h")
    expect(view.locator(".ft-at")).to_have_text("x")
    page.keyboard.press("Enter")
    expect(view.locator(".bar-chips")).to_contain_text("all rows")

    # Completed with the keyboard alone, and seen in the fields.
    text.fill("")
    page.keyboard.type("fil")
    expect(view.locator(".ft-list [role=option]").first).to_contain_text("file")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("~/a$ latency>=1ns")
    expect(view.get_by_label("file", exact=True)).to_have_value("/a$")
    expect(view.get_by_label("latency", exact=True)).to_have_value("1ns")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(view.locator(".bar-chip-text")).to_have_text(["file~/a$", "latency>=1ns"])
    notebook.run(2)
    assert "/b'" not in out(3)

    # A field rewrites its own term; a chip goes with a click.
    view.get_by_label("latency", exact=True).fill("2us")
    expect(text).to_have_value("file~/a$ and latency>=2us")
    page.keyboard.press("Enter")
    expect(view.locator(".ft-chip .ft-word")).to_have_text(["file~/a$", "latency>=2us"])
    view.get_by_role("button", name="remove file~/a$").and_(view.locator(".ft-chip button")).click()
    expect(text).to_have_value("latency>=2us")
    expect(view.locator(".ft-history li")).to_have_text(["clear file", "latency>=2us", "file~/a$ latency>=1ns"])
    view.locator(".ft-line button", has_text="Clear").click()
    view.locator(".bar-chips").scroll_into_view_if_needed()  # out of sight it waits
    expect(view.locator(".bar-chips")).to_contain_text("all rows")

    # Recorded by a click, read by the line of code it shows.
    tab("Record")
    view.locator(".rc-name").fill("steered")
    view.locator(".rc-go").click()
    expect(view.locator(".rc-where")).to_contain_text("writing to")
    notebook.run(2)
    view.locator(".rc-go").click()
    expect(view.locator(".rc-last code").first).to_have_text(f"{lab.folder}/steered.parquet")
    code = view.locator(".rc-last code").nth(1).inner_text()
    copy = view.get_by_role("button", name="copy the line of code")
    copy.click()
    expect(copy).to_have_text("copied")
    page.evaluate(
        "line => { const cell = window.jupyterapp.shell.currentWidget.content.widgets[4].model.sharedModel;"
        " cell.setSource(cell.getSource().replace('ior_nb.load(path)', line)) }",
        code,
    )
    assert out(4).strip() == "True True"

    # Stop this trace; pick the child.
    tab("Trace")
    view.locator(".pk-stop").click()
    view.locator(".pk-search").fill(child)
    row = view.locator(".pk-row", has_text="etc/hostname")
    expect(row.locator(".pk-command")).to_contain_text("\\u202e")
    row.click()
    view.locator(".pk-go", has_text=child).click()
    expect(view.locator(".pk-running")).to_contain_text(f"Tracing process {child}")
    assert out(5).strip() == "True"
    notebook.run(6)

    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("() => window.hacked") is None
    assert notebook.complaints == []
    assert notebook.external == []

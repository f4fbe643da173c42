"""The latency and the probes panel in a real page, over a real trace."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from ior_nb.syscalls import NATIVE
from tests.browser.conftest import Lab, Notebook, write_notebook
from tests.calls import here

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(180)]

FS = sorted(call.name for call in NATIVE if call.family == "FS")
ACCESS = here("access")

CELLS = (
    """%load_ext ior_nb
import os, threading, time
import ior_nb
from ior_nb.errors import SourceError
from ior_nb.session.session import default_session
s = default_session()
ior_nb.dashboard(panels=['latency', 'probes'])""",
    """%ior start --families FS
stop = threading.Event()
def work():
    while not stop.wait(0.01):
        os.access('/etc/hosts', os.R_OK)
        os.stat('/etc')
threading.Thread(target=work, daemon=True).start()""",
    """time.sleep(0.2)
_, before = s.stream_buffer().tail(-1)
time.sleep(0.3)
rows, _ = s.stream_buffer().tail(before)
print('seen:', *sorted({rows.tables['syscall'][int(c)] for c in rows['syscall']}))""",
    """def refuse(*_): raise SourceError('out of memory <img src=x onerror=window.hacked=1>')
s.running.probes._apply = refuse""",
    "stop.set()\n%ior stop",
)


def seen(notebook: Notebook) -> set[str]:
    """Names of the calls whose rows come now."""
    notebook.run(2)
    output: Any = notebook.cell(2).locator(".jp-OutputArea-output").last
    expect(output).to_contain_text("seen:")
    return set(output.inner_text().split()[1:])


def test_a_bar_narrows_and_a_checkbox_stops_its_rows(lab: Lab, context: BrowserContext) -> None:
    """Bars and the map narrow the filter; probes and families stop and resume rows; a refusal goes back."""
    notebook = Notebook(context, lab, write_notebook(lab.folder / "latency-probes.ipynb", *CELLS))
    page = notebook.page
    notebook.run(0)
    expect(page.get_by_text("No call has been timed yet")).to_be_visible()
    notebook.run(1)
    chips = page.locator(".bar-chip-text")
    bars = page.get_by_role("group", name="Latency of calls").locator("button:enabled")
    heat = page.locator(".lt-map")
    expect(page.locator(".lt-readout")).to_contain_text("choose an interval")
    heat.focus()
    for key in ("ArrowUp", "Shift+ArrowUp", "Shift+ArrowLeft"):
        heat.press(key)
    expect(page.locator(".lt-actions")).to_contain_text("calls, ")
    heat.press("Enter")
    expect(chips).to_have_count(2)
    assert chips.first.inner_text().startswith("latency>=")
    assert page.locator(".jp-Notebook.jp-mod-editMode").count() == 0
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(chips).to_have_count(0)
    bars.filter(has_text="1 µs – 10 µs").click()
    expect(chips).to_have_text(["latency>=1us", "latency<10us"])
    page.get_by_role("button", name="Clear", exact=True).click()
    page.get_by_role("button", name="on CPU").click()
    expect(chips).to_have_text(["on_cpu>0"])
    page.get_by_role("button", name="Clear", exact=True).click()

    page.locator(".ior-tabs .lm-TabBar-tab", has_text="Probes").click()
    box, family = page.get_by_label(ACCESS, exact=True), page.get_by_label(f"all {len(FS)} of FS")
    expect(box).to_be_checked()
    assert ACCESS in seen(notebook)
    box.click()
    expect(page.locator(".pb-active")).to_contain_text(f"{len(FS) - 1} of")
    assert family.evaluate("box => box.indeterminate")
    rest = seen(notebook)
    assert rest
    assert ACCESS not in rest
    box.click()
    expect(page.locator(".pb-active")).to_contain_text(f"{len(FS)} of")
    assert ACCESS in seen(notebook)
    family.click()
    expect(page.locator(".pb-active")).to_contain_text("0 of")
    assert seen(notebook) == set()
    family.click()
    expect(page.locator(".pb-active")).to_contain_text(f"{len(FS)} of")
    assert ACCESS in seen(notebook)

    after = FS[FS.index(ACCESS) + 1]
    box.press("ArrowRight")
    assert page.evaluate("() => document.activeElement.closest('label').innerText") == after
    notebook.run(3)
    box.click()
    expect(page.locator(".pb-errors").first).to_contain_text(f"{ACCESS}: out of memory <img")
    expect(box).to_be_checked()
    notebook.run(4)
    page.locator(".bar-dot").scroll_into_view_if_needed()  # a view out of sight is not drawn
    expect(page.get_by_text("Probes can be switched while a trace runs")).to_be_visible()

    assert page.evaluate("() => window.hacked") is None
    assert notebook.complaints == []
    assert notebook.external == []

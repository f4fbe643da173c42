"""The dashboard for those who see less, or otherwise: contrast, names, the system's own colours, and rest."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.sync_api import BrowserContext, Page
from playwright.sync_api import TimeoutError as TooLong

from tests.browser.conftest import ROOT, Lab, Notebook, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SHOTS = os.environ.get("IOR_NB_SHOTS")  # a folder to keep pictures in, for the eye
AXE: Final = ROOT / "tests/js/node_modules/axe-core/axe.min.js"
CHOSEN: Final = """() => {
    const seen = (what) => [...document.querySelectorAll(what)].find((e) => e.checkVisibility());
    const row = seen(".st-selected"), cell = seen(".st-cell");
    return row && cell && [getComputedStyle(row).backgroundColor, getComputedStyle(cell).outlineStyle];
}"""  # both at once: rows that come may take them away
SHOW: Final = """
%load_ext ior_nb
%ior start --engine demo
import ior_nb
from ior_nb.session import default_session
ior_nb.dashboard(session=default_session("demo"))
"""
DRAWN: Final = {  # tab -> what is there once its panel has been drawn
    "Overview": ".ov-row",
    "Flame": ".fl-plot .slice",
    "Syscalls": ".tb tbody td",
    "Files": ".tb tbody td",
    "Processes": ".tb tbody td",
    "Lines": ".tb tbody td",
    "Latency": ".lt-bar:not(:disabled)",
    "Stream": ".st-row",
    "Filter": ".ft-dim",
    "Probes": ".pb-probe, .ior-empty",
    "Record": ".rc-go",
    "Trace": ".pk-row",
}
GRAVE: Final = """async () => {
    const seen = { include: [".ior-dashboard"], exclude: [".ior-dashboard .lm-mod-hidden"] };
    const { violations } = await axe.run(seen, { resultTypes: ["violations"] });
    return violations.filter((v) => ["serious", "critical"].includes(v.impact))
        .flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 160)}: ${n.failureSummary}`));
}"""  # a panel behind the one in front has its turn, and would cost as much each time
PALE: Final = """() => {
    const panel = [...document.querySelectorAll(".ior-tabs .ior-body")].find((body) => body.offsetParent);
    panel.insertAdjacentHTML("afterbegin", "<p class=pale style='color: #999; background: #888'>pale</p>");
}"""

MOTIONS: Final[tuple[Literal["no-preference", "reduce"], ...]] = ("no-preference", "reduce")
WATCH: Final = """() => {
    const paths = () => [...document.querySelectorAll(".tb-map path.surface")].map((p) => p.getAttribute("d")).join();
    const seen = new Set([paths()]), end = performance.now() + 1000;
    window.steps = new Promise((done) => {
        const look = () => {
            seen.add(paths());
            if (performance.now() < end) requestAnimationFrame(look);
            else done(seen.size - 1);
        };
        look();
    });
}"""


@pytest.fixture(scope="module")
def page(lab: Lab, context: BrowserContext) -> Page:
    """A page with the whole dashboard over a running trace of made-up calls, with a filter in force."""
    notebook = Notebook(context, lab, write_notebook(lab.folder / "accessible.ipynb", SHOW))
    notebook.page.set_default_timeout(20_000)
    notebook.page.set_viewport_size({"width": 1200, "height": 1400})  # axe looks at what is in sight
    notebook.run(0)
    notebook.page.locator(".ov-top", has_text="processes").locator(".ov-row").first.click()
    notebook.page.locator(".bar-chip").wait_for()
    return notebook.page


def tab(page: Page, name: str) -> None:
    """Bring a panel to the front and wait until it has been drawn."""
    page.locator(".lm-TabBar-tab", has_text=name).first.click()
    page.locator(DRAWN[name]).locator("visible=true").first.wait_for()


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the page where one is wanted."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def style(page: Page, selector: str, name: str) -> str:
    """Return a computed style of the first element in sight."""
    return str(page.locator(f"{selector}:visible").first.evaluate("(e, name) => getComputedStyle(e)[name]", name))


def chosen_in_the_stream(page: Page) -> list[str]:
    """Press a row, once more where others came that a filter lets through; return its colour, its cell's outline."""
    grid = page.locator(".st-grid:visible").bounding_box()
    assert grid is not None
    for _ in range(3):
        page.mouse.click(grid["x"] + grid["width"] / 2, grid["y"] + grid["height"] / 2)
        with contextlib.suppress(TooLong):
            return list(page.wait_for_function(CHOSEN, timeout=5_000).json_value())
    raise AssertionError(f"no row stays chosen: {page.locator('.st-status:visible').inner_text()}")


@pytest.mark.parametrize(("theme", "ended"), [("Light", False), ("Dark", True)])
def test_axe_finds_nothing_grave(page: Page, theme: str, *, ended: bool) -> None:
    """No panel, in the light and while a trace runs, in the dark and afterwards, breaks a grave rule of axe."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: scripts/lint installs it where npm is")
    page.evaluate(
        "name => window.jupyterapp.commands.execute('apputils:change-theme', { theme: name })", f"JupyterLab {theme}"
    )
    page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=str(theme == "Light").lower())
    page.add_style_tag(content="body { height: 100vh }")  # Lab's has none, and axe takes what is in it for hidden
    page.add_script_tag(content=AXE.read_text())
    if ended and page.locator(".bar-title", has_text="tracing").count():
        page.locator("button", has_text="Stop").first.click()
        page.locator(".bar-go").wait_for()
    tab(page, "Stream")
    page.get_by_role("button", name="Trace fd").click()  # nothing is selected: the panel complains
    page.locator(".ior-strip[data-kind=error]:visible").wait_for()
    page.evaluate(PALE)
    assert any(line.startswith("color-contrast") for line in page.evaluate(GRAVE))  # it does see our texts
    page.evaluate("() => document.querySelector('.pale').remove()")
    found = {}
    for name in DRAWN:
        tab(page, name)
        page.wait_for_timeout(500)  # a refresh
        if grave := page.evaluate(GRAVE):
            found[name] = grave
        shoot(page, f"{theme.lower()}-{name.lower()}")

    assert found == {}


def test_forced_colours_keep_what_backgrounds_and_shadows_say(page: Page) -> None:
    """Where the system chooses the colours, bars, dots, pressed buttons, chosen rows and the focus are seen."""
    page.emulate_media(forced_colors="active")
    try:
        tab(page, "Overview")
        canvas, plain = style(page, ".ior", "backgroundColor"), style(page, ".bar-filter button", "backgroundColor")
        assert canvas not in (style(page, ".ov-bar", "backgroundColor"), style(page, ".bar-dot", "backgroundColor"))
        shoot(page, "forced-overview")
        tab(page, "Syscalls")
        page.locator(".tb tbody tr:visible").first.click(position={"x": 2, "y": 2})
        page.locator(".tb tbody tr:visible").first.focus()
        assert style(page, ".tb tbody tr:focus", "outlineStyle") == "solid"
        assert style(page, ".tb-share", "backgroundImage") != "none"
        assert style(page, ".tb .ior-dot", "backgroundColor") != canvas
        assert style(page, ".tb-choices [aria-pressed=true]", "backgroundColor") != plain
        shoot(page, "forced-syscalls")
        tab(page, "Latency")
        assert style(page, ".lt-bar:not(:disabled) .lt-fill", "backgroundColor") != canvas
        shoot(page, "forced-latency")
        tab(page, "Stream")
        color, outline = chosen_in_the_stream(page)
        assert color != canvas
        assert outline == "solid"
        shoot(page, "forced-stream")
        tab(page, "Flame")
        page.locator(".fl-stage").press("Home")
        assert style(page, ".fl-mark", "borderTopColor") != style(page, ".ior", "color")
        shoot(page, "forced-flame")
        tab(page, "Trace")
        assert style(page, ".pk-row[aria-selected=true]", "backgroundColor") != canvas
    finally:
        page.emulate_media(forced_colors="none")


def test_nothing_moves_for_those_who_want_rest(page: Page) -> None:
    """Where less motion is asked for, a zoom into a treemap is one step, and has been many otherwise."""
    tab(page, "Files")
    page.locator(".tb-choices button:visible", has_text="Treemap").click()
    boxes, back = page.locator(".tb-map path.surface:visible"), page.locator("button:visible", has_text="Back")
    steps = {}
    for motion in MOTIONS:
        page.emulate_media(reduced_motion=motion)
        page.wait_for_function("() => [...document.querySelectorAll('.tb-map')].some((map) => map._listens)")
        page.evaluate(WATCH)
        boxes.nth(1).click(position={"x": 4, "y": 4})
        steps[motion] = page.evaluate("() => window.steps")
        back.click()
        back.wait_for(state="hidden")

    assert steps["reduce"] <= 2 < 5 < steps["no-preference"]

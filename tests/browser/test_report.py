"""The exported HTML report in a real browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from ior_nb.export import About, export
from ior_nb.runtime import Completeness
from tests.events import HOSTILE, made

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

SHOTS = os.environ.get("IOR_NB_SHOTS")  # a folder to keep pictures in, for the eye
NUMBERS = [400, 300, 200, 100]
NAMES = ["/data/big.parquet", "/data/<img src=x onerror=document.title=1>", "/etc/hosts", HOSTILE[0]]


def open_report(context: BrowserContext, folder: Path, scheme: str) -> tuple[Page, list[str]]:
    """Return the page of a small report, and what it asked for or complained about."""
    rows = [
        {
            "comm": "python3" if i % 4 else "sh",
            "syscall": "read" if i % 4 < 2 else "write",
            "family": "FS",
            "file": NAMES[i % 4],
            "state": "done",
            "latency_ns": 1000 * NUMBERS[i % 4],
            "bytes": 10 * NUMBERS[i % 4],
            "time_ns": 10**12 + 10**6 * i,
            "pid": 7,
            "tid": 7,
        }
        for i in range(40)
    ]
    path = export(made(rows), folder / "report.html", about=About(title="<i>cell</i> 3", completeness=Completeness()))
    assert context.browser is not None
    page = context.browser.new_context(color_scheme=scheme, viewport={"width": 1200, "height": 1300}).new_page()  # type: ignore[arg-type]
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.goto(path.as_uri())
    assert seen == [path.as_uri()]
    seen.clear()
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"report-{scheme}.png"))
    return page, seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_asks_for_nothing_and_follows_the_scheme(context: BrowserContext, tmp_path: Path, scheme: str) -> None:
    """No request, no complaint, no traced name as markup; the page is as bright as the reader wants it."""
    page, seen = open_report(context, tmp_path, scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(background.split("(")[1].split(",")[0])

    assert (red > 200) == (scheme == "light")
    assert page.title() == "<i>cell</i> 3"
    assert page.locator("img, i:not([class])").count() == 0
    assert page.locator("td", has_text=NAMES[1]).count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert seen == []
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 700])
def test_report_cuts_long_paths_in_their_middle(
    context: BrowserContext, tmp_path: Path, width: int, scheme: str
) -> None:
    """No table of files is wider than the page: a long path shows its ends, and all of it under the pointer."""
    names = [f"/srv/{'warehouse/' * (i % 7)}year=2024/part-{i:05}-{'deadbeef' * (i % 9)}.parquet" for i in range(30)]
    rows = [
        {"syscall": "pread64", "file": name, "latency_ns": 10**i % 10**9, "bytes": 1 << 30, "time_ns": 10**12 + i}
        for i, name in enumerate(names)
    ]
    path = export(made([{"state": "done", "comm": "py", **row} for row in rows]), tmp_path / "report.html")
    assert context.browser is not None
    page = context.browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}).new_page()  # type: ignore[arg-type]
    page.goto(path.as_uri())
    files = page.locator("section", has_text="Files").locator(".scroll").first
    cells = files.locator("td.path")
    shown = {cell.get_attribute("title") or cell.inner_text(): cell for cell in cells.all()}
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"paths-{scheme}-{width}.png"), full_page=True)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert files.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert set(shown) <= set(names)
    assert len(shown) == 25
    longest = shown[max(shown, key=len)]
    head, whole = longest.locator("span").bounding_box(), longest.bounding_box()
    assert head is not None
    assert whole is not None
    assert head["x"] == pytest.approx(whole["x"], abs=1)
    assert 100 < whole["width"] - head["width"] < 200  # the last characters have their room
    page.context.close()


def test_report_zooms_searches_and_sorts(context: BrowserContext, tmp_path: Path) -> None:
    """A click makes a frame as wide as the graph, a search marks its share, a heading sorts the table."""
    page, seen = open_report(context, tmp_path, "light")
    graph = page.locator(".g-duration")
    frame = graph.locator("svg svg", has=page.locator("text", has_text="python3"))
    before = frame.bounding_box()
    frame.click()
    after = frame.bounding_box()
    whole = graph.bounding_box()
    assert before is not None
    assert after is not None
    assert whole is not None

    assert before["width"] == pytest.approx(0.6 * whole["width"], abs=2)
    assert after["width"] == pytest.approx(whole["width"], abs=2)
    page.locator("#reset").click()
    page.locator("#search").fill("big.parquet")

    assert graph.locator(".hint").inner_text().startswith("40.0 %")
    assert graph.locator(".hit").count() == 1
    page.locator("label[for=m-count]").click()

    assert page.locator(".g-count").is_visible()
    assert not graph.is_visible()
    files = page.locator("section", has_text="Files").locator("table").first
    files.locator("th", has_text="time").click()
    files.locator("th", has_text="time").click()

    assert files.locator("tbody tr").first.locator("td").last.inner_text() == NAMES[3]
    assert seen == []
    page.context.close()

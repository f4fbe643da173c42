"""A dashboard open in JupyterLab over 200,000 calls a second: memory, lag, loss, and what the browser does."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.bench.report import Row, log
from tests.browser.conftest import FLAGS, Lab, Notebook, write_notebook

TITLE = "dashboard open at 200,000 calls a second"
RATE = 200_000

START = f"""
%load_ext ior_nb
import json, os, subprocess, sys, time
from ior_nb.session.session import default_session
load = subprocess.Popen([sys.executable, "-c", '''
import os, time
fd = os.open("/etc/passwd", os.O_RDONLY)
step, burst = 0.01, {RATE} // 100
due = time.monotonic()
while True:
    for _ in range(burst): os.pread(fd, 64, 0)
    due += step
    time.sleep(max(0, due - time.monotonic()))
'''])
get_ipython().run_line_magic("ior", f"start --pid {{load.pid}} --no-rows")
"""
SHOW = "s = default_session()\n%ior show"
LOOK = """
def rss(pid): return next(int(l.split()[1]) for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS")) / 1024
run = s.running
from ior_nb.runtime.clock import boot_clock
rows, _ = s.stream_buffer().tail(-1)
print("JSON" + json.dumps({
    "kernel": rss(os.getpid()), "collector": rss(s.engine().collector_pid), "totals": run.totals,
    "rows": s.stream_sequencer().reserve(0) - run.first_row, "lag": (boot_clock() - int(rows["time_ns"][-1])) / 1e9}))
"""
END = "load.kill(); load.wait(); %ior stop"


def measure(quick: bool) -> list[Row]:
    """Watch for ten minutes; `--quick`: for thirty seconds."""
    seconds = 30 if quick else 600
    folder = Path(tempfile.mkdtemp(prefix="ior-soak-"))
    lab = Lab(folder)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
            context = browser.new_context(viewport={"width": 1400, "height": 1000})
            cells = (START, SHOW, LOOK)
            notebook = Notebook(context, lab, write_notebook(folder / "soak.ipynb", *cells))
            return _watch(notebook, seconds)
    finally:
        lab.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _watch(notebook: Notebook, seconds: float) -> list[Row]:
    page = notebook.page
    for index in (0, 1):
        notebook.run(index)
    tabs = notebook.cell(1).locator(".lm-TabBar-tab")
    names = tabs.all_inner_texts()
    page.wait_for_timeout(8_000)  # what is made once is made
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    page.evaluate(
        "() => { window.__long = []; const note = (list) => list.getEntries().forEach((e) => __long.push(e.duration));"
        "new PerformanceObserver(note).observe({entryTypes: ['longtask']}) }"
    )
    looks, pages = [_look(notebook)], [_page(cdp)]
    begin, shares = time.monotonic(), {}
    while time.monotonic() - begin < seconds:
        for position, name in enumerate(names):
            tabs.nth(position).click()
            before, at = _page(cdp), time.monotonic()
            page.wait_for_timeout(max(1.0, min(20.0, seconds / len(names) / 2)) * 1000)
            after = _page(cdp)
            shares[name] = 100 * (after["TaskDuration"] - before["TaskDuration"]) / (time.monotonic() - at)
            if time.monotonic() - begin >= seconds:
                break
        looks.append(_look(notebook))
        pages.append(_page(cdp))
        log(f"{time.monotonic() - begin:.0f} s: {looks[-1]}")
    first, last = looks[1], looks[-1]
    totals = last["totals"]
    lost = totals["lost_ring"] + totals["lost_buffer"] + totals["lost_names"]
    long = page.evaluate("() => window.__long")
    spent = time.monotonic() - begin
    return [
        Row(what="calls a second", measured=f"{(last['rows'] - looks[0]['rows']) / spent:,.0f}"),
        Row.judged("lost", lost, 0, "", digits=0),
        Row.judged("kernel's memory, end ÷ begin", last["kernel"] / first["kernel"], 1.1, "", digits=3),
        Row(what="  kernel, collector at the end", measured=f"{last['kernel']:.0f}, {last['collector']:.0f} MiB"),
        Row.judged("collector's memory, end ÷ begin", last["collector"] / first["collector"], 1.1, "", digits=3),
        Row.judged("lag of the newest row, end", last["lag"], 1.0, "s"),
        Row(what="  at the begin", measured=f"{first['lag']:.3f} s"),
        Row(what="browser heap, begin and end", measured=f"{pages[1]['heap']:.0f}, {pages[-1]['heap']:.0f} MiB"),
        Row(what="long tasks (> 50 ms), longest", measured=f"{len(long)}, {max(long, default=0):.0f} ms"),
        *[Row(what=f"  browser's main thread, {name}", measured=f"{share:.0f} %") for name, share in shares.items()],
    ]


def _look(notebook: Notebook) -> Any:
    notebook.run(2)
    text = notebook.cell(2).locator(".jp-OutputArea-output").last.inner_text()
    return json.loads(text.split("JSON")[-1])


def _page(cdp: Any) -> dict[str, float]:
    metrics = {m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]}
    return {"TaskDuration": metrics["TaskDuration"], "heap": metrics["JSHeapUsedSize"] / 2**20}

"""The notebooks: saved as they should be, and run as they are, where tracing is allowed and where it is not."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path
from typing import Final

import nbclient
import nbformat
import pyarrow.parquet as pq
import pytest

import ior_nb

ROOT: Final = Path(__file__).resolve().parents[2]
NOTEBOOKS: Final = sorted((ROOT / "notebooks").glob("*.ipynb"))
RECORDINGS: Final = sorted((ROOT / "notebooks" / "recordings").glob("*.parquet"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

# What a reader has to find in the outputs of each notebook, whether it was traced or played back.
FACTS: Final = {
    "01-first-trace": ["numbers.csv", "(False, 20000, 2666466670000)", "complete: "],
    "02-live-dashboard": ['class="ior-still"', "part-0-0.csv", "gzip"],
    "03-filter-and-flame": ["fsync", "filter: comm=sort and bytes>=16KiB", "settings.toml", "'type': 'icicle'"],
    "04-record-and-replay": ["(True, 'complete: ", "part-8.txt", 'class="ior-still"'],
    "05-compare-two-versions": ["(400, 21253400)", "slow → fast", "(4238, "],
    "06-dataframes-and-sql": ["168000", "day-21.csv.gz", "p99_us", "-25"],
    "07-the-line-that-did-it": [
        "values = np.load(path)",
        "cell 3",
        "(4800, 10000, 20199240)",
        "less than half: True",
        "<details>",
    ],
    "08-why-was-it-slow": [
        "nothing of it from the device",
        "ten times less: True",
        "/bucket/part-0.parquet",
        "less than half: True",
    ],
    "09-a-cluster": ["4670712", "30 tables, each read by 1 task", "shop-17.csv", "toparquetdata"],
}


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook."""
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def text_of(notebook: nbformat.NotebookNode) -> str:
    """Return all outputs as one text."""
    return "\n".join(
        str(part)
        for cell in notebook.cells
        for o in cell.get("outputs", [])
        for part in (o.get("text", ""), *o.get("data", {}).values(), *o.get("traceback", []))
    )


def missing(path: Path, text: str) -> list[str]:
    """Return which facts of a notebook are not in its outputs."""
    return [fact for fact in FACTS[path.stem] if fact not in text]


@each_notebook
def test_notebook_is_saved_with_its_outputs(path: Path) -> None:
    """A reader on a page that runs nothing sees the results: every code cell was run, none failed, none is huge."""
    notebook = read(path)
    nbformat.validate(notebook)
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    outputs = [o for c in cells for o in c.outputs]

    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert any("text/html" in o.get("data", {}) for o in outputs)
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert not [o for o in outputs if "application/vnd.jupyter.widget-view+json" in o.get("data", {})]
    assert missing(path, text_of(notebook)) == []
    assert "INCOMPLETE" not in text_of(notebook)
    assert "played back from" not in text_of(notebook)
    assert path.stat().st_size < 400_000


@each_notebook
def test_notebook_names_the_recordings_it_falls_back_to(path: Path) -> None:
    """Its first cell names recordings that are there."""
    first = next(c for c in read(path).cells if c.cell_type == "code")

    assert f'os.environ.setdefault("IOR_NB_REPLAY", "recordings/{path.name[:2]}-*.parquet")' in first.source
    assert any(r.name.startswith(f"{path.name[:2]}-") for r in RECORDINGS)


def test_saved_dashboard_shows_the_whole_trace() -> None:
    """The static picture is that of the end: complete, with a flame graph and tables."""
    text = text_of(read(ROOT / "notebooks" / "02-live-dashboard.ipynb"))
    picture = text[text.index('class="ior-still"') :]

    assert "still running" not in picture
    assert "complete: " in picture
    assert "<svg" in picture


LINES: Final = {  # begin…end of a line -> calls at least
    'table = pd…glob("*.csv")))': 1800,  # 200 files
    'con.execute("INS…(hour, value))': 600,  # 30 of them, and none in a transaction
    "found = sum…*.txt": 300,  # a hundred folders
    "with multiprocessing…Pool(2)": 20,
    "values = np.load…(path)": 500,  # sixty, by two workers and here
}


def margin_of(text: str, line: str) -> int:
    """Return the calls in the margin of a line of the cells that are shown; long ones are cut in their middle."""
    found = (re.fullmatch(r"[ *] +([\d,]+)( .*)", shown) for shown in text.splitlines())
    return next((int(m[1].replace(",", "")) for m in found if m and all(part in m[2] for part in line.split("…"))), 0)


def test_the_lines_that_did_it_have_their_calls() -> None:
    """Many files, a database without a transaction, a tree, workers, a library: each line has what it made."""
    text = text_of(read(ROOT / "notebooks" / "07-the-line-that-did-it.ipynb"))

    assert [line for line, least in LINES.items() if margin_of(text, line) < least] == []


REASONS: Final = (  # in the first three lines of the traced cells, in order
    r"MiB fetched from the device",
    r"all of it from the page cache",
    r"page faults on the mapped big\.npy fetched [\d.]+ MiB from the device, [\d.]+ [KM]iB each",
    r"page faults on the mapped big\.npy fetched [\d.]+ [KM]iB from the device, [\d.]+ KiB each",
    r"waiting for locks in the kernel \(shared\.bin\)",
    r"wrote \S*(one|two|three|four)\.bin",
    r"waited [\d.]+ m?s for 12\s+answers",
    r"waited [\d.]+ m?s for 12\s+answers",
)


def reasons_missing(notebook: nbformat.NotebookNode, *reasons: str) -> list[str]:
    """Return which reasons the first three lines of the traced cells do not say, cell by cell."""
    outputs = [o for c in notebook.cells if c.source.startswith("%%ior") for o in c.outputs if "data" in o]
    shown = [str(o.data["text/plain"]) for o in outputs if str(o.data.get("text/plain", "")).startswith("this cell: ")]
    heads = ["\n".join(text.splitlines()[:3]) for text in shown]
    return [why for why, head in zip_longest(reasons, heads, fillvalue="") if not re.search(why or r"\Z.", head)]


def test_the_first_three_lines_say_why() -> None:
    """Cold and warm, mapped memory, a lock of the kernel, a server that is slow to answer."""
    assert reasons_missing(read(ROOT / "notebooks" / "08-why-was-it-slow.ipynb"), *REASONS) == []


def test_the_readme_names_every_notebook() -> None:
    """Who reads it finds all of them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [path.name for path in NOTEBOOKS if f"(notebooks/{path.name})" not in text] == []


def test_what_is_published_names_no_place_of_the_machine_that_made_it() -> None:
    """Neither notebooks nor recordings know a home folder, this project's folder or a host name."""
    words = [p.read_text() for p in NOTEBOOKS]
    for recording in RECORDINGS:
        table = pq.read_table(recording)
        metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
        assert metadata["ior_nb.hostname"] == "example"
        words += metadata.values()
        words += [str(v) for c in table.columns if "string" in str(c.type) for v in c.unique().to_pylist()]

    assert [w for w in words if any(place in w for place in ("/home/", "/root", str(ROOT)))] == []


def test_recordings_are_small_and_complete() -> None:
    """All together are less than 900 kB, and each accounts for all of its calls."""
    assert sum(r.stat().st_size for r in RECORDINGS) < 900_000
    for recording in RECORDINGS:
        assert ior_nb.load(recording).accounting.complete


@pytest.mark.live
@pytest.mark.timeout(150)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each_notebook
def test_notebook_runs_clean(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every notebook runs from top to bottom, tracing for real, and its traces are complete."""
    monkeypatch.setenv("IOR_NB_REPLAY", "")
    notebook = read(path)
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]

    assert not [o for o in outputs if o.output_type == "error"]
    assert missing(path, text_of(notebook)) == []
    assert "INCOMPLETE" not in text_of(notebook)
    assert "played back from" not in text_of(notebook)
    if path.name.startswith("07"):
        assert [line for line, least in LINES.items() if margin_of(text_of(notebook), line) < least] == []
    if path.name.startswith("08"):
        busy = "[Ww]aiting for a CPU"  # then that is the reason
        assert reasons_missing(notebook, *(f"{why}|{busy}" for why in REASONS)) == []

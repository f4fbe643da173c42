"""The recipe for Spark of docs/recordings.md, run as it stands by a reader's own Python, and DuckDB's answer.

Those for DuckDB, Polars and Dask are run with all other examples, by `tests/docs`: these are installed where tests run.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import duckdb
import numpy as np

import ior_nb
from ior_nb.export import About, export
from ior_nb.runtime.batch import EventBatch
from tests.docs.pages import ROOT, blocks
from tests.readers.recordings import usual

__all__ = ["DOCUMENT", "RECIPES", "Row", "answer", "fleet", "said", "shown"]

DOCUMENT: Final = ROOT / "docs/recordings.md"
RECIPES: Final = {
    "spark": "\n".join(b.text for b in blocks(DOCUMENT) if (b.language, b.mark) == ("python", "needs: pyspark"))
}
"""Reader -> what the page has for it."""
_SECONDS: Final = 600
_HERE: Final = {
    "SPARK_LOCAL_IP": "127.0.0.1",
    "PYSPARK_SUBMIT_ARGS": "--master local[1] --conf spark.ui.enabled=false pyspark-shell",
}
_LABELS: Final = ("", "load", "train/epoch 1", "train/epoch 2")
_STATES: Final = ("done", "done", "in flight")
_ROWS_PER_FILE: Final = 2000
_QUESTION: Final = """
    SELECT host, label, count(*), sum(latency_ns) FROM read_parquet('{folder}/tidy/*.parquet', union_by_name = true)
    WHERE state = 'done' GROUP BY ALL
"""

Row = tuple[str, ...]


def fleet(folder: Path) -> Path:
    """Record three machines with labels, of which one has tasks, and convert them to `tidy/`; return the folder."""
    (folder / "fleet").mkdir(parents=True)
    rows = usual()
    turn = np.arange(len(rows))
    labels = rows.tables["label"].intern_many(_LABELS)
    states = rows.tables["state"].intern_many(_STATES)
    for index, host in enumerate(("ada", "bob", "eve")):
        mine = rows.with_columns(
            label=labels[turn // (7 + index) % len(labels)],
            state=states[turn % len(states)],
            latency_ns=rows["latency_ns"] + np.uint64(index),
        )
        extras = {"task": np.array(["load", None], object)[turn % 2]} if host == "ada" else {}
        mine = EventBatch(dict(mine.columns), rows.tables, extras)
        export(mine, folder / "fleet" / f"{host}.parquet", about=About(metadata={"ior_nb.hostname": host}))
    ior_nb.convert(folder / "fleet", folder / "tidy", sort=True, rows_per_file=_ROWS_PER_FILE)
    return folder


def answer(folder: Path) -> list[Row]:
    """Return what DuckDB says: host, label, calls and their nanoseconds, as texts, sorted."""
    return sorted(tuple(map(str, row)) for row in duckdb.execute(_QUESTION.format(folder=folder)).fetchall())


def shown(printed: str) -> list[Row]:
    """Return the rows of a table that Spark has printed, sorted."""
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    return sorted(tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines[1:])


def said(python: Path, name: str, folder: Path) -> str:
    """Run a reader's recipe beside `tidy/`; return `yes` when it prints DuckDB's answer, else what it printed."""
    ran = subprocess.run(
        [python, "-c", RECIPES[name]],
        check=False,
        cwd=folder,
        env=os.environ | _HERE,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    if ran.returncode:
        return f"no: {' '.join(ran.stderr.split())[-200:]}"
    return "yes" if shown(ran.stdout) == answer(folder) else f"no: {' '.join(ran.stdout.split())[:200]}"

"""Measure against the numbers to reach: `python -m tests.bench [--quick] [NAME ...]`, as root.

Each bench runs in a process of its own. What is being done goes to the error stream; at the end there is one table.
The exit status is 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

from tests.bench.report import Row, table

ROOT = Path(__file__).resolve().parents[2]

# A bench is a module with a TITLE and `measure(quick) -> list[Row]`; a new one is one row here.
BENCHES = (
    "full_blast",
    "startup",
    "decode",
    "pipeline",
    "new_files",
    "mapped",
    "why",
    "gil",
    "cell_cost",
    "lines",
    "idle",
    "bystanders",
    "service",
    "dashboard",
    "scale",
    "cluster",
    "soak",
)


def main() -> int:
    """Run the benches asked for; print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="measure against the numbers to reach")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer calls and rounds: two minutes instead of twenty")
    parser.add_argument("--rows", action="store_true", help="run one bench here, print its rows as JSON")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHES)
    if unknown:
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    if options.rows:
        module = importlib.import_module(f"tests.bench.{options.names[0]}")
        rows = [dataclasses.asdict(row) for row in module.measure(options.quick)]
        print(json.dumps({"title": module.TITLE, "rows": rows}))
        return 0
    sections = []
    failed = False
    for name in options.names or BENCHES:
        print(f"==> {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "tests.bench", "--rows", name, *(["--quick"] if options.quick else [])]
        done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sections.append((name, [Row(what="did not finish", measured="see above", met=False)]))
        else:
            answer = json.loads(done.stdout)
            sections.append((answer["title"], [Row(**row) for row in answer["rows"]]))
        failed |= any(row.met is False for row in sections[-1][1])
    print(table(sections))
    return 1 if failed else 0


sys.exit(main())

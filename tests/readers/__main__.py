"""Readers of Parquet x columns x values as one table: `python -m tests.readers`, which `make readers` runs.

Each reader is installed into an environment of its own, kept in `readers.CACHE`. It reads recordings of every kind of
values, and each column has to hold what was recorded; the documentation's recipe for Spark has to answer as DuckDB
does. The exit status is 1 when one does not; a reader that cannot be had here is named, and is no failure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ior_nb.runtime.batch import EventBatch
from ior_nb.runtime.schema import COLUMNS
from tests.readers import inside, recipes
from tests.readers.readers import READERS, Reader, Unavailable
from tests.readers.recordings import KINDS, TASKS, data_set, written

BEGIN: Final = "<!-- the readers, written by `make readers ARGS=--write` -->\n"
END: Final = "<!-- end of the readers -->\n"
SECONDS: Final = 600
SET: Final = "set"
RECIPE: Final = "recipe"


def recorded(batch: EventBatch) -> dict[str, str]:
    """Return column -> digest of what was recorded; text that is no text is escaped, and each row has its machine."""
    from ior_nb.export.arrow import encodable

    found = {}
    for column in COLUMNS:
        values = batch.text(column.name) if column.text else batch[column.name]
        texts = [encodable(v) or ("ada" if column.name == "host" else "") for v in values] if column.text else None
        found[column.name] = inside.digest(texts if texts is not None else values.tolist())
    return found


def read(reader: Reader, files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Return kind -> what the reader found in it; a file a time, for a reader may crash.

    Raises:
        Unavailable: the reader cannot be had here.
    """
    python = reader.python()
    found = {}
    together = [list(files)] if reader.name == "spark" else [[kind] for kind in files]  # it takes seconds to start
    for kinds in together:
        if kinds == [SET] and reader.name not in inside.SETS:
            continue
        command = [str(python), inside.__file__, reader.name, *(str(files[kind]) for kind in kinds)]
        ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
        lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
        answer = json.loads(lines[-1]) if lines else {}
        for kind in kinds:
            found[kind] = answer.get(str(files[kind]), {"error": f"ended with status {ran.returncode}"})
    return found


def verdict(found: Mapping[str, Any], right: Mapping[str, str]) -> str:
    """Return how many columns are right, and what is wrong."""
    if "error" in found:
        return f"refused: {' '.join(found['error'].split())[:80]}"
    columns = found["columns"]
    wrong = [name for name in right if columns.get(name) != right[name]]
    count = f"{len(right) - len(wrong)} of {len(right)}"
    return f"{count}, not {', '.join(wrong[:4])}" if wrong else count


def good(reader: Reader) -> dict[str, str]:
    """Return what the table says of a reader when all is right."""
    told = {SET: reader.name in inside.SETS, RECIPE: reader.name in recipes.RECIPES}
    return dict.fromkeys(KINDS, f"{len(COLUMNS)} of {len(COLUMNS)}") | {k: "yes" if v else "-" for k, v in told.items()}


def table(results: Mapping[str, Mapping[str, str]]) -> str:
    """Return a Markdown table: a line a reader, a column a kind of values."""
    heads = (*KINDS, SET, RECIPE)
    rows = [("reader", *heads), *((name, *(found.get(k, "") for k in heads)) for name, found in results.items())]
    rows = [tuple(text.replace("|", "/") for text in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"| {' | '.join(t.ljust(w) for t, w in zip(row, widths, strict=True))} |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Try the readers asked for; print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.readers", description="who reads our recordings")
    parser.add_argument("--reader", action="append", metavar="NAME", help="only these (duckdb, 'spark 3.5.9')")
    parser.add_argument("--write", action="store_true", help="write the table into docs/recordings.md")
    options = parser.parse_args()
    chosen = [r for r in READERS if not options.reader or r.name in options.reader or r.title in options.reader]
    results: dict[str, dict[str, str]] = {}
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder)) | {SET: data_set(Path(folder) / SET)}
        fleet = recipes.fleet(Path(folder) / RECIPE)
        right = {kind: recorded(make()) for kind, make in KINDS.items()}
        for reader in chosen:
            try:
                found = read(reader, files)
            except Unavailable as error:
                print(f"{reader.title}: not tried: {error}", file=sys.stderr)
                continue
            told = {kind: verdict(found[kind], right[kind]) for kind in KINDS} | {SET: "-", RECIPE: "-"}
            if reader.name in inside.SETS:
                told[SET] = "yes" if found[SET].get("set") == TASKS else f"no: {found[SET]}"
            if reader.name in recipes.RECIPES:
                told[RECIPE] = recipes.said(reader.python(), reader.name, fleet)
            results[reader.title] = told
            failed |= told != good(reader)
            print(f"{reader.title}: {told}", file=sys.stderr)
    text = table(results)
    print(text, end="")
    if options.write:
        before, begin, rest = recipes.DOCUMENT.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        recipes.DOCUMENT.write_text(f"{before}{begin}\n{text}\n{END}{after}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

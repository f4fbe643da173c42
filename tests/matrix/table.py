"""Results of cells as one table, for the terminal and for docs/kernels.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.matrix.cells import Cell

WORKLOAD: Final = "test_known_workload.py"
BUSY: Final = "test_busy_processes.py"
HEAD: Final = (
    *("cell", "kernel", "userland", "Python, bcc", "doctor"),
    *("known workload", "busy processes", "live suite", "date"),
)
DEBIAN: Final = {
    "bullseye": "Debian 11",
    "bookworm": "Debian 12",
    "trixie": "Debian 13",
    "forky": "testing",
    "sid": "unstable",
}
BEGIN: Final = "<!-- the matrix, written by `make matrix ARGS=--write` -->\n"
END: Final = "<!-- end of the matrix -->\n"
NOT_RUN: Final = "not run"

Result = Mapping[str, Any]


def failed(result: Result) -> bool:
    """Whether something in a cell was not as it has to be; what there was no time for is no failure."""
    return "error" in result or refusal(result) != "" or any(t["outcome"] == "failed" for t in result["tests"])


def refusal(result: Result) -> str:
    """Return why a first trace was not possible, an empty text when it was."""
    if result["trace"]["status"] == 0:
        return ""
    said = [line for line in result["trace"]["text"].splitlines() if line.startswith("ior-nb: ")]
    return said[0].removeprefix("ior-nb: ") if said else result["trace"]["text"].strip()[-200:] or "no answer"


def count(result: Result, *, only: str = "", but: tuple[str, ...] = ()) -> str:
    """Return how many tests passed, of how many, and what became of the others.

    Args:
        result: of a cell.
        only: a file of tests.
        but: files to leave out.
    """
    if refusal(result):
        return "refused"
    files = {name: n for name, n in result["collected"].items() if (name == only if only else name not in but)}
    tests = [t for t in result["tests"] if t["test"].split("::")[0].rpartition("/")[2] in files]
    outcomes = [t["outcome"] for t in tests]
    total = sum(files.values())
    if not total:
        return NOT_RUN
    words = [f"{outcomes.count('passed')} of {total}"]
    numbers = {"failed": outcomes.count("failed"), "skipped": outcomes.count("skipped"), "no time": total - len(tests)}
    return ", ".join(words + [f"{number} {name}" for name, number in numbers.items() if number])


def last_words(log: str) -> str:
    """Return the line of a console that says why it ends."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if "Kernel panic" in line), lines[-1] if lines else "nothing was said")[:200]


def doctor(result: Result) -> str:
    """Return what the doctor says, in a word or two."""
    bad = re.findall(r"^FAIL +(\S+(?: \S+)*)  ", result["doctor"]["text"], re.MULTILINE)
    if bad:
        return f"FAIL {', '.join(bad)}"
    return "ok" if result["doctor"]["status"] == 0 else "no answer"


def kernel(facts: Mapping[str, str]) -> str:
    """Return which kernel it was: upstream's number, also where Debian's release says 6.1.0-50."""
    found = re.search(r"Debian (\d[\d.]*)", facts["version"]) or re.match(r"(\d[\d.]*\d)", facts["kernel"])
    words = [found[1] if found else facts["kernel"], facts["machine"]]
    return " ".join([*words, *([f"preempt={facts['preempt']}"] if facts["preempt"] else [])])


def row(cell: Cell, result: Result | None) -> tuple[str, ...]:
    """Return a line of the table."""
    userland = DEBIAN[cell.suite] + ("" if cell.emulated else ", chroot")
    if result is None:
        return (cell.name, "", userland, *[""] * 2, NOT_RUN, *[""] * 3)
    if "error" in result:
        return (cell.name, result["kernel"], userland, "", "", result["error"], "", "", result["date"])
    facts = result["facts"]
    return (
        cell.name,
        kernel(facts),
        userland,
        f"{facts['python']}, {facts['bcc'] or 'none'}",
        doctor(result),
        count(result, only=WORKLOAD),
        count(result, only=BUSY),
        count(result, but=(WORKLOAD, BUSY)),
        result["date"],
    )


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table whose columns are aligned."""
    lines = [HEAD, *(tuple(text.replace("|", "/") for text in line) for line in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    texts = [f"| {' | '.join(line)} |" for line in padded]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts) + "\n"


def troubles(cell: Cell, result: Result) -> list[str]:
    """Return what went wrong in a cell, a line each."""
    if "error" in result:
        return [f"{cell.name}: {result['error']}"]
    found = [f"{cell.name}: trace refused: {refusal(result)}"] if refusal(result) else []
    bad = [t for t in result["tests"] if t["outcome"] == "failed"]
    return found + [f"{cell.name}: {t['test']}: {' '.join(t['why'].split())[:300]}" for t in bad]


def written(document: str, text: str) -> str:
    """Return a document with another table between its two marks."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks the lines {BEGIN.strip()!r} and {END.strip()!r}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"

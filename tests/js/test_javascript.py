"""The JavaScript of the panels, run by node: what has a twin in Python is held against it."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import shutil
import subprocess
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from ior_nb.aggregate import WORDS
from ior_nb.runtime.text import printable, show_bytes, show_ns
from ior_nb.widgets import page
from ior_nb.widgets.page import packed, script
from ior_nb.widgets.stream import HELD

HERE: Final = Path(__file__).parent
SOURCES: Final = Path(page.__file__).parent / "js"

# Where a number changes its unit, its digits or, at a tie, only the rule of rounding decides.
OF_NS: Final = (0, 0.125, 1, 1.005, 1.125, 1.375, 9.994, 9.995, 9.996, 12.25, 12.75, 99.94, 99.95, 99.96, 100.5, 101.5)
OF_NS_HIGH: Final = (999.4, 999.5, 999.6, 1000, 1234.5, 1235.5)
OF_BYTES: Final = (
    0,
    0.5,
    1,
    1.25,
    1.75,
    9.95,
    10.05,
    999.5,
    1000.5,
    1023.4,
    1023.5,
    1023.94,
    1023.95,
    1023.96,
    5000.25,
)


@pytest.fixture(scope="module")
def node() -> str:
    """Where node is, 18 or newer: older ones have no `--test`."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed: scripts/setup --test installs it")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < 18:
        pytest.skip(f"node {version} is older than 18")
    return found


def around(*values: float) -> Iterator[float]:
    """Give the values, their neighbours, and all of them below zero."""
    for value in values:
        for near in (math.nextafter(value, -math.inf), value, math.nextafter(value, math.inf)):
            yield from (near, -near) if near else (near,)


def of_all_units(parts: tuple[float, ...], step: int, units: int) -> list[float]:
    """Return the numbers around so many of each unit."""
    return list(around(*(part * float(step) ** unit for unit in range(units) for part in parts)))


def characters() -> list[str]:
    """Return characters of every category; of those without a meaning only what will never have one.

    The others are given a meaning by and by, and the page may know a later Unicode.
    """
    of: dict[str, list[str]] = defaultdict(list)
    for character in map(chr, range(0x110000)):
        some = of[unicodedata.category(character)]
        if len(some) < 40:
            some.append(character)
    of["Cn"] = ["\ufdd0", "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff"]
    return [character for some in of.values() for character in some]


def finds(query: str, text: str) -> bool:
    """Say what the search box of a table finds."""
    if len(query) > 2 and query.startswith("/") and query.endswith("/"):
        try:
            return re.search(query[1:-1], text, re.IGNORECASE) is not None
        except re.error:
            pass
    return query.lower() in text.lower()


COLUMNS: Final[dict[str, Any]] = {
    "flags": np.array([True, False, True]),
    "tiny": np.array([-128, 127], np.int8),
    "small": np.array([-(2**31), 0, 2**31 - 1], np.int32),
    "large": np.array([-(2**53), 2**53, 7], np.int64),
    "unsigned": np.array([0, 2**32, 1], np.uint64),
    "single": np.array([0.5, -1.25], np.float32),
    "double": np.array([0.1, -1e300, 5e-324]),
    "strided": np.arange(10, dtype=np.int32)[::3],
    "none": np.array([], np.float64),
    "texts": ["", "grün 文 \U0001f600", "a\0b", "\udc80", ""],
    "one": [""],
    "nothing": [],
}
BACK: Final[dict[str, Any]] = COLUMNS | {"flags": [1, 0, 1], "texts": ["", "grün 文 \U0001f600", "ab", "\\udc80", ""]}


def values_of_python() -> dict[str, Any]:
    """Return what the twins are asked, and what Python says."""
    hostile = [
        "",
        "plain",
        "a\x1b[31m\n\u202eb",
        "lone \udc80 and \ud83d",
        "x\u2028y",
        "e\u0301 \U0001f469\u200d\U0001f4bb",
    ]
    queries = ["read", "READ", "ß", "/^re.d$/", "/READ|write/", "/(/", "//", "/", "", "/é/", "a.b", r"/\d{2}/"]
    texts = ["read", "pread64", "write", "/(/", "a.b", "axb", "STRASSE ß", "É", ""]
    columns = packed(COLUMNS)
    return {
        "show_ns": [(v, show_ns(v)) for v in of_all_units(OF_NS + OF_NS_HIGH, 1000, 4)],
        "show_bytes": [(v, show_bytes(v)) for v in of_all_units(OF_BYTES, 1024, 5)],
        "printable": [(t, printable(t)) for t in [*characters(), *hostile]],
        "held": HELD,
        "spent": list(WORDS.items()),
        "matcher": [(query, text, finds(query, text)) for query in queries for text in texts],
        "packed": {name: c | {"b": base64.b64encode(c["b"]).decode()} for name, c in columns.items()},
        "unpacked": {name: [v.item() if hasattr(v, "item") else v for v in values] for name, values in BACK.items()},
    }


@pytest.mark.parametrize("file", sorted(p.name for p in HERE.glob("*.test.js")))
def test_javascript_passes_its_tests(node: str, tmp_path: Path, file: str) -> None:
    """`node --test` finds nothing wrong, given the values of Python."""
    values = tmp_path / "twins.json"
    values.write_text(json.dumps(values_of_python()))
    done = subprocess.run(
        [node, "--test", str(HERE / file)],
        env=os.environ | {"IOR_NB_TWINS": str(values)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted(p.name for p in SOURCES.glob("*.js") if "\nexport default " in p.read_text()))
def test_the_text_of_a_panel_is_one_module(node: str, file: str) -> None:
    """The page is given one text: no import is left, no name stands twice at its top, and its export is the panel."""
    text = script(file)
    done = subprocess.run(
        [node, "--check", "--input-type=module", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(?:import|export)\b.*", text, re.MULTILINE) == ["export default panel((view) => {"]

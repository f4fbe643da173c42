"""What of the table of readers needs neither network nor other readers: its recordings, and how they are judged."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ior_nb.runtime.schema import COLUMNS
from tests.readers import inside
from tests.readers.__main__ import BEGIN, DOCUMENT, END, SET, recorded, table, verdict
from tests.readers.readers import READERS
from tests.readers.recordings import KINDS, TASKS, data_set, written


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Recordings of every kind."""
    return written(tmp_path_factory.mktemp("recordings"))


def test_installed_pyarrow_reads_every_kind(files: dict[str, Path]) -> None:
    """The reader that runs here, in a process of its own as the others, gives every column back as it was written."""
    command = [sys.executable, inside.__file__, "pyarrow", *map(str, files.values())]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(ran.stdout.splitlines()[-1])
    verdicts = {kind: verdict(answer[str(path)], recorded(KINDS[kind]())) for kind, path in files.items()}

    assert verdicts == dict.fromkeys(KINDS, f"{len(COLUMNS)} of {len(COLUMNS)}")


@pytest.mark.parametrize("name", sorted(name for name in inside.SETS if importlib.util.find_spec(name)))
def test_a_folder_is_a_data_set(name: str, tmp_path: Path) -> None:
    """What is installed here reads a folder as one table: machines as a column, and tasks that not all files have."""
    folder = data_set(tmp_path / "set")
    command = [sys.executable, inside.__file__, name, str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)

    assert json.loads(ran.stdout.splitlines()[-1])[str(folder)] == {"set": TASKS}


def test_wrong_value_and_missing_column_are_found() -> None:
    """A column whose values differ, or that is not there, is named."""
    right = {"seq": inside.digest([1, 2]), "file": inside.digest(["/a", ""]), "host": inside.digest(["ada"] * 2)}
    found = {"columns": {"seq": inside.digest([1, 3]), "file": inside.digest(["/a", ""])}}

    assert verdict(found, right) == "1 of 3, not seq, host"
    assert verdict({"error": "no\nway"}, right) == "refused: no way"


@pytest.mark.parametrize(("one", "other"), [(1, 1.5), (0, None), (1, True), ("", None), (2**63, -(2**63))])
def test_values_that_differ_have_other_digests(one: object, other: object) -> None:
    """A half, a null, a sign or a type lost is a difference."""
    assert inside.digest([one]) != inside.digest([other])


def test_document_has_a_line_for_every_reader() -> None:
    """The table in the documentation is of the readers of the list, and says of each that all is right."""
    text = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    good = f"{len(COLUMNS)} of {len(COLUMNS)}"

    sets = {r.title: {SET: "yes" if r.name in inside.SETS else "-"} for r in READERS}
    assert text.strip() == table({r.title: dict.fromkeys(KINDS, good) | sets[r.title] for r in READERS}).strip()

"""What of the table of readers needs neither network nor other readers: its recordings, and how they are judged."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from ior_nb.runtime.schema import COLUMNS
from tests.readers import inside
from tests.readers.__main__ import BEGIN, END, good, recorded, table, verdict
from tests.readers.readers import READERS
from tests.readers.recipes import DOCUMENT, RECIPES, answer, fleet, said, shown
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

    assert text.strip() == table({r.title: good(r) for r in READERS}).strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a recipe is run in."""
    return fleet(tmp_path_factory.mktemp("recipe") / "recipe")


def test_recipe_is_tried_with_machines_labels_and_files_that_differ(folder: Path) -> None:
    """A recipe that mixed up machines or labels, forgot the condition or a file, or joined by place, would be found."""
    right = answer(folder)
    files = sorted(file.name for file in (folder / "tidy").iterdir())
    columns = [pyarrow.parquet.read_schema(folder / "tidy" / name).names for name in files]
    rows = sum(pyarrow.parquet.read_metadata(folder / "tidy" / name).num_rows for name in files)

    assert {host for host, *_ in right} == {"ada", "bob", "eve"}
    assert len({label for _, label, *_ in right}) > 2
    assert len(right) == len({row[2:] for row in right}) <= 20  # Spark shows twenty rows
    assert sum(int(calls) for _, _, calls, _ in right) < rows
    assert len(files) > 3
    assert len(set(map(tuple, columns))) > 1


def test_recipe_of_the_page_is_for_the_folder_that_it_is_tried_with() -> None:
    """What is run is what the page has for Spark: a program that reads `tidy/` and prints a table."""
    recipe = RECIPES["spark"]
    compile(recipe, "recordings.md", "exec")

    assert 'parquet("tidy/")' in recipe
    assert recipe.rstrip().endswith(".show()")


def test_table_of_spark_is_read() -> None:
    """Its rows come without the lines around them, without its head, and sorted."""
    printed = """\
+----+-----+--------+
|host|label|count(1)|
+----+-----+--------+
| bob| load|       7|
| ada|     |      10|
+----+-----+--------+
"""

    assert shown(printed) == [("ada", "", "10"), ("bob", "load", "7")]


@pytest.mark.parametrize(
    ("printed", "verdict"),
    [("answer", "yes"), ("wrong", "no: |a| |wrong|"), ("fails", "no: no memory")],
)
def test_recipe_is_judged_by_what_it_prints(
    printed: str, verdict: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another answer than DuckDB's, or a program that fails, is told."""
    right = "".join(f"|{'|'.join(row)}|\n" for row in [("a",), *answer(folder)])
    programs = {
        "answer": f"print({right!r})",
        "wrong": "print('|a|\\n|wrong|')",
        "fails": "import sys; sys.exit('no memory')",
    }
    monkeypatch.setitem(RECIPES, "spark", programs[printed])

    assert said(Path(sys.executable), "spark", folder) == verdict

"""The tables of the documentation are those of the program."""

from __future__ import annotations

import re

import pytest

from docs.tables import TABLES, filled
from ior_nb.commands.verbs import VERBS
from ior_nb.engine import ENGINES
from ior_nb.export import EXPORTERS
from ior_nb.runtime import COLUMNS
from ior_nb.runtime.filter import DIMENSIONS
from ior_nb.syscalls import SYSCALLS
from ior_nb.widgets import PANELS
from tests.docs.pages import PAGES

ROWS = {
    "columns": [c.name for c in COLUMNS],
    "dimensions": list(DIMENSIONS),
    "engines": list(ENGINES),
    "exporters": list(EXPORTERS),
    "panels": list(PANELS),
    "syscalls": [c.name for c in SYSCALLS],
    "verbs": [f"%ior {verb}" for verb in VERBS],
}


def test_every_table_is_in_one_page() -> None:
    """No page asks for a table there is not, and none is made for nobody."""
    asked = [name for page in PAGES for name in re.findall(r"<!-- table: (.*) -->", page.read_text())]

    assert sorted(asked) == sorted(TABLES)


@pytest.mark.parametrize("name", ROWS)
def test_a_table_has_a_row_for_everything(name: str) -> None:
    """What the program knows, the documentation lists, once."""
    made = filled(f"*see the site* <!-- table: {name} -->")

    assert "see the site" not in made
    for row in ROWS[name]:
        assert len(re.findall(rf"\| `{re.escape(row)}[ `]", made)) == 1, row


@pytest.mark.parametrize("name", TABLES)
def test_rows_of_a_table_have_as_many_cells_as_its_head(name: str) -> None:
    """Text with a bar, a star or an angle does not break a table."""
    lines = [line for line in TABLES[name]().splitlines() if line.startswith("|")]

    assert len({line.count("|") for line in lines}) == 1
    assert not re.search(r"[<*]", re.sub(r"`+[^`]+`+", "", "".join(lines)))

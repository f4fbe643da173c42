"""What a host that cannot be run here asks for: Visual Studio Code, offline machines, readers of saved notebooks."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest

from ior_nb.widgets import PANELS
from ior_nb.widgets.bar import Bar
from ior_nb.widgets.panel import Panel

KINDS: list[type[Panel]] = [Bar] + [
    getattr(importlib.import_module(place.partition(":")[0]), place.partition(":")[2]) for _, place in PANELS.values()
]
ONLY_NAMES = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml")  # namespaces: nothing is fetched there


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_panel_needs_nothing_from_elsewhere(kind: Any) -> None:
    """A panel is an anywidget of one module without imports; script and style name no place to fetch from."""
    code, looks = str(kind._esm), str(kind._css)
    for name in ONLY_NAMES:
        code = code.replace(name, "")
    assert kind.class_traits()["_view_module"].default_value in ("anywidget", None)
    assert not re.search(r"https?://|//cdn|\bimport\s*\(?\s*[{\"']|^\s*import\s", code, re.MULTILINE)
    assert not re.search(r"url\(|@import|https?://", looks)
    assert len(re.findall(r"^export default", code, re.MULTILINE)) == 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_traced_text_never_becomes_markup(kind: Any) -> None:
    """No panel writes markup: neither innerHTML nor its relatives, nor code made of text."""
    code = re.sub(r"//.*", "", str(kind._esm))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", code)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_scripts_stay_small(kind: Any) -> None:
    """Each instance sends its script: 60 kB at most, the common part included."""
    assert len(str(kind._esm)) < 60_000


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_colours_come_from_the_theme(kind: Any) -> None:
    """Text and ground take the colours of the page's theme, so that dark and light both work."""
    looks = re.sub(r"/\*.*?\*/", "", str(kind._css), flags=re.DOTALL)
    own = looks.split(".ior-dot", 1)[1]
    grounds = re.findall(r"(?<![-\w])(?:background|background-color):\s*(#\w+|white|black)\b", own)
    assert [g for g in grounds if len(g) < 9 and g in ("#fff", "#ffffff", "#000", "white", "black")] == []

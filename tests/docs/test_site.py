"""The documentation as a site: built without a warning, and read without the network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ior_nb
from tests.docs.pages import PAGES, ROOT

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings_handlers")),
    reason="mkdocs, mkdocs-material or mkdocstrings-python is missing: pip install -e '.[docs]'",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; the configuration makes every warning an error."""
    made = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", made],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return made


def test_every_page_is_in_the_site_with_its_tables(site: Path) -> None:
    """No page is forgotten, and no mark of a table is left."""
    pages = {page.stem: site / f"{page.stem}.html" for page in PAGES if page.parent == ROOT / "docs"}

    assert [name for name, page in pages.items() if "<!-- table:" in page.read_text()] == []


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    """Scripts, styles, fonts and pictures are the site's own."""
    loads = re.compile(r"""<(?:script|img|iframe|source)[^>]+src=["']?([^"' >]+)|<link[^>]+href=["']?([^"' >]+)""")
    found = {url for page in site.rglob("*.html") for pair in loads.findall(page.read_text()) for url in pair if url}
    styles = " ".join(style.read_text() for style in site.rglob("*.css"))

    assert [url for url in found if re.match(r"\w*:?//", url)] == []
    assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\"']+", styles) == []


def test_every_public_name_has_its_place(site: Path) -> None:
    """What `ior_nb` offers is described, under the name people import."""
    page = (site / "api.html").read_text()
    names = [name for name in ior_nb.__all__ if not name.startswith("_") and not name.endswith("_ipython_extension")]

    assert [name for name in names if f'id="ior_nb.{name}"' not in page] == []

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ior_nb
from ior_nb.engine import ENGINES
from ior_nb.export import EXPORTERS
from ior_nb.options import add_trace_options

ROOT = Path(__file__).resolve().parents[1]


def test_importing_the_package_loads_nothing_heavy() -> None:
    """`import ior_nb` loads none of numpy, pandas, pyarrow, plotly, ipywidgets, IPython and bcc."""
    code = (
        "import sys, ior_nb\n"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'plotly', 'ipywidgets', 'IPython', 'bcc'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)

    assert done.returncode == 0, done.stderr


def test_all_public_names_exist() -> None:
    """`__all__` is the truth."""
    for name in ior_nb.__all__:
        assert getattr(ior_nb, name) is not None
    with pytest.raises(AttributeError):
        _ = ior_nb.nothing_of_that_name


def test_the_version_is_said_once_and_the_same() -> None:
    """The package and pyproject.toml agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert ior_nb.__version__ == project["version"]


def test_the_collector_runs_on_the_standard_library_alone() -> None:
    """The privileged process imports neither numpy nor anything else that is not Python's own."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r});"
        "import ior_nb.engine.collector.__main__, ior_nb.engine.collector.program, ior_nb.engine.collector.ring;"
        "sys.exit(0 if not {'numpy', 'pyarrow', 'IPython', 'ior_nb.runtime'} & set(sys.modules) else 1)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_the_readme_has_the_columns_of_the_schema() -> None:
    """The table in the README equals `runtime/schema.py`."""
    from ior_nb.runtime import COLUMNS

    rows = [f"| `{c.name}` | {'text' if c.text else c.dtype.name} | {c.unit} | {c.doc} |" for c in COLUMNS]
    text = (ROOT / "README.md").read_text()

    assert "\n".join(rows) in text


def test_the_readme_and_the_help_have_all_engines_and_formats() -> None:
    """What can be asked for by name stands in the tables; nobody has to know of a row elsewhere to keep this true."""
    parser = argparse.ArgumentParser()
    add_trace_options(parser)
    text, said = (ROOT / "README.md").read_text(), parser.format_help()

    engines = [f"| `{name}` | {row.doc} |" for name, row in ENGINES.items()]
    formats = [f"| `{name}` | `{row.extension}` | {row.doc} |" for name, row in EXPORTERS.items()]

    assert "\n".join(engines) in text
    assert "\n".join(formats) in text
    assert [name for name in ENGINES if name not in said] == []


def test_no_module_outgrows_its_room() -> None:
    """A Python module of the package stays below 450 lines; a larger one becomes a folder."""
    large = {p.name: n for p in (ROOT / "ior_nb").rglob("*.py") if (n := len(p.read_text().splitlines())) > 450}

    assert large == {}

from __future__ import annotations

import argparse
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ior_nb
from ior_nb.commands.options import add_trace_options
from ior_nb.engine import ENGINES

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


def test_no_folder_is_called_like_a_public_name() -> None:
    """A folder `trace/` would take the place of the function as soon as it is imported."""
    modules = {module.name for module in pkgutil.iter_modules(ior_nb.__path__)}

    assert set(ior_nb.__all__) & modules == {"errors"}


@pytest.mark.parametrize("folder", ["commands", "session", "result", "sinks"])
def test_a_folder_loads_none_of_its_modules(folder: str) -> None:
    """Who imports one module of a floor does not load its neighbours, nor what they need."""
    code = (
        f"import sys, ior_nb.{folder}\n"
        f"sys.exit(' '.join(name for name in sys.modules if name.startswith('ior_nb.{folder}.')) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)

    assert done.returncode == 0, done.stderr


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


def test_the_help_has_all_engines() -> None:
    """What can be asked for by name stands in the table; nobody has to know of a row elsewhere to keep this true."""
    parser = argparse.ArgumentParser()
    add_trace_options(parser)
    said = parser.format_help()

    assert [name for name in ENGINES if name not in said] == []


def test_no_module_outgrows_its_room() -> None:
    """A Python module of the package stays below 450 lines; a larger one becomes a folder."""
    large = {p.name: n for p in (ROOT / "ior_nb").rglob("*.py") if (n := len(p.read_text().splitlines())) > 450}

    assert large == {}

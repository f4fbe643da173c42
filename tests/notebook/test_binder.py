"""What Binder builds from binder/, built here, and the notebooks run in it by somebody who may not trace."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import REQUIRED
from tests.nobody import NOBODY, as_nobody
from tests.notebook.test_notebooks import NOTEBOOKS, ROOT, missing, read, text_of

BINDER: Final = ROOT / "binder"
# Why one is played back, where it is a cluster that cannot be traced: the host and its own words.
WHY: Final = {
    "09-a-cluster": r"played back from 09-1\.parquet: no host of the cluster can be traced: [^:\s]+: .*"
    rf"uid {NOBODY} lacks CAP_BPF and CAP_PERFMON.*doctor"
}
LEFT_OUT: Final = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", ".ipynb_*")


def environment() -> dict[str, Any]:
    """Return binder/environment.yml."""
    yaml: Any = importlib.import_module("yaml")
    found: dict[str, Any] = yaml.safe_load((BINDER / "environment.yml").read_text())
    return found


def run_as_nobody(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command without any right, not even those of this user's files or of tracing itself."""
    return subprocess.run(as_nobody(*command), check=False, capture_output=True, text=True, cwd="/", env=environ)


def execute(folder: Path, notebooks: list[str]) -> subprocess.CompletedProcess[str]:
    """Execute notebooks as nobody, in the environment that was built; the results are in out/."""
    programs = folder / "venv" / "bin"
    options = ["--to", "notebook", "--execute", "--ExecutePreprocessor.timeout=120", "--output-dir"]
    return run_as_nobody(
        *(str(programs / "jupyter"), "nbconvert", *options, str(folder / "out"), *notebooks),
        PATH=f"{programs}:{os.defpath}",
        HOME=str(folder / "home"),
        LANG="C.UTF-8",
    )


def public_python() -> str:
    """Return a Python 3.11 that nobody can execute and that makes virtual environments."""
    check = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        if Path(candidate).exists() and run_as_nobody(candidate, "-I", "-c", check, PATH=os.defpath).returncode == 0:
            return candidate
    reason = "needs a Python 3.11 with its venv module outside of home folders"
    if REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of nobody's with a copy of the repository, as an image of Binder has it."""
    made = Path(tempfile.mkdtemp(prefix="ior-nb-binder-"))
    made.chmod(0o755)
    shutil.copytree(ROOT, made / "repo", ignore=LEFT_OUT)
    for name in ("home", "out"):
        (made / name).mkdir()
    for found in (made, *made.rglob("*")):
        os.chown(found, NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)


def test_environment_is_what_repo2docker_expects() -> None:
    """Only conda-forge, a Python the package supports, pip; apt.txt names packages or nothing; postBuild can run."""
    found = environment()
    python = next(d for d in found["dependencies"] if isinstance(d, str) and d.startswith("python="))
    packages = [line.partition("#")[0].strip() for line in (BINDER / "apt.txt").read_text().splitlines()]

    assert found["channels"] == ["conda-forge"]
    assert tuple(map(int, python.removeprefix("python=").split("."))) >= (3, 11)
    assert "pip" in found["dependencies"]
    assert [p for p in packages if p and not re.fullmatch(r"[a-z0-9.+-]+", p)] == []
    assert os.access(BINDER / "postBuild", os.X_OK)


@pytest.mark.live
@pytest.mark.timeout(900)
def test_binder_builds_and_plays_every_notebook_back(folder: Path) -> None:
    """In a fresh environment, made by postBuild, nobody runs all notebooks: played back, they say the same and why."""
    began = time.monotonic()
    subprocess.run([public_python(), "-m", "venv", str(folder / "venv")], check=True, capture_output=True)
    programs = folder / "venv" / "bin"
    for part in environment()["dependencies"]:
        if isinstance(part, dict):
            subprocess.run([str(programs / "pip"), "install", "-q", *part["pip"]], check=True, cwd=folder / "repo")
    built = subprocess.run(
        [str(folder / "repo" / "binder" / "postBuild")],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder / "repo",
        env=os.environ | {"PATH": f"{programs}:{os.defpath}"},
    )
    assert built.returncode == 0, built.stderr
    after_build = time.monotonic()
    copies = [str(folder / "repo" / "notebooks" / p.name) for p in NOTEBOOKS]
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda some: execute(folder, some), (copies[::2], copies[1::2])))
    print(f"built in {after_build - began:.0f} s, notebooks in {time.monotonic() - after_build:.0f} s")
    assert [r.stderr[-3000:] for r in runs if r.returncode != 0] == []
    for name in (p.name for p in NOTEBOOKS):
        text = text_of(read(folder / "out" / name))

        assert missing(Path(name), text) == []
        assert "INCOMPLETE" not in text
        assert f"played back from {name[:2]}-1.parquet" in text
        assert re.search(WHY.get(Path(name).stem, "lacks CAP_BPF and CAP_PERFMON; see %ior doctor"), text)

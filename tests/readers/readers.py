"""The readers of Parquet a recording is tried with: a new one is a row of READERS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["CACHE", "READERS", "Reader", "Unavailable"]

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ior-nb-readers"
_SECONDS: Final = 900
_PYTHONS: Final = ("python3.11", "python3.12", "python3.13", sys.executable)


class Unavailable(Exception):
    """A reader that cannot be had here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One row of the table."""

    name: str
    """What it is called, a key of `inside.READ`."""
    version: str
    packages: tuple[str, ...] = ()
    """What it needs beside itself."""
    package: str = ""
    """Its name on the package index, where that is another."""
    program: str = ""
    """A program it needs, and the Debian package that has it, as `java:default-jre-headless`."""
    note: str = ""
    """Why this version."""

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    def python(self) -> Path:
        """Return the Python of an environment that holds it, made where it is missing.

        Raises:
            Unavailable: it cannot be installed here.
        """
        program, _, package = self.program.partition(":")
        if program and shutil.which(program) is None:
            raise Unavailable(f"it needs {program}: apt install {package}")
        home = CACHE / f"{self.name}-{self.version}"
        done = home / "complete"
        python = home / "bin" / "python"
        if done.exists():
            return python
        wanted = [f"{self.package or self.name}=={self.version}", *self.packages]
        last = "no Python of 3.11 to 3.13"
        for interpreter in filter(None, map(shutil.which, _PYTHONS)):  # old versions have wheels for old ones only
            shutil.rmtree(home, ignore_errors=True)
            for command in (
                [interpreter, "-m", "venv", str(home)],
                [str(python), "-m", "pip", "install", "--quiet", *wanted],
            ):
                made = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SECONDS)
                if made.returncode:
                    last = (made.stderr.strip().splitlines() or ["no answer"])[-1]
                    break
            else:
                done.touch()
                return python
        shutil.rmtree(home, ignore_errors=True)
        raise Unavailable(f"it cannot be installed: {last}")


_OLD: Final = ("numpy<2", "pandas<2.3")
READERS: Final = (
    Reader(name="duckdb", version="1.1.0", note="the oldest `pyproject.toml` allows"),
    Reader(name="duckdb", version="1.4.5"),
    Reader(name="duckdb", version="2.0.1"),
    Reader(name="polars", version="0.20.31", note="before 1.0"),
    Reader(name="polars", version="1.0.0"),
    Reader(name="polars", version="2.1.0"),
    Reader(name="fastparquet", version="2024.2.0", packages=_OLD),
    Reader(name="fastparquet", version="2026.9.0"),
    Reader(name="pyarrow", version="14.0.2", packages=("numpy<2",)),
    Reader(name="pyarrow", version="16.0.0", packages=("numpy<2",), note="the oldest `pyproject.toml` allows"),
    Reader(name="pyarrow", version="26.0.1"),
    Reader(name="spark", package="pyspark", version="3.5.9", program="java:default-jre-headless"),
    Reader(name="spark", package="pyspark", version="4.1.4", program="java:default-jre-headless"),
)

"""Where things lie on a host, and what is left there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ior_nb.dask import places

GONE = 2**22 + 5
HERE = places.spools("a" * 32).name


@pytest.mark.parametrize(
    ("name", "pid", "age_s", "stays"),
    [
        (HERE, GONE, 90_000, False),
        (HERE, GONE, 80_000, True),
        (HERE, os.getpid(), 90_000, True),
        (HERE.rpartition("-")[0] + "-00000000", GONE, 90_000, True),
        ("ior-nb-0-4026531836", GONE, 90_000, True),
    ],
    ids=["a day old", "younger", "of a process that is there", "where numbers are others'", "of labels"],
)
def test_notes_of_processes_that_are_gone_are_removed_a_day_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, pid: int, age_s: int, stays: bool
) -> None:
    """Shared memory is short, and who was killed cannot tidy up."""
    monkeypatch.setattr(places, "shared_memory", lambda: tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{pid}-17.spans").touch()
    os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    (tmp_path / places.spools("b" * 32).name).symlink_to("/nowhere")
    places.clear_forgotten()

    assert (tmp_path / name).exists() == stays

"""A short run of the fuzzer, always of the same inputs; and what once failed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ior_nb import errors
from ior_nb.engine.decode import Decoder
from ior_nb.export.arrow import table
from ior_nb.globalfilter import parse
from ior_nb.result.load import load
from tests.bench.frames import frames
from tests.fuzz import recordings
from tests.fuzz.kinds import KINDS, everything
from tests.fuzz.run import once, run

INPUTS = {"filter text": 300, "frames cut": 500, "frames decoded": 60, "footers, thrift": 60, "option lines": 60}
FEW = 6  # of the kinds that write files


@pytest.mark.parametrize("name", KINDS)
def test_inputs_are_taken_or_refused(name: str) -> None:
    """Each input of a fixed run ends in a result or in the error of its kind; some of both."""
    found = [once(name, 1, number) for number in range(INPUTS.get(name, FEW))]

    assert any(found)
    if name in INPUTS:
        assert not all(found)


def test_a_run_counts_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception, a process that dies and an input that never ends are counted, and the run goes on behind them."""

    def checked(name: str, seed: int, number: int) -> bool:
        if number % 10 == 3:
            raise ZeroDivisionError
        if number == 5:
            os._exit(9)
        while number == 7:
            pass
        return number % 2 == 0

    monkeypatch.setattr("tests.fuzz.run._LIMIT_S", 0.05)
    monkeypatch.setattr("tests.fuzz.run.once", checked)
    found = run("frames cut", 1, 60, 12)

    assert (found.inputs, found.taken, found.crashes, found.hangs) == (12, 6, 2, 1)
    assert any("the process died, status 9" in problem for problem in found.problems)


# ---- what once failed


def test_every_surface_of_a_recording_works(tmp_path: Path) -> None:
    """A recording as it should be goes through every public surface."""
    path = tmp_path / "x.parquet"
    path.write_bytes(recordings.published())

    assert everything(path)


@pytest.mark.parametrize("text", ["\x1b[2J", "file~\u202ea\x1b(", 'comm="\x07'])
def test_errors_of_filters_show_no_control_characters(text: str) -> None:
    """What a terminal would act on is an escape in the message, and the mark still points at its place."""
    with pytest.raises(errors.FilterSyntaxError) as caught:
        parse(text)
    _, shown, mark = str(caught.value).split("\n")

    assert shown.isprintable()
    before = text[: caught.value.position]
    assert len(mark) - 3 == sum(len(c if c.isprintable() else ascii(c)[1:-1]) for c in before)


def test_ids_of_any_size_take_no_room() -> None:
    """A frame of names with the largest ids there are does not make the decoder ask for gigabytes."""
    decoder = Decoder()
    names = bytearray(next(frames(5)).names)
    names[8:12] = b"\xff\xff\xff\xff"
    decoder.names.take(bytes(names))

    assert decoder.names.paths.nbytes < 1 << 16


def test_a_result_of_the_least_number_is_a_result(tmp_path: Path) -> None:
    """The least number of 64 bits, as result of a call that did not fail, goes through every surface."""
    rows = recordings.rows().with_columns(ret=np.full(60, -(2**63)), is_error=np.zeros(60, bool))
    pq.write_table(table([rows]), tmp_path / "x.parquet")

    assert everything(tmp_path / "x.parquet")
    assert load(tmp_path / "x.parquet").batch["ret"].tolist() == [-(2**63)] * 60

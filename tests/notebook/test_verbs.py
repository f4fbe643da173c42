from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.notebook.conftest import Kernel

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

STATS = """import os
for n in range({n}):
    try: os.stat('/etc/hostname' if n % 2 else '/nowhere')
    except OSError: pass"""


def test_a_filter_is_set_shown_and_taken_back(kernel: Kernel) -> None:
    """`%ior filter` changes what a running trace lets through, at once; undo and clear take it back."""
    kernel.run("%ior start --syscalls newfstatat")
    said = kernel.run("%ior filter probes and file~nowhere").text
    kernel.run(STATS.format(n=10))
    undone = kernel.run("%ior filter undo").text
    kernel.run(STATS.format(n=10))
    kernel.run("%ior stop")
    counts = kernel.run(
        "import collections\n"
        "f = [(r.file, r.filter_epoch) for r in _ior.batch if r.file in ('/etc/hostname', '/nowhere')]\n"
        "first = min(e for _, e in f)\n"
        "print(sorted(collections.Counter((n, e - first) for n, e in f).items()), _ior.accounting.unaccounted)"
    )

    assert "filter: probes and file~nowhere" in said
    assert "filter: all" in undone
    assert counts.text.strip() == "[(('/etc/hostname', 1), 5), (('/nowhere', 0), 5), (('/nowhere', 1), 5)] 0"


def test_a_wrong_filter_points_at_the_place(kernel: Kernel) -> None:
    """The message has the text and a caret; nothing is changed."""
    answer = kernel.run("%ior filter latency>=5parsecs")

    assert answer.status == "error"
    assert "^" in answer.evalue
    assert "filter: all" in kernel.run("%ior filter").text


def test_probes_are_switched_while_a_trace_runs(kernel: Kernel) -> None:
    """A probe that is off makes no rows, one that is on again does; rates are shown; mistakes are one line."""
    kernel.run("%ior start --syscalls newfstatat,faccessat")
    kernel.run("%ior probes off newfstatat")
    kernel.run(STATS.format(n=10))
    kernel.run("%ior probes on stat,fstatat")
    kernel.run(STATS.format(n=6))
    said = kernel.run("%ior probes rate faccessat=10").text
    wrong = kernel.run("%ior probes off opneat")
    kernel.run("%ior stop")

    assert "faccessat: one in 10" in said
    assert wrong.status == "error"
    assert kernel.run("print((_ior.batch.text('file') == '/nowhere').sum())").text.strip() == "3"


def test_sql_over_the_trace_and_a_recording(kernel: Kernel, tmp_path: Path) -> None:
    """DuckDB sees the last trace as `trace`, a running one too, and recordings by name."""
    kernel.run(f"%%ior --syscalls newfstatat --record {tmp_path}/r.parquet\n" + STATS.format(n=8))
    counted = kernel.run("%ior sql SELECT file, count(*) AS n FROM trace GROUP BY file ORDER BY file")
    recorded = kernel.run(f"%ior sql SELECT count(*) AS n FROM '{tmp_path}/r.parquet' WHERE is_error")
    wrong = kernel.run("%ior sql SELECT nothing FROM trace")
    kernel.run("%ior start --syscalls newfstatat")
    kernel.run(STATS.format(n=4))
    live = kernel.run("%ior sql SELECT count(*) AS n FROM trace WHERE file = '/nowhere'")
    kernel.run("%ior stop")

    assert counted.value is not None
    assert counted.value.split() == "file n 0 /etc/hostname 4 1 /nowhere 4".split()
    assert recorded.value is not None
    assert recorded.value.split()[-1] == "4"
    assert wrong.status == "error"
    assert live.value is not None
    assert live.value.split()[-1] == "2"


def test_cells_are_listed_and_compared(kernel: Kernel) -> None:
    """`%ior cells` has a line a traced cell; `%ior diff` compares two of them by number or variable."""
    kernel.run("%%ior --syscalls newfstatat --name before\n" + STATS.format(n=4))
    kernel.run("%%ior --syscalls newfstatat --name after\n" + STATS.format(n=12))
    listed = kernel.run("%ior cells").text
    compared = kernel.run("d = %ior diff before after\nprint(d.syscalls().to_string())")
    numbers = [line.split()[0] for line in listed.splitlines()[1:]][-2:]
    by_number = kernel.run(f"%ior diff {numbers[0]} {numbers[1]}")

    assert listed.count("complete") >= 2
    assert "newfstatat" in compared.text
    assert by_number.status == "ok"
    assert kernel.run("%ior diff 1 nothing").status == "error"


def test_cells_of_a_longer_trace_are_listed_and_compared(kernel: Kernel) -> None:
    """Cells run while `%ior start` traces have their lines, while it runs and after, and can be compared by number."""
    kernel.run("%ior start --syscalls newfstatat")
    first = int(kernel.run(STATS.format(n=10) + "\nprint(len(In) - 1)").text)
    kernel.run(STATS.format(n=21))
    kernel.run("pass")
    running = kernel.run("%ior cells").text
    kernel.run("%ior stop")
    stopped = kernel.run("%ior cells").text
    cells = [[re.split(r"\s{2,}", line.strip()) for line in text.splitlines()] for text in (running, stopped)]
    lines = [{int(row[0]): dict(zip(head[1:], row[1:], strict=True)) for row in rows} for head, *rows in cells]
    compared = kernel.run(f"d = %ior diff {first} {first + 1}\nprint(d)")

    for found in lines:
        assert int(found[first]["calls"]) >= 10
        assert int(found[first + 1]["calls"]) - int(found[first]["calls"]) == 11
        assert int(found[first]["errors"]) == 0  # a file that is not there is a probe
        assert found[first]["completeness"].split()[0] == "complete"
        assert first + 2 in found
        assert first - 1 not in found
    assert "so far" in running
    assert "so far" not in stopped
    assert compared.text.startswith(f"cell {first} → cell {first + 1}")


def test_a_stretch_of_a_recording_is_loaded(kernel: Kernel, tmp_path: Path) -> None:
    """`%ior load` has the options of `ior_nb.load`; they are completed, and a wrong one is one line."""
    kernel.run(f"%%ior --syscalls newfstatat --record {tmp_path}/r.parquet\n" + STATS.format(n=6))
    path = f"{tmp_path}/r.parquet"
    counts = [
        kernel.run(f"%ior load {path} {options}").displayed[0]["text/plain"].split(" call")[0].split()[-1]
        for options in ("--filter 'file~nowhere'", "--end 1m", "--start 59.5", "--start 59s --end 60", "--no-rows")
    ]
    mistakes = ("--start soon", "--end 1 --start 2", "--begin 1")
    wrong = [kernel.run(f"%ior load {path} {options}") for options in mistakes]
    help_text = kernel.run("%ior load --help").text

    assert counts == ["3", "6", "0", "0", "6"]
    assert [answer.status for answer in wrong] == ["error"] * 3
    assert all("\n" not in answer.evalue for answer in wrong)
    for option in ("--start", "--end", "--filter", "--no-rows"):
        assert option in help_text
        assert option in kernel.complete("%ior load --")
    assert "--families" not in kernel.complete("%ior load --")
    assert "--families" in kernel.complete("%ior start --")


def test_a_recording_is_loaded_and_exported(kernel: Kernel, tmp_path: Path) -> None:
    """A trace comes back from its recording; every ending writes its format."""
    kernel.run(f"%%ior --syscalls newfstatat --record {tmp_path}/r.parquet\n" + STATS.format(n=6))
    loaded = kernel.run(f"%ior load {tmp_path}/r.parquet")
    for ending in ("csv", "folded", "speedscope.json", "trace.json", "html", "arrow", "parquet"):
        assert kernel.run(f"%ior export {tmp_path}/out.{ending}").status == "ok", ending

    assert "6 calls" in loaded.displayed[0]["text/plain"]
    assert (tmp_path / "out.folded").read_text().splitlines()[0].endswith(" 3")
    assert all(path.stat().st_size for path in tmp_path.iterdir())
    assert kernel.run("%ior load /no/such/file.parquet").status == "error"
    assert kernel.run(f"%ior export {tmp_path}/out.nonsense").status == "error"


def test_a_filtered_cell_has_only_the_rows_asked_for(kernel: Kernel) -> None:
    """`--filter` keeps the rows it accepts and counts the others."""
    kernel.run("%%ior --syscalls newfstatat --filter 'probes and file~nowhere'\n" + STATS.format(n=20))

    assert kernel.run("len(_ior.batch), _ior.accounting.filtered").value == "(10, 10)"


def test_reset_begins_the_live_statistics_anew(kernel: Kernel) -> None:
    """After a reset the statistics count from now; the trace itself keeps its rows."""
    kernel.run("%ior start --syscalls newfstatat")
    kernel.run(STATS.format(n=10))
    kernel.run("%ior status")
    kernel.run("%ior reset")
    kernel.run("%ior stop")

    assert kernel.run("print((_ior.batch.text('file') == '/nowhere').sum())").text.strip() == "5"
    assert kernel.run("%ior reset").status == "error"


def test_every_verb_explains_itself(kernel: Kernel) -> None:
    """`%ior VERB --help` prints and does nothing."""
    for verb in ("filter", "probes", "sql", "cells", "diff", "load", "export", "record", "start"):
        answer = kernel.run(f"%ior {verb} --help")
        assert (answer.status, bool(answer.text)) == ("ok", True), verb


def test_a_cell_has_the_number_of_its_prompt(kernel: Kernel) -> None:
    """Rows of a traced cell, and of one run while a trace goes on, carry the number the notebook shows."""
    first = kernel.run("%%ior --syscalls newfstatat\n" + STATS.format(n=3))
    assert kernel.run("print(set(_ior.df().cell))").text.strip() == f"{{{first.number}}}"
    kernel.run("%ior start --syscalls newfstatat")
    second = kernel.run(STATS.format(n=3))
    kernel.run("%ior stop")
    assert str(second.number) in kernel.run("print(set(_ior.df().cell))").text


def test_the_stop_button_is_as_good_as_the_verb(kernel: Kernel) -> None:
    """A trace ended from the dashboard is bound to `_ior`; `%ior stop` ends what runs, whoever began it."""
    kernel.run("import ior_nb\nshown = ior_nb.dashboard(panels=['filter'])")
    kernel.run("control = shown.runtime.control\n%ior start --syscalls newfstatat")
    kernel.run(STATS.format(n=4))
    kernel.run("control.stop()")
    assert kernel.run("print(len(_ior.df()) >= 4)").text.strip() == "True"
    assert "nothing is being traced" in kernel.run("%ior stop").evalue
    kernel.run("control.start()\nopen('/etc/passwd').close()")
    kernel.run("%ior stop")
    assert kernel.run("print((_ior.df().file == '/etc/passwd').any())").text.strip() == "True"
    assert kernel.run("%ior status").text.startswith("not tracing")
    kernel.run("shown.close()")


def test_rows_so_far_are_all_of_them(kernel: Kernel) -> None:
    """`%ior df` of a running trace has every row kept, not only those of the live stream."""
    kernel.run("%ior start --syscalls newfstatat")
    kernel.run(STATS.format(n=12_345))
    count = int(kernel.run("rows = %ior df\nprint(len(rows))").text)
    kernel.run("%ior stop")
    assert count >= 12_345


def test_an_older_cell_is_shown_again(kernel: Kernel) -> None:
    """`%ior show` takes the number of a traced cell or a variable, and panels by name or title."""
    number = kernel.run("%%ior --name kept\nopen('/etc/passwd').close()").number
    kernel.run("%%ior\nopen('/etc/hostname').close()")
    for words in (f"{number} overview", "kept Files"):
        shown = kernel.run(f"%ior show {words}")
        assert any("/etc/passwd" in str(bundle.get("text/html")) for bundle in shown.displayed)
    assert "neither a traced cell" in kernel.run("%ior show nonsense").evalue

"""What of the matrix needs neither network nor emulator: choice of kernels, archives, tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.matrix import archive, roots, table, vm
from tests.matrix.__main__ import DOCUMENT, packed
from tests.matrix.archive import Kernel, Unavailable
from tests.matrix.cells import CELLS

CELL = next(cell for cell in CELLS if cell.name == "6.1")


def result(**more: Any) -> dict[str, Any]:
    """What a cell found: of 5 tests 3 have run, one of them failed."""
    known, busy = (f"tests/live/{name}" for name in (table.WORKLOAD, table.BUSY))
    return {
        "cell": CELL.name,
        "date": "2026-11-28",
        "kernel": "6.1.0-50-amd64",
        "facts": {
            "kernel": "6.1.0-50-amd64",
            "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-10-01)",
            "machine": "x86_64",
            "python": "3.11.2",
            "bcc": "0.26.0",
            "preempt": "voluntary",
        },
        "doctor": {"status": 0, "text": "ok    kernel  6.1.0-50-amd64\n"},
        "trace": {"status": 0, "text": ""},
        "collected": {table.WORKLOAD: 2, table.BUSY: 1, "test_other.py": 2},
        "tests": [
            {"test": f"{known}::test_a[x/y]", "outcome": "passed", "why": ""},
            {"test": f"{known}::test_b", "outcome": "failed", "why": "assert 3\n == 4"},
            {"test": f"{busy}::test_c", "outcome": "passed", "why": ""},
        ],
        **more,
    }


# ---- which kernel


def test_a_higher_number_is_newer() -> None:
    """Releases are ordered by their numbers, not by their letters."""
    releases = ["6.1.0-50-amd64", "6.1.0-9-amd64", "6.12.90+deb12.1-amd64", "6.12.90+deb12-amd64", "5.10.0-32-amd64"]

    assert sorted(releases, key=archive.order) == [releases[i] for i in (4, 1, 0, 3, 2)]


def test_a_kernel_without_modules_or_of_another_flavour_is_no_choice() -> None:
    """A release counts when it can be booted: whole, or with its modules; neither cloud nor rt, no other machine's."""
    names = [f"linux-image-{r}" for r in ("6.1.0-50-amd64", "6.1.0-50-cloud-amd64", "6.1.0-50-rt-amd64")]
    names += [f"linux-{part}-7.3.4+deb13-amd64" for part in ("image", "binary", "modules")]
    names += [f"linux-{part}-7.1.13+deb13-amd64" for part in ("image", "binary")]
    names += ["linux-image-6.1.0-50-arm64", "linux-image-amd64", "linux-image-6.1.0-50-amd64-dbg"]

    assert archive.complete(names, "amd64") == ["6.1.0-50-amd64", "7.3.4+deb13-amd64"]


def test_a_series_is_not_the_next_one_and_unstable_is_where_debian_says() -> None:
    """`6.1` is not 6.12; `stable` and `unstable` go by the suites that offer a kernel, not by its number."""
    known = [
        Kernel(release="6.1.0-50-amd64", suites=frozenset({"bookworm"})),
        Kernel(release="6.12.117+deb13-amd64", suites=frozenset({"trixie"})),
        Kernel(release="7.2.13+deb14-amd64", suites=frozenset({"forky", "sid"})),
        Kernel(release="7.3.4+deb13-amd64", suites=frozenset({"trixie-backports"})),
    ]

    assert archive.choose(known, "6.1") == "6.1.0-50-amd64"
    assert archive.choose(known, "stable") == "7.3.4+deb13-amd64"
    assert archive.choose(known, "unstable") == "7.2.13+deb14-amd64"
    with pytest.raises(Unavailable, match=r"no kernel 5\.10"):
        archive.choose(known, "5.10")


def test_suites_are_read_from_what_apt_says() -> None:
    """Of `apt-cache madison` the package and the suites that offer it are read; sources of sources are not."""
    text = """\
linux-image-6.1.0-50-amd64 | 6.1.176-1 | http://mirror/debian bookworm/main amd64 Packages
linux-image-6.1.0-50-amd64 | 6.1.176-1 | http://mirror/debian sid/main amd64 Packages
"""

    assert archive.offered(text) == {"linux-image-6.1.0-50-amd64": frozenset({"bookworm", "sid"})}


def test_every_cell_can_be_named_and_has_a_root_file_system() -> None:
    """Names of cells are unique, and their releases of Debian are known."""
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    assert {cell.suite for cell in CELLS} == roots.SUITES.keys() == table.DEBIAN.keys()


# ---- what is booted


def test_modules_are_loaded_after_what_they_need() -> None:
    """Each module stands once, behind those it needs; what is built in is left out."""
    text = """\
kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko.xz
kernel/fs/jbd2/jbd2.ko.xz:
kernel/lib/crc16.ko.xz:
kernel/drivers/block/virtio_blk.ko.xz:
kernel/sound/soundcore.ko.xz:
"""
    names = [Path(name).name.partition(".")[0] for name in vm.load_order(text)]

    assert names == ["virtio_blk", "crc16", "jbd2", "ext4"]


def test_an_archive_for_the_initial_ram_disk_has_its_parts_where_the_kernel_looks() -> None:
    """Header, name and data begin at multiples of four bytes, sizes are hexadecimal."""
    made = vm.cpio([("init", 0o100755, b"12345")])

    assert made[:6] == made[124:130] == b"070701"
    assert int(made[14:22], 16) == 0o100755
    assert int(made[54:62], 16) == 5
    assert made[110:115] == b"init\0"
    assert made[116:121] == b"12345"
    assert made[124 + 110 :].startswith(b"TRAILER!!!\0")


def test_what_a_cell_gets_depends_on_the_files_alone(tmp_path: Path) -> None:
    """The archive of a tree has the package and the live tests, not the compiled modules, and no time in it."""
    (tmp_path / "ior_nb/__pycache__").mkdir(parents=True)
    (tmp_path / "ior_nb/a.py").write_text("a = 1\n")
    before = packed(tmp_path)
    (tmp_path / "ior_nb/__pycache__/a.pyc").write_bytes(b"x")
    (tmp_path / "ior_nb/a.py").write_text("a = 1\n")

    assert packed(tmp_path) == before
    (tmp_path / "ior_nb/a.py").write_text("a = 2\n")
    assert packed(tmp_path) != before


# ---- what is said


def test_a_row_says_how_many_passed_failed_and_had_no_time() -> None:
    """The three columns of tests are the known workload, the busy processes and the rest."""
    row = dict(zip(table.HEAD, table.row(CELL, result()), strict=True))

    assert row["kernel"] == "6.1.176 x86_64 preempt=voluntary"
    assert row["userland"] == "Debian 12"
    assert row["Python, bcc"] == "3.11.2, 0.26.0"
    assert row["doctor"] == "ok"
    assert row["known workload"] == "1 of 2, 1 failed"
    assert row["busy processes"] == "1 of 1"
    assert row["live suite"] == "0 of 2, 2 no time"


def test_no_time_is_no_failure() -> None:
    """A cell fails by a test that failed, a trace that was refused, an error; not by tests that were not reached."""
    good = [test for test in result()["tests"] if test["outcome"] == "passed"]
    refused = {"status": 2, "text": "warning\nior-nb: the kernel refused the program: Bad address\n"}

    assert not table.failed(result(tests=good))
    assert table.failed(result())
    assert table.failed(result(tests=good, trace=refused))
    assert table.failed(result(error="nothing came back"))


def test_a_refused_trace_is_said_with_its_reason() -> None:
    """Where the kernel refuses the program no number of tests stands in the table, and the reason is printed."""
    refused = {"status": 2, "text": "warning\nior-nb: the kernel refused the program: Bad address\n"}
    found = result(trace=refused, tests=[], collected={})
    row = dict(zip(table.HEAD, table.row(CELL, found), strict=True))

    assert row["known workload"] == row["live suite"] == "refused"
    assert table.troubles(CELL, found) == ["6.1: trace refused: the kernel refused the program: Bad address"]


def test_a_failed_test_is_said_in_one_line() -> None:
    """What is printed of a failure has no line breaks."""
    assert table.troubles(CELL, result()) == [f"6.1: tests/live/{table.WORKLOAD}::test_b: assert 3 == 4"]


def test_the_doctors_bad_findings_are_named() -> None:
    """The column has the names of what FAILs."""
    text = "ok    kernel         5.10\nFAIL  locked memory  64 KiB\n             -> ulimit\nFAIL  BTF            no\n"

    assert table.doctor(result(doctor={"status": 1, "text": text})) == "FAIL locked memory, BTF"


def test_a_panic_is_what_a_dead_machine_says() -> None:
    """Of a console the panic is told, else its last line."""
    assert table.last_words("a\nKernel panic - not syncing: x\nb\n") == "Kernel panic - not syncing: x"
    assert table.last_words("a\nb\n\n") == "b"


def test_the_columns_of_a_table_are_aligned_and_text_cannot_add_one() -> None:
    """All lines are equally long; a bar in a text is none."""
    lines = table.table([("a|b", *[""] * 8), ("a longer name", *["x"] * 8)]).splitlines()

    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1


def test_the_document_gets_another_table_and_keeps_the_rest() -> None:
    """Only what is between the two marks changes; without them nothing is written."""
    document = DOCUMENT.read_text()
    once = table.written(document, "| new |\n")

    assert "| new |" in once
    assert table.written(once, "| newer |\n") == table.written(document, "| newer |\n")
    assert once.partition(table.BEGIN)[0] == document.partition(table.BEGIN)[0]
    assert once.partition(table.END)[2] == document.partition(table.END)[2]
    with pytest.raises(ValueError, match="lacks the lines"):
        table.written("nothing", "| new |\n")


def test_outcomes_are_written_when_they_are_known(tmp_path: Path) -> None:
    """The plugin writes the number of tests, then a line for each test: passed, failed in any phase, skipped."""
    (tmp_path / "test_x.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        "def late():\n    yield\n    assert 0, 'at the end'\n"
        "def test_a(): pass\n"
        "def test_b(): assert 1 == 2\n"
        "def test_c(late): pass\n"
        "def test_d(): pytest.skip('no reason')\n"
    )
    reports = tmp_path / "reports"
    command = ["-p", "tests.matrix.reports", "--reports", str(reports), "-p", "no:cacheprovider"]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *command, f"--rootdir={tmp_path}", str(tmp_path / "test_x.py")],
        cwd=roots.ROOT,
        check=False,
        capture_output=True,
    )
    first, *tests = [json.loads(line) for line in reports.read_text().splitlines()]

    assert first == {"collected": {"test_x.py": 4}}
    assert [(t["test"][-6:], t["outcome"]) for t in tests] == [
        ("test_a", "passed"),
        ("test_b", "failed"),
        ("test_c", "failed"),
        ("test_d", "skipped"),
    ]
    assert "at the end" in tests[2]["why"]

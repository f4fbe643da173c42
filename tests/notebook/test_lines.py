"""The lines of cells, of functions defined in other cells, of imported modules, of threads and workers, in a kernel."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.notebook.conftest import Kernel

pytestmark = pytest.mark.live

MODULE = """
import os


def five(fd):
    for _ in range(5):
        os.pread(fd, 1, 0)
"""
OTHER = """def seven(fd):
    for _ in range(7):
        os.pread(fd, 1, 0)
"""
CELL = """%%ior --syscalls pread64
import asyncio, multiprocessing, threading

for _ in range(3):
    os.pread(Z, 1, 0)
seven(Z)
mine.five(Z)
thread = threading.Thread(target=lambda: [os.pread(Z, 1, 0) for _ in range(11)])
thread.start(); thread.join()
with multiprocessing.get_context("fork").Pool(1) as pool:
    pool.map(seven, [Z])
async def eleven():
    await asyncio.sleep(0)
    [os.pread(Z, 1, 0) for _ in range(13)]
await eleven()
"""


def test_every_line_has_its_calls(kernel: Kernel, tmp_path: Path) -> None:
    """Prime numbers of calls, each at its line, wherever its function was defined and whoever ran it."""
    (tmp_path / "mine.py").write_text(MODULE)
    kernel.run("%load_ext ior_nb")
    kernel.run(
        f"import os, sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport mine\nZ = os.open('/dev/zero', os.O_RDONLY)"
    )
    kernel.run(OTHER)

    shown = kernel.run(CELL)
    rows = kernel.run(
        "[(f.split('/')[-1] == 'mine.py', n, c) for f, n, c in _ior.lines()[['file', 'line', 'calls']].to_numpy()]"
    )

    assert shown.status == "ok"
    assert sorted(ast.literal_eval(rows.value or "")) == sorted(
        [(False, 5, 3), (False, 3, 14), (True, 7, 5), (False, 8, 11), (False, 14, 13)]
    )


def test_the_cell_is_shown_with_its_lines(kernel: Kernel) -> None:
    """As text and as HTML, with `%%ior` on top; libraries below a line can be unfolded; `%ior lines` shows it again."""
    kernel.run("%load_ext ior_nb")

    shown = kernel.run("%%ior\nfrom pathlib import Path\nPath('/etc/passwd').read_text()[:0]")
    again = kernel.run("%ior lines")
    table = kernel.run("%ior lines --library")

    (answer,) = shown.displayed
    assert "Path('/etc/passwd').read_text()[:0]" in answer["text/plain"]
    assert "3  Path" in answer["text/plain"]
    assert "<details>" in answer["text/html"]
    assert "__ior_cell__" not in answer["text/plain"]
    assert again.displayed[0]["text/plain"].splitlines()[1:] == [
        line for line in answer["text/plain"].splitlines() if line in again.displayed[0]["text/plain"].splitlines()[1:]
    ]
    assert "read_text" in (table.value or "")


def test_stacks_can_be_turned_off(kernel: Kernel) -> None:
    """`--stacks off`: rows as before, no lines; `%ior lines` says that there are none."""
    kernel.run("%load_ext ior_nb")

    shown = kernel.run("%%ior --stacks off\nopen('/etc/passwd').close()")
    said = kernel.run("%ior lines")

    assert "open('/etc/passwd')" not in shown.displayed[0]["text/plain"]
    assert said.text.startswith("no cells with lines of Python in this trace")


def test_lines_of_several_cells_have_their_numbers(kernel: Kernel) -> None:
    """A trace over cells: `%ior lines` shows each with its number, while it runs and after."""
    kernel.run("%load_ext ior_nb")
    kernel.run("%ior start")
    cell = kernel.run("open('/etc/passwd').close()")

    running, stopped = kernel.run("%ior lines"), kernel.run("%ior stop")
    after = kernel.run("%ior lines")

    for shown in (running, after):
        assert f"cell {cell.number}" in shown.displayed[0]["text/plain"].splitlines()[0]
    assert stopped.status == "ok"


def test_imports_are_one_line_with_their_packages(kernel: Kernel, tmp_path: Path) -> None:
    """What an import makes for itself is no line's; what a module does while it is imported is its own, and mine."""
    (tmp_path / "bought.py").write_text("import xml.dom.minidom\nopen(__file__ + '.txt', 'w').close()\n")
    kernel.run("%load_ext ior_nb")
    kernel.run(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})")

    shown = kernel.run("%%ior\nimport bought")
    lines = kernel.run(
        "[(f.split('/')[-1], n, w) for f, n, w in _ior.lines()[['file', 'line', 'function']].to_numpy()]"
    )
    packages = kernel.run("sorted(_ior.imports()['package'])")
    own = kernel.run("sorted({f.split('/')[-1] for f in _ior.filter('mine').batch.text('file')})")

    text = shown.displayed[0]["text/plain"]
    assert "  imports: " in text
    assert "the standard library" in shown.displayed[0]["text/html"]
    assert sorted(ast.literal_eval(lines.value or "")) == [("", 0, "(imports)"), ("bought.py", 2, "<module>")]
    assert {*ast.literal_eval(packages.value or "")} - {"looking for modules"} == {"bought", "the standard library"}
    assert ast.literal_eval(own.value or "") == ["bought.py.txt"]


def test_the_line_that_opened_a_file_is_another_cell_s(kernel: Kernel) -> None:
    """A file that one cell opens and another reads, in a thread: the reads say which line it was."""
    kernel.run("%load_ext ior_nb")
    kernel.run("import os, threading\n%ior start")
    kernel.run("x = 7\nfile = open('/etc/passwd', 'rb', buffering=0)")
    kernel.run("thread = threading.Thread(target=file.read)\nthread.start(); thread.join()")
    kernel.run("%ior stop")

    told = kernel.run(
        "{(p.rpartition(':')[2]) for p in _ior.filter('file=/etc/passwd and syscall=read').batch.text('opened_at')}"
    )

    assert told.value == "{'2'}"


def test_a_cell_that_is_timed_has_its_lines_and_its_number(kernel: Kernel) -> None:
    """`%%time` below `%%ior`: each line of the cell has its calls, under the number that its rows have."""
    kernel.run("%load_ext ior_nb")

    shown = kernel.run("%%ior --syscalls mkdir,rmdir\n%%time\nimport os\nos.mkdir('timed')\n\nos.rmdir('timed')")

    (answer,) = shown.displayed
    lines = [line.split() for line in answer["text/plain"].partition(f"cell {shown.number}\n")[2].splitlines()]
    assert [line[-1] for line in lines if len(line) > 4][:2] == ["os.mkdir('timed')", "os.rmdir('timed')"]

"""Kernels x releases of Debian x architectures as one table: `python -m tests.matrix`, as root.

Each cell asks the doctor, traces once and runs the live tests, the known workload and busy processes first. What it
found is kept, and not done again until the package or the live tests change. The exit status is 1 when a cell failed;
what there was no time for is said, and is no failure.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import hashlib
import io
import json
import os
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.matrix import archive, chroot, roots, table, vm
from tests.matrix.archive import CACHE, Unavailable
from tests.matrix.cells import CELLS, Cell
from tests.matrix.roots import ROOT

DOCUMENT: Final = ROOT / "docs/kernels.md"
_FIRST: Final = "test_dispatcher.py test_accounting.py test_scope.py test_service.py"
FIRST: Final = (table.WORKLOAD, table.BUSY, *_FIRST.split())
PACKED: Final = (
    *("ior_nb/**/*", "pyproject.toml", "tests/[!t]*.py", "tests/live/**/*"),
    *("tests/matrix/inside.py", "tests/matrix/reports.py"),
)
EXTRAS: Final = ("test_dask.py",)  # tests of what the package is not installed with there
SLACK_S: Final = 60  # what a cell that does not end in time is given before it is stopped from outside
LEAST_S: Final = 120  # no cell is begun with less left


def packed(tree: Path) -> bytes:
    """Return what a cell gets of a source tree, as a tar archive whose bytes depend on the files alone."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path in sorted(path for pattern in PACKED for path in tree.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                entry = tarfile.TarInfo(str(path.relative_to(tree)))
                entry.size, entry.mode = path.stat().st_size, 0o755 if os.access(path, os.X_OK) else 0o644
                with path.open("rb") as file:
                    tar.addfile(entry, file)
    return made.getvalue()


class Runner:
    """Runs cells and remembers what they found."""

    def __init__(self, tree: Path, only: str) -> None:
        self._only = only
        self._files = packed(tree)
        tests = sorted(path.name for path in (tree / "tests/live").glob("test_*.py") if path.name not in EXTRAS)
        self._tests = [f"tests/live/{name}" for name in sorted(tests, key=lambda n: (n not in FIRST, _place(n), n))]
        self._kernels: dict[str, list[archive.Kernel]] = {}

    def release(self, cell: Cell) -> str:
        """Return which kernel a cell means today."""
        if not cell.emulated:
            return os.uname().release
        if cell.arch not in self._kernels:
            self._kernels[cell.arch] = archive.kernels(cell.arch)
        return archive.choose(self._kernels[cell.arch], cell.kernel)

    def _kept(self, cell: Cell) -> Path:
        text = f"{cell} {self.release(cell)} {self._only}".encode()
        return CACHE / "results" / cell.name / f"{hashlib.sha256(text + self._files).hexdigest()[:16]}.json"

    def known(self, cell: Cell) -> dict[str, Any] | None:
        """Return what is known of a cell for this tree."""
        with contextlib.suppress(OSError):
            return dict(json.loads(self._kept(cell).read_text()))
        return None

    def prepare(self, cell: Cell) -> None:
        """Download and make what a cell needs, where it is missing."""
        if cell.emulated:
            archive.kernel(self.release(cell), cell.arch)
            roots.image(cell.suite, cell.arch)
        else:
            roots.folder(cell.suite, cell.arch)

    def command(self, cell: Cell, command: list[str], out: Path, seconds: float) -> vm.Ran:
        """Run a command in a cell."""
        if not cell.emulated:
            return chroot.run(cell.suite, command, files=self._files, out=out, seconds=seconds)
        return vm.run(
            self.release(cell),
            cell.suite,
            cell.arch,
            command,
            files=self._files,
            out=out,
            seconds=seconds,
            append=cell.append,
        )

    def measure(self, cell: Cell, seconds: float) -> dict[str, Any]:
        """Run a cell; keep and return what it found."""
        begin = time.monotonic()
        until = seconds + (0 if cell.emulated else begin)
        command = ["python3", "-m", "tests.matrix.inside", f"--until={until:.0f}", f"--only={self._only}", *self._tests]
        found: dict[str, Any] = {
            "cell": cell.name,
            "kernel": self.release(cell),
            "suite": cell.suite,
            "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            "collected": {},
            "tests": [],
        }
        with tempfile.TemporaryDirectory(prefix="ior-nb-matrix-") as name:
            out = Path(name)
            out.chmod(0o755)
            ran = self.command(cell, command, out, seconds + SLACK_S)
            try:
                inside = json.loads((out / "result.json").read_text())
                lines = (out / "tests.jsonl").read_text().splitlines() if (out / "tests.jsonl").exists() else []
            except (OSError, ValueError):
                found["error"] = f"nothing came back: {table.last_words(ran.log)}"
            else:
                if "trace" not in inside:
                    found["error"] = f"stopped before its first trace had ended: {table.last_words(ran.log)}"
                found |= {"facts": inside["facts"], "doctor": inside.get("doctor"), "trace": inside.get("trace")}
                for line in map(json.loads, lines):
                    found.update(line) if "collected" in line else found["tests"].append(line)
        found |= {"seconds": round(time.monotonic() - begin), "log": ran.log[-20_000:]}
        kept = self._kept(cell)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found, indent=1))
        return found


def _place(name: str) -> int:
    return FIRST.index(name) if name in FIRST else 0


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the cache: two emulators at a time are slower than one after the other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run holds the cache: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Tell what is being done."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def run_cells(runner: Runner, cells: list[Cell], *, again: bool, seconds: float) -> dict[str, dict[str, Any]]:
    """Return cell -> result, of what was known and of what could be run in the time given."""
    deadline = time.monotonic() + seconds
    found: dict[str, dict[str, Any]] = {}
    for number, cell in enumerate(cells):
        try:
            kept = None if again else runner.known(cell)
            if kept is not None and "error" not in kept:
                say(f"{cell.name}: known since {kept['date']}")
            else:
                say(f"{cell.name}: {runner.release(cell)} with {table.DEBIAN[cell.suite]}")
                runner.prepare(cell)
                left = deadline - time.monotonic()
                if left < LEAST_S:
                    say(f"{cell.name}: not run, the time is up")
                    continue
                share = max(left / (len(cells) - number), LEAST_S)
                kept = runner.measure(cell, min(cell.seconds, share))
                say(f"{cell.name}: {kept['seconds']} s")
            found[cell.name] = kept
            for line in table.troubles(cell, kept):
                print(line, file=sys.stderr)
        except Unavailable as error:
            say(f"{cell.name}: not run: {error}")
    return found


def main() -> int:
    """Run the cells asked for; print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description="where ior-nb runs, tried")
    names = [cell.name for cell in CELLS]
    parser.add_argument("--cell", action="append", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--again", action="store_true", help="also what is known already")
    parser.add_argument("--list", action="store_true", help="what is known, and run nothing")
    parser.add_argument("--minutes", type=float, default=240, help="begin no cell that could end later (240)")
    parser.add_argument("--only", default="", metavar="EXPRESSION", help="only these tests (as of pytest's -k)")
    parser.add_argument("--tree", type=Path, default=ROOT, help="another source tree than this one")
    parser.add_argument("--write", action="store_true", help="write the table into docs/kernels.md")
    parser.add_argument("--run", metavar="COMMAND", help="run this shell command in one cell, print what it says")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with us
    cells = [cell for cell in CELLS if options.cell is None or cell.name in options.cell]
    runner = Runner(options.tree.resolve(), options.only)
    if options.run is not None:
        if len(cells) != 1:
            parser.error("--run needs one --cell")
        with tempfile.TemporaryDirectory() as out:
            ran = runner.command(cells[0], ["sh", "-c", options.run], Path(out), options.minutes * 60)
        print(ran.log)
        return 124 if ran.status is None else ran.status
    if options.list:
        found = {cell.name: kept for cell in cells if (kept := runner.known(cell)) is not None}
    else:
        with alone():
            found = run_cells(runner, cells, again=options.again, seconds=60 * options.minutes)
    text = table.table(table.row(cell, found.get(cell.name)) for cell in cells)
    print(text, end="")
    if options.write:
        DOCUMENT.write_text(table.written(DOCUMENT.read_text(), text))
    return int(any(table.failed(result) for result in found.values()))


if __name__ == "__main__":
    sys.exit(main())

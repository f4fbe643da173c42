"""What faults on mapped files and cached writes cost while they are seen, beside the same without."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from ior_nb import TracerSession
from ior_nb.session.tracing import trace
from tests.bench.report import Row, log

TITLE = "mapped files and cached writes: CPU time of a step, the four ways in turn"
_SIZE: Final = 16 << 20
_STEPS: Final = {"fault": 20_000, "write": 20_000, "read": 100_000}
# Nothing; another process is traced; this one, its calls of this kind not; and with what is measured here.
_WAYS: Final = ("untraced", "another traced", "traced without", "traced")


def measure(quick: bool) -> list[Row]:
    """Run each program in each way, in turn; report the least of each."""
    rounds = 4 if quick else 12
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, TracerSession() as session:
        program, file = f"{folder}/mapped", Path(folder, "data")
        subprocess.run(["cc", "-O2", "-o", program, str(Path(__file__).with_suffix(".c"))], check=True)
        _fill(file)
        for number in range(rounds):
            for what in _STEPS:
                for way in _WAYS if number % 2 else _WAYS[::-1]:
                    found.setdefault((what, way), []).append(_run([program, what, str(file)], what, way, session))
            log(f"round {number + 1} of {rounds}")
    rows = []
    for what in _STEPS:
        least = {way: min(found[what, way]) for way in _WAYS}
        for way in _WAYS:
            ratio = f" ({least[way] / least['untraced']:.2f})" if way != "untraced" else ""
            rows.append(Row(what=f"{what}, {way}", measured=f"{least[way]:.0f} ns{ratio}"))
    return rows


def _fill(file: Path) -> None:
    """Write it page by page from behind: else its pages come in folios of many, which one fault maps together."""
    with file.open("wb", buffering=0) as data:
        for at in range(_SIZE - 4096, -1, -4096):
            os.pwrite(data.fileno(), os.urandom(4096), at)


def _run(command: list[str], what: str, way: str, session: TracerSession) -> float:
    child = subprocess.Popen([*command, str(_STEPS[what])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    syscalls = "getppid" if way == "traced without" else "getppid,page_fault"
    with _tracing(child.pid, way, syscalls, session):
        return float(child.communicate("go\n")[0])


def _tracing(pid: int, way: str, syscalls: str, session: TracerSession) -> AbstractContextManager[Any]:
    if way == "untraced":
        return nullcontext()
    if way != "another traced":
        return trace(pid=pid, syscalls=syscalls, session=session)
    return trace(command=[sys.executable, "-c", "import time; time.sleep(0.2)"], syscalls=syscalls, session=session)

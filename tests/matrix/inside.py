"""What runs in a cell: look at the machine, ask the doctor, trace once, then the live tests; results as JSON in /out.

python3 -m tests.matrix.inside --until N [--only EXPRESSION] FILE...

N is a time of this kernel's monotonic clock, which for an emulated machine begins when it is switched on. What was
found is written after every step, so that a cell that is stopped has what it came to.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from ior_nb.engine.collector.distribution import find_bcc

OUT: Final = Path("/out")
TRACE_S: Final = 240
GOODBYE_S: Final = 30  # a test run that was interrupted closes what it has open
TEST_S: Final = 300  # of one test, emulated


def facts() -> dict[str, str]:
    """Return what this machine is."""
    folder = find_bcc()
    bcc = _found(r"""__version__\s*=\s*["']([^"']+)""", folder / "bcc/version.py") if folder else ""
    return {
        "kernel": platform.release(),
        "version": platform.version(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "bcc": bcc,
        "preempt": _found(r"\((\w+)\)", Path("/sys/kernel/debug/sched/preempt")),
    }


def _found(pattern: str, path: Path) -> str:
    with contextlib.suppress(OSError):
        if match := re.search(pattern, path.read_text()):
            return match[1]
    return ""


def said(command: list[str], seconds: float) -> dict[str, Any]:
    """Run a command; return its status and the end of what it said."""
    try:
        done = subprocess.run(
            command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return {"status": None, "text": f"no end after {seconds:.0f} s"}
    return {"status": done.returncode, "text": done.stdout[-4000:]}


def run_tests(files: list[str], only: str, seconds: float) -> int | None:
    """Run pytest; None when it had to be stopped."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--timeout={TEST_S}"]
    command += ["-p", "tests.matrix.reports", "--reports", str(OUT / "tests.jsonl"), "-k", only, *files]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait(max(seconds, 0))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GOODBYE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return None


def main() -> int:
    """Do it all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--until", type=float, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    found: dict[str, Any] = {"facts": facts()}

    def note(**more: Any) -> None:
        found.update(more)
        (OUT / "result.json").write_text(json.dumps(found))

    program = [sys.executable, "-m", "ior_nb"]
    note(doctor=said([*program, "doctor"], TRACE_S))
    traced = said([*program, "trace", "--engine", "bcc", "--", "true"], TRACE_S)
    note(trace=traced)
    if traced["status"] == 0:
        note(tests=run_tests(options.files, options.only, options.until - time.monotonic() - GOODBYE_S))
    return 0


if __name__ == "__main__":
    sys.exit(main())

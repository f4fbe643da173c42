"""The traced program: runs scenarios, each in a child, and writes down what a tracer has to say of them."""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from tests.live.scenarios import descriptors, names, objects, processes  # noqa: F401  they fill the table
from tests.live.scenarios.calls import SCENARIOS, Calls, NotHere

ROOT: Final = Path(__file__).parents[3]


def command(folder: Path, *wanted: str) -> list[str]:
    """Return the command line that runs scenarios; what they did is written to FOLDER/log."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.live.scenarios.program import main; main(sys.argv)"
    )
    return [sys.executable, "-c", code, str(folder), str(folder / "log"), *wanted]


def run(name: str, folder: str, report: int) -> None:
    """Run one scenario in this process, and report what it did."""
    os.mkdir(folder)
    os.chdir(folder)
    gc.disable()
    calls = Calls(folder)
    told: dict[str, Any] = {"name": name}
    calls.mark("begin", name)
    try:
        SCENARIOS[name](calls)
    except NotHere as reason:
        told["not_here"] = str(reason)
    except Exception as error:
        told["failed"] = f"{type(error).__name__}: {error}"
    calls.mark("end", name)
    told["log"] = calls.log
    with os.fdopen(report, "w") as file:
        file.write(json.dumps(told) + "\n")


def main(arguments: list[str]) -> None:
    """Run scenarios one after the other."""
    _, folder, log, *wanted = arguments
    for name in wanted:
        report = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if (pid := os.fork()) == 0:
            try:
                run(name, f"{folder}/{name}", report)
            finally:
                os._exit(0)
        os.close(report)
        os.waitpid(pid, 0)

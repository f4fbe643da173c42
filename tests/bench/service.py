"""The service: what its checks cost a traced call, and several users' clients at full blast at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.report import Row, log
from tests.bench.tools import Load, load_program, median
from tests.nobody import NOBODY

TITLE = "service: 1-byte preads of /dev/zero by users who trace themselves through it; the caller's CPU ns per call"
FIRST_USER = 61_501
CLIENTS = 8
AS_USER = Path(__file__).resolve().parents[1] / "live" / "as_user.py"


def measure(quick: bool) -> list[Row]:
    """Run everything."""
    calls, rounds = (300_000, 3) if quick else (1_000_000, 7)
    with tempfile.TemporaryDirectory(prefix="ior-nb-service-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        load = Path(shutil.copy(load_program(), folder / "load"))
        with _service(folder) as place:
            return [*_compared(load, place, calls, rounds), *_blast(load, place, calls)]


def _compared(load: Path, place: str, calls: int, rounds: int) -> list[Row]:
    plain, found = [], dict[str, list[float]]()
    for number in range(rounds):
        log(f"{calls:,} calls, round {number + 1} of {rounds}")
        plain.append(Load.run(calls).cpu_ns)
        # Root's rows are not judged: the same program, the same service.
        for who, uid in (("root", 0), ("a user, judged at each call", FIRST_USER)):
            told = _told(_client(uid, place, load, calls))
            found.setdefault(who, []).append(told["cpu_ns"])
    before = median(plain)
    added = {who: median(each) - before for who, each in found.items()}
    root = added["root"]
    return [
        Row(what="untraced", measured=f"{before:,.0f} ns"),
        *(
            Row(what=who, measured=f"{median(found[who]):,.0f} ns", added=f"+{ns:,.0f} ns", ratio=f"{ns / root:.2f}")
            for who, ns in added.items()
        ),
    ]


def _blast(load: Path, place: str, calls: int) -> list[Row]:
    log(f"{CLIENTS} users at once")
    began = time.monotonic()
    told = [_told(each) for each in [_client(FIRST_USER + n, place, load, calls) for n in range(CLIENTS)]]
    seconds = time.monotonic() - began
    lost = sum(sum(each["lost"].values()) for each in told)
    right = sum(each["seen"] == each["emitted"] >= calls for each in told)  # a few are of its libraries
    return [
        Row(
            what=f"{CLIENTS} users at once, {calls:,} calls each",
            measured=f"{lost:,} lost, {right} of {CLIENTS} with each of their calls; {seconds:.0f} s",
            goal="0 lost",
            met=lost == 0 and right == CLIENTS,
        )
    ]


def _client(uid: int, place: str, load: Path, calls: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-B", str(AS_USER), str(uid), place, "/usr/bin/python3", "loads", str(load), str(calls)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _told(client: subprocess.Popen[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(client.communicate()[0].splitlines()[-1])
    return told


@contextlib.contextmanager
def _service(folder: Path) -> Iterator[str]:
    (folder / "cache").mkdir(mode=0o700)
    os.chown(folder / "cache", NOBODY, NOBODY)
    place, ready = str(folder / "socket"), folder / "log"
    command = [sys.executable, "-m", "ior_nb.engine.collector.served", "--socket", place]
    environ = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    with ready.open("w") as log_file, subprocess.Popen(command, stderr=log_file, env=environ) as service:
        while " serves " not in ready.read_text():
            if service.poll() is not None:
                raise RuntimeError(ready.read_text())
            time.sleep(0.05)
        yield place
        service.terminate()

"""The service: what its checks cost a traced call, and several users' clients at full blast at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.report import Row, log
from tests.bench.tools import Load, load_program, median
from tests.served import Running

TITLE = "service: 1-byte preads of /dev/zero by users who trace themselves through it; the caller's CPU ns per call"
FIRST_USER = 61_501
CLIENTS = 8


def measure(quick: bool) -> list[Row]:
    """Run everything."""
    calls, rounds = (300_000, 3) if quick else (1_000_000, 7)
    with tempfile.TemporaryDirectory(prefix="ior-nb-service-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        load = Path(shutil.copy(load_program(), folder / "load"))
        service = Running(folder, "/usr/bin/python3")
        try:
            return [*_compared(load, service, calls, rounds), *_blast(load, service, calls)]
        finally:
            service.end()


def _compared(load: Path, service: Running, calls: int, rounds: int) -> list[Row]:
    plain, found = [], dict[str, list[float]]()
    for number in range(rounds):
        log(f"{calls:,} calls, round {number + 1} of {rounds}")
        plain.append(Load.run(calls).cpu_ns)
        # Root's rows are not judged: the same program, the same service.
        for who, uid in (("root", 0), ("a user, judged at each call", FIRST_USER)):
            told = _told(service.user(uid, "loads", str(load), str(calls)))
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


def _blast(load: Path, service: Running, calls: int) -> list[Row]:
    log(f"{CLIENTS} users at once")
    began = time.monotonic()
    told = [
        _told(each) for each in [service.user(FIRST_USER + n, "loads", str(load), str(calls)) for n in range(CLIENTS)]
    ]
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


def _told(client: subprocess.Popen[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(client.communicate()[0].splitlines()[-1])
    return told

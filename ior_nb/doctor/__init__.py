"""What a place lacks for tracing, and the one line that mends it.

`examine` reads a few files below `/proc`, `/sys`, `/etc` and `/usr/lib`; it loads nothing and needs no rights.
`diagnose` does that and, where nothing speaks against it, tries: see `doing`. `report` makes plain text of findings. A
finding is good (`ok=True`), bad (`ok=False`, tracing will fail) or a remark (`ok=None`). Every bad one says what to do.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ior_nb.doctor.checks import look
from ior_nb.doctor.finding import Finding, report
from ior_nb.doctor.host import Host
from ior_nb.doctor.places import find
from ior_nb.doctor.taken import ways

__all__ = ["Finding", "diagnose", "examine", "report"]


def examine(root: Path = Path("/")) -> list[Finding]:
    """Look at this machine; `root` is where its file tree begins, for tests and mounted images."""
    return look(Host.at(root))


def diagnose() -> list[Finding]:
    """Look at this machine, and where nothing speaks against it, load a program, make ten calls, count them."""
    host = Host.at(Path("/"))
    found = look(host)
    if not any(finding.ok is False and finding.name != "bcc" for finding in found):
        from ior_nb.doctor import doing  # what it needs is there on Linux only

        found = together(found, doing.judge(doing.ask(), host, find(host)[0]))
    return found + ways(found)


def together(found: list[Finding], done: list[Finding]) -> list[Finding]:
    """Join what was seen and what was done: that knows better whether a filter does harm and whether bcc is needed."""
    results = {finding.name: finding for finding in done}
    works = "program" in results and results["program"].ok is not False
    joined = []
    for finding in found:
        match finding.name:
            case "seccomp" if works:
                pass
            case "bcc" if finding.ok:
                joined.append(results.get("bcc", finding))
            case "bcc" if works:
                seen = f"{finding.seen}; not needed while this kernel's program is in the cache"
                joined.append(replace(finding, ok=None, seen=seen))
            case _:
                joined.append(finding)
    return joined + [finding for name, finding in results.items() if name != "bcc"]

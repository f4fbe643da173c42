"""What the doctor says of one thing, and all of it as text."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "report"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    """What was looked at, in a word or two."""
    ok: bool | None
    """True: good. False: tracing will fail. None: a remark."""
    seen: str
    """What is there."""
    todo: str = ""
    """What to do, in one line; empty when nothing has to be done."""


def report(findings: list[Finding]) -> str:
    """The findings as plain text, one or two lines each, and a summary."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        mark = {True: "ok  ", False: "FAIL", None: "note"}[finding.ok]
        lines.append(f"{mark}  {finding.name:<{width}}  {finding.seen}")
        if finding.todo:
            lines.append(f"      {'':<{width}}  -> {finding.todo}")
    failed = sum(finding.ok is False for finding in findings)
    lines.append("" if findings else "Nothing was examined.")
    way = next((finding.seen.partition(":")[0] for finding in findings if finding.name == "way"), "")
    if failed and way in ("serve", "strace", "ptrace"):
        lines.append(f"eBPF will not work: {failed} of {len(findings)} checks failed. Traces are made with {way}.")
    elif failed:
        lines.append(f"Tracing will not work: {failed} of {len(findings)} checks failed.")
    elif findings:
        lines.append("Everything that tracing needs is here.")
    return "\n".join(lines).lstrip("\n") + "\n"

"""The doctor tries what a trace will do."""

from __future__ import annotations

from ior_nb.doctor import Finding, diagnose
from ior_nb.doctor.doing import ask


def test_ten_of_ten_calls_are_counted() -> None:
    """On a machine where tracing works the trial sees every call, and nothing fails."""
    findings = {finding.name: finding for finding in diagnose()}

    assert findings["trial"] == Finding("trial", True, "10 of 10 calls counted")
    assert findings["hooks"].seen.startswith(("raw tracepoints", "trace events"))
    assert [finding for finding in findings.values() if finding.ok is False] == []


def test_the_second_time_the_program_is_kept() -> None:
    """What a trace will find in the cache the doctor finds there too, for it asks for the same."""
    ask()

    assert ask().load["compiled"] is False

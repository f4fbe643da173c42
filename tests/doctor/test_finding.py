from __future__ import annotations

from ior_nb.doctor import Finding, report
from tests.doctor.machine import Machine


def test_the_report_shows_every_finding_and_counts_failures() -> None:
    """One line a finding, what to do below it, and a sentence at the end."""
    findings = [
        Finding("kernel", True, "6.1.0"),
        Finding("program", None, "compiled in 0.8 s"),
        Finding("bcc", False, "none", "install it"),
    ]

    assert report(findings) == (
        "ok    kernel   6.1.0\n"
        "note  program  compiled in 0.8 s\n"
        "FAIL  bcc      none\n"
        "               -> install it\n"
        "\n"
        "Tracing will not work: 1 of 3 checks failed.\n"
    )


def test_the_report_of_a_good_machine_says_so(machine: Machine) -> None:
    """Without a failure the last line is the good news."""
    assert report(machine.look()).endswith("\n\nEverything that tracing needs is here.\n")


def test_the_report_of_nothing_is_a_sentence() -> None:
    """No finding is not good news."""
    assert report([]) == "Nothing was examined.\n"

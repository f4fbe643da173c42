"""The cells of the matrix: which kernel, with which userland, on which architecture. A new one is a row of CELLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RUNNING: Final = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row of the table."""

    name: str
    kernel: str
    """The newest of a series (`6.1`), `stable` or `unstable` for the newest Debian has there, or the running one."""
    suite: str
    """The release of Debian whose Python and bcc are used."""
    arch: str = "amd64"
    append: str = ""
    """Further words of the kernel's command line."""
    seconds: int = 1800
    """How long it may take once everything is downloaded and made."""

    @property
    def emulated(self) -> bool:
        """Whether it needs a machine of its own."""
        return self.kernel != RUNNING


CELLS: Final = (
    Cell(name="5.10", kernel="5.10", suite="bookworm"),
    Cell(name="5.10-debian11", kernel="5.10", suite="bullseye"),
    Cell(name="6.1", kernel="6.1", suite="bookworm"),
    Cell(name="6.12", kernel="6.12", suite="trixie"),
    Cell(name="6.18", kernel="6.18", suite="trixie"),
    Cell(name="stable", kernel="stable", suite="trixie"),
    Cell(name="stable-full", kernel="stable", suite="trixie", append="preempt=full"),
    Cell(name="stable-lazy", kernel="stable", suite="trixie", append="preempt=lazy"),
    Cell(name="unstable", kernel="unstable", suite="sid"),
    Cell(name="6.1-arm64", kernel="6.1", suite="bookworm", arch="arm64"),
    Cell(name="stable-arm64", kernel="stable", suite="trixie", arch="arm64"),
    Cell(name="debian11", kernel=RUNNING, suite="bullseye", seconds=600),
    Cell(name="debian12", kernel=RUNNING, suite="bookworm", seconds=600),
    Cell(name="debian13", kernel=RUNNING, suite="trixie", seconds=600),
    Cell(name="testing", kernel=RUNNING, suite="forky", seconds=600),
    Cell(name="unstable-userland", kernel=RUNNING, suite="sid", seconds=600),
)

"""What the host counted, in words."""

from __future__ import annotations

from ior_nb.result import hosted
from ior_nb.runtime.host import IO, Cached, HostCounts, Opened

COUNTS = HostCounts(
    seconds=2.0,
    io=dict(zip(IO, (3_000_000, 0, 6, 0, 4096, 0, 7), strict=True)),
    pressure={"cpu": 1500, "io": 0},
    opened=(Opened("/data/x", 2, False, 100, Cached(1, 0)), Opened("/usr/lib/y", 9, False, 1, None)),
)


def test_amounts_are_said_with_what_they_are() -> None:
    """What the host does not count is not there, and nothing is made zero."""
    rows = hosted.counted_rows(COUNTS)

    assert ["2.9 MiB", "read, from memory or not, in 6 calls"] in rows
    assert ["7 B", "of that never will be: deleted or cut off before"] in rows
    assert ["cpu 1.5 ms", "is what somebody on the whole machine waited for"] in rows
    assert hosted.counted_rows(HostCounts(seconds=1.0)) == []


def test_the_sentence_names_the_kind_of_answer_first() -> None:
    """Counters only: nobody is to take it for a trace."""
    assert hosted.sentence(COUNTS).startswith(
        "counters only: 2.9 MiB read and 0 B written by this process, Python opened 1"
    )
    assert hosted.sentence(HostCounts(seconds=1.0)) == "counters only: the host tells nothing"


def test_only_the_users_own_files_are_listed() -> None:
    """Those of libraries and the system are told from their names, as everywhere."""
    assert [row[-1] for row in hosted.tables(COUNTS)[1][2]] == ["/data/x"]

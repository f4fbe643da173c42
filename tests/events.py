"""Generated rows for the tests of tables and exports, hostile names among them."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from ior_nb.runtime import EventBatch
from ior_nb.syscalls import BY_NAME
from tests.fakes import batch

HOSTILE: Final = (
    *("<script>alert(1)</script>", "</title><img src=x onerror=alert(1)>", '" onmouseover="alert(1)', "a'b`c"),
    *(
        "a;b;c",
        "x\ny 7",
        "x\r\ny",
        "tab\there",
        '"quoted", twice',
        " leading",
        "\\.",
        "$\\href{javascript:alert(1)}{x}$",
    ),
    *("\u202egnp.exe", "\u2028next 9", "\x85", "\udcff", "\ud800x", "\x1b[2J\x00", "ä→😀", "&lt;b&gt;", "[unknown]"),
    *("%{customdata}", "{}", "http://a.example/", "//", "/", "a//b", "trailing/", "-5", "=1+1", "NaN", ";", ";;"),
)
FILES: Final = ("", "", "/a", "/a/b", "/a/c", "/data/x.parquet", "pipe:[7]", *HOSTILE)
CALLS: Final = ("read", "pread64", "write", "openat", "close", "sendfile64", "exit_group", "recvfrom", "epoll_wait")


def _complete(row: dict[str, Any]) -> dict[str, Any]:
    done = row["state"] == "done"
    ret = row["ret"] if done else 0
    error = -4095 <= ret < 0 and ret not in (-512, -513, -514, -516)
    moves = done and not error and BY_NAME[row["syscall"]].bytes_class != "none"
    return {
        **row,
        "ppid": row["pid"] % 2,  # a process has one parent
        "family": BY_NAME[row["syscall"]].family,
        "ret": ret,
        "is_error": error,
        "probe": error and row["probe"],
        "bytes": row["bytes"] if moves else 0,
        "old_file": row["old_file"] if row["syscall"] == "sendfile64" else "",
    }


def row() -> st.SearchStrategy[dict[str, Any]]:
    """One event as the decoder could make it."""
    return st.fixed_dictionaries(
        {
            "time_ns": st.integers(10**12, 10**12 + 10**10),
            "gap_ns": st.integers(0, 10**6),
            "latency_ns": st.one_of(st.integers(0, 5000), st.integers(0, 10**10)),
            "comm": st.sampled_from(("python3", "python3", "sh", "", " sh ", "read", *HOSTILE)),
            "pid": st.sampled_from((1, 1, 2, 4_194_304)),
            "tid": st.sampled_from((1, 1, 2, 3, 4_194_304)),
            "syscall": st.sampled_from(CALLS),
            "fd": st.integers(-1, 5),
            "ret": st.sampled_from((0, 0, 5, 4096, -2, -11, -512, -515)),
            "bytes": st.integers(0, 2**40),
            "file": st.sampled_from(FILES),
            "old_file": st.sampled_from(FILES),
            "path_arg": st.sampled_from(("", "rel")),
            "cell": st.sampled_from((-1, 0, 12)),
            "label": st.sampled_from(("", "", "epoch 1", "epoch 1/batch 2", *HOSTILE)),
            "state": st.sampled_from(("done", "done", "done", "no return", "in flight", "refused")),
            "probe": st.booleans(),
        }
    ).map(_complete)


ROWS: Final = st.lists(row(), max_size=25)


def made(rows: list[dict[str, Any]]) -> EventBatch:
    """Return the rows as a batch; `seq` is their order."""
    numbered = [{**r, "seq": i} for i, r in enumerate(rows)]
    return batch(**{name: [r[name] for r in numbered] for name in (numbered[0] if numbered else ())})


def read_written(event: dict[str, Any]) -> tuple[int, int]:
    """Return the bytes a row read and wrote."""
    kind = BY_NAME[event["syscall"]].bytes_class
    return (
        event["bytes"] if kind in ("read", "transfer") else 0,
        event["bytes"] if kind in ("write", "transfer") else 0,
    )


def failed(event: dict[str, Any]) -> bool:
    """Tell whether a row is an error: a probe is none."""
    return bool(event["is_error"] and not event["probe"])


def latency(event: dict[str, Any]) -> int:
    """Return the latency, 0 for calls that did not return."""
    return int(event["latency_ns"]) if event["state"] == "done" else 0

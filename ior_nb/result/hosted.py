"""What the host counted of a process, in words: for a trace that has nothing else."""

from __future__ import annotations

import mmap
from typing import Final

from ior_nb.runtime.host import HostCounts
from ior_nb.runtime.mine import MINE, kind_of
from ior_nb.runtime.text import show_bytes, show_count, show_ns

__all__ = ["counted_rows", "sentence", "tables", "times"]

_FILES: Final = 20


def sentence(host: HostCounts) -> str:
    """Return what a user would say."""
    parts = []
    if host.io:
        parts.append(f"{show_bytes(host.io['rchar'])} read and {show_bytes(host.io['wchar'])} written by this process")
    mine = sum(kind_of(file.path) == MINE for file in host.opened) + host.more
    if mine:
        parts.append(f"Python opened {show_count(mine, 'file')} of your own")
    return f"counters only: {', '.join(parts) or 'the host tells nothing'}"


def times(host: HostCounts) -> str:
    """Return where the time went, in a line."""
    parts = [f"in {show_ns(host.seconds * 1e9)}"]
    if host.usage:
        usage = host.usage
        parts += [f"{show_ns(usage['ru_utime'] * 1e9)} computing", f"{show_ns(usage['ru_stime'] * 1e9)} in the kernel"]
        children = usage["children_ru_utime"] + usage["children_ru_stime"]
        parts += [f"{show_ns(children * 1e9)} in children"] if children else []
    return ", ".join(parts)


def counted_rows(host: HostCounts) -> list[list[str]]:
    """Return amounts and what they are; what the host does not count is missing."""
    rows = []
    if host.io:
        io = host.io
        rows = [
            [show_bytes(io["rchar"]), f"read, from memory or not, in {show_count(io['syscr'], 'call')}"],
            [show_bytes(io["wchar"]), f"written, in {show_count(io['syscw'], 'call')}"],
            [show_bytes(io["read_bytes"]), "of what was read, devices were asked for (read-ahead included)"],
            [show_bytes(io["write_bytes"]), "of what was written, to be brought to devices"],
        ]
        if io["cancelled_write_bytes"]:
            rows.append([show_bytes(io["cancelled_write_bytes"]), "of that never will be: deleted or cut off before"])
    if host.usage:
        rows += [
            [f"{int(host.usage['ru_majflt']):,}", "page faults that had to wait for a device"],
            [f"{int(host.usage['ru_nvcsw']):,}", "times a thread waited for something"],
            [f"{int(host.usage['ru_nivcsw']):,}", "times a thread had to leave the processor to others"],
        ]
    waited = [f"{name} {show_ns(micros * 1000)}" for name, micros in host.pressure.items() if micros]
    if host.pressure:
        rows.append([", ".join(waited) or "nothing", "is what somebody on the whole machine waited for"])
    return rows


def tables(host: HostCounts) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return title, heads and rows of each table; the text is raw."""
    mine = [file for file in host.opened if kind_of(file.path) == MINE]
    files = [
        [
            f"{file.times:,}",
            "written" if file.written else "read",
            show_bytes(file.size) if file.size >= 0 else "",
            show_bytes(file.cached.pages * mmap.PAGESIZE) if file.cached else "",
            file.path,
        ]
        for file in mine[:_FILES]
    ]
    return [
        ("Counted by the host, of this process as a whole", ["amount", "what"], counted_rows(host)),
        ("Files of your own that Python opened", ["times", "to be", "size", "in memory now", "file"], files),
    ]

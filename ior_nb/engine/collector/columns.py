"""Columns that not every kernel fills: what each needs, asked of the kernel's BTF, and why it is empty where it is.

A new one is a row of `OPTIONAL`. The doctor and the completeness of every trace tell what `unfilled` returns; the hooks
are attached, and the C text reads the members, only where they are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ior_nb.engine.collector.btf import Btf
from ior_nb.engine.collector.hooks import ALSO, CACHED, MEASURED

__all__ = ["OPTIONAL", "Optional", "refused", "unfilled"]


@dataclass(frozen=True, slots=True)
class Optional:
    """Columns that are filled together, or not at all."""

    columns: str
    """Their names with commas between, or other words for what there is not, as `rows of page_fault`."""
    hooks: tuple[str, ...] = ()
    """Raw tracepoints they need; of names with a bar between one is enough."""
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Members of kernel structs, as `Btf.offsets` takes them."""
    since: str = ""
    """What brings it, as `Linux 6.12` or `CONFIG_TASK_IO_ACCOUNTING=y`."""

    def why_not(self, btf: Btf) -> str:
        """Return why this kernel does not fill them; empty where it does."""
        there = f" ({self.since})" if self.since else ""
        for hook in self.hooks:
            if not any(map(btf.has_hook, hook.split("|"))):
                return f"this kernel has no tracepoint {hook.replace('|', ' or ')}{there}"
        try:
            btf.offsets(self.members)
        except LookupError as error:
            return f"{error.args[0]}{there}"
        return ""


OPTIONAL: Final = (
    Optional("fetched_bytes, source", members=MEASURED["fetched"], since="CONFIG_TASK_IO_ACCOUNTING=y"),
    Optional("fetched_bytes of FUSE and network file systems", hooks=(CACHED,)),
    Optional("wait_cpu_ns", members=MEASURED["run_delay"], since="CONFIG_SCHED_INFO=y"),
    Optional("on_cpu_ns, wait_device_ns, wait_other_ns", hooks=("sched_switch",), members=MEASURED["waits"]),
    Optional("wait_lock_ns", hooks=("contention_begin",), members=MEASURED["locks"], since="Linux 5.19"),
    Optional(
        "peer and local of Unix sockets", members={"unix_sock": ("addr", "peer"), "unix_address": ("len", "name")}
    ),
    Optional("rows of page_fault within calls, and counts of faults", hooks=("mm_filemap_fault",), since="Linux 6.12"),
    Optional("what became of bytes written", hooks=("writeback_dirty_folio", "block_rq_complete"), since="Linux 5.18"),
    Optional("peer and local of netlink", members={"netlink_sock": ("portid", "dst_portid", "dst_group", "groups")}),
)


def unfilled(btf: Btf, rows: Sequence[Optional] = OPTIONAL) -> dict[str, str]:
    """Return why columns are not filled on this kernel, by their names; nothing where all are."""
    return {row.columns: why for row in rows if (why := row.why_not(btf))}


def refused(functions: Iterable[str]) -> dict[str, str]:
    """Return why columns are not filled although the kernel has their hooks: it did not take these functions."""
    hooks = {hook for hook, function in ALSO.items() if function in functions}
    why = "the kernel refuses the program that fills them"
    return {row.columns: why for row in OPTIONAL if hooks.intersection(row.hooks)}

"""Numbers about the rows of one batch, as equal-length columns: what tables, figures and reports all show.

Every function takes an `EventBatch` and returns a dictionary of numpy arrays, one entry per group; text is an object
array. Everything is exact and computed from the rows, sums are integers, and groups are never left out: calls without
a file are the group with the empty name, calls that were counted and are no rows the one called `(not recorded)`, so
that the sums of a table are the totals of the trace.

Only finished calls have a latency; calls that never return, or had not returned, count as calls and nothing else.
"""

from ior_nb.aggregate.groups import Columns, Groups
from ior_nb.aggregate.imports import packages
from ior_nb.aggregate.peers import objects, peers
from ior_nb.aggregate.rows import (
    CLASS_OF,
    CLASSES,
    classes,
    fault_rows,
    gapless,
    latencies,
    moved,
    probe_rows,
    source_files,
    uses,
    waits_at,
    ways,
)
from ior_nb.aggregate.spent import MEASURED, WORDS, Spent, amount, reasons, wait_rows, waiting
from ior_nb.aggregate.tables import (
    directories,
    directory_of,
    errors,
    families,
    files,
    imports,
    lines,
    probes,
    processes,
    syscalls,
    threads,
    totals,
)
from ior_nb.aggregate.times import latency_bins, slowest, timeline
from ior_nb.aggregate.unrecorded import added, counted, missing

__all__ = [
    "CLASSES",
    "CLASS_OF",
    "MEASURED",
    "WORDS",
    "Columns",
    "Groups",
    "Spent",
    "added",
    "amount",
    "classes",
    "counted",
    "directories",
    "directory_of",
    "errors",
    "families",
    "fault_rows",
    "files",
    "gapless",
    "imports",
    "latencies",
    "latency_bins",
    "lines",
    "missing",
    "moved",
    "objects",
    "packages",
    "peers",
    "probe_rows",
    "probes",
    "processes",
    "reasons",
    "slowest",
    "source_files",
    "syscalls",
    "threads",
    "timeline",
    "totals",
    "uses",
    "wait_rows",
    "waiting",
    "waits_at",
    "ways",
]

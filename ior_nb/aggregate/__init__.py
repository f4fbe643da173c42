"""Numbers about rows, as equal-length columns: what tables, figures and reports all show.

Every function takes `runtime.rows.Rows`, which an `EventBatch` is too, looks at the columns it needs in one pass, or in
a second one where the first has told where to look, and returns a dictionary of numpy arrays, one entry per group; text
is an object array. Everything is exact and computed from the rows, sums are integers, and groups are never left out:
calls without a file are the group with the empty name, calls that were counted and are no rows the one called
`(not recorded)`, so that the sums of a table are the totals of the trace.

Only finished calls have a latency; calls that never return, or had not returned, count as calls and nothing else.
"""

from ior_nb.aggregate.columns import Columns
from ior_nb.aggregate.files import directories, directory_of, files
from ior_nb.aggregate.groups import Groups
from ior_nb.aggregate.imports import packages
from ior_nb.aggregate.labels import labels
from ior_nb.aggregate.peers import objects, peers
from ior_nb.aggregate.reading import Amounts, Moved, Reading, amounts
from ior_nb.aggregate.rows import (
    CLASS_OF,
    CLASSES,
    classes,
    ended,
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
from ior_nb.aggregate.spent import MEASURED, WAITED, WORDS, Spent, amount, reasons, slept, wait_rows, waiting
from ior_nb.aggregate.sums import SUMMED, Sums
from ior_nb.aggregate.tables import (
    errors,
    families,
    imports,
    lines,
    probes,
    processes,
    syscalls,
    threads,
    totals,
)
from ior_nb.aggregate.tasks import tasks
from ior_nb.aggregate.times import finished, heat, latency_bins, slowest, span, timeline
from ior_nb.aggregate.unrecorded import added, counted, missing
from ior_nb.aggregate.weights import weighed, weights_of

__all__ = [
    "CLASSES",
    "CLASS_OF",
    "MEASURED",
    "SUMMED",
    "WAITED",
    "WORDS",
    "Amounts",
    "Columns",
    "Groups",
    "Moved",
    "Reading",
    "Spent",
    "Sums",
    "added",
    "amount",
    "amounts",
    "classes",
    "counted",
    "directories",
    "directory_of",
    "ended",
    "errors",
    "families",
    "fault_rows",
    "files",
    "finished",
    "gapless",
    "heat",
    "imports",
    "labels",
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
    "slept",
    "slowest",
    "source_files",
    "span",
    "syscalls",
    "tasks",
    "threads",
    "timeline",
    "totals",
    "uses",
    "wait_rows",
    "waiting",
    "waits_at",
    "ways",
    "weighed",
    "weights_of",
]

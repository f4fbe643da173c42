"""What is known at one moment as whole numbers that can be added up.

`sheet` has the statistics and `ranked` its tables, `histogram` latencies in log-linear buckets, `shown` makes of a
sheet the snapshot that views show, `sent` makes bytes of it. `tree` has the flame trie.
"""

from ior_nb.runtime.sheet.ranked import ACTIVITY, Ranked, no_activity
from ior_nb.runtime.sheet.sent import sheet_from_bytes, sheet_to_bytes
from ior_nb.runtime.sheet.sheet import (
    CALL,
    MEASURES,
    NEVER,
    RECENT,
    SLOT_NS,
    SLOTS,
    Calls,
    Process,
    Sheet,
    Totals,
    Who,
    merged,
)
from ior_nb.runtime.sheet.shown import RANKINGS, shown
from ior_nb.runtime.sheet.tree import OTHER, Tree, tree_from_bytes, tree_to_bytes, trees_merged

__all__ = [
    "ACTIVITY",
    "CALL",
    "MEASURES",
    "NEVER",
    "OTHER",
    "RANKINGS",
    "RECENT",
    "SLOTS",
    "SLOT_NS",
    "Calls",
    "Process",
    "Ranked",
    "Sheet",
    "Totals",
    "Tree",
    "Who",
    "merged",
    "no_activity",
    "sheet_from_bytes",
    "sheet_to_bytes",
    "shown",
    "tree_from_bytes",
    "tree_to_bytes",
    "trees_merged",
]

"""The live flame trie: where calls, bytes or time went, by stacks of dimensions (comm, syscall, path, ...).

`fields` says what a frame can be and how text becomes frames, `sequences` finds numbers of keys without a Python
statement per row, `nodes` holds the tree, `picture` is a frozen copy of it and its forms, `trie` puts them together,
`byhost` tells the ids of several hosts apart.
"""

from ior_nb.runtime import FlameColumns
from ior_nb.sinks.flamegraph.byhost import TrieByHost
from ior_nb.sinks.flamegraph.fields import FIELDS, METRICS, PRESETS, Field, Metric
from ior_nb.sinks.flamegraph.trie import LiveTrie

__all__ = ["FIELDS", "METRICS", "PRESETS", "Field", "FlameColumns", "LiveTrie", "Metric", "TrieByHost"]

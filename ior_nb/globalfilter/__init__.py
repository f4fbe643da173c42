"""Filters as text: `(syscall=read or syscall=pread64) and not file~/proc/ and latency>=1ms`.

`parse` and `to_text` turn text into a `Filter` and back, `split` says what an engine can decide at the source,
`FilterStack` remembers the filters before, `Filters` puts a new one into what is on screen, `complete` helps an editor.
lark is only imported by the first parse.
"""

from ior_nb.globalfilter.complete import complete
from ior_nb.globalfilter.control import Filters
from ior_nb.globalfilter.parser import parse
from ior_nb.globalfilter.pushdown import split
from ior_nb.globalfilter.text import node_text, to_text
from ior_nb.globalfilter.undo import FilterStack
from ior_nb.runtime.filter import Filter

__all__ = ["Filter", "FilterStack", "Filters", "complete", "node_text", "parse", "split", "to_text"]

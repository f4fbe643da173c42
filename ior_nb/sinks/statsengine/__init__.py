"""The statistics: counts, bytes, rates, latencies, files, directories, processes.

- `statistics`: `Statistics`, the only public name: batches in, sheets and snapshots out.
- `calls`, `files`, `processes`: the sums by system call, by file and directory, by process.
- `table`: dense sums by code with a limit; what `files` and `processes` are made of.
- `series`: the last minute in half seconds.
- `activity`, `rows`: what a batch adds to a table, and what a sheet takes of it.
"""

from ior_nb.sinks.statsengine.statistics import Statistics

__all__ = ["Statistics"]

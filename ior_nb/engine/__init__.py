"""Where events come from: each engine yields `EventBatch`es and never sees a sink."""

from typing import Final, NamedTuple

__all__ = ["ENGINES", "EngineRow"]


class EngineRow(NamedTuple):
    """An engine that can be asked for by name."""

    home: str
    """`module:callable` that makes it; imported when it is asked for."""
    doc: str
    """What it is, in a few words."""
    traces: bool = False
    """Whether it traces for real: `auto` is the first of these that works."""


# A new engine is one row here and one module. `auto` goes through those that trace, in this order. Error lists,
# the help of `--engine` and its completion come from the rows.
ENGINES: Final[dict[str, EngineRow]] = {
    "bcc": EngineRow("ior_nb.engine.bcc:BccEngine", "traces this machine with eBPF", traces=True),
    "serve": EngineRow("ior_nb.engine.serve:ServeEngine", "the same by the service of this machine", traces=True),
    "strace": EngineRow("ior_nb.engine.stopping:StraceEngine", "traces your own processes, without BPF", traces=True),
    "ptrace": EngineRow("ior_nb.engine.stopping:PtraceEngine", "the same where there is no strace", traces=True),
    "counters": EngineRow(
        "ior_nb.engine.counters:CountersEngine", "traces nothing: what the host counts of this process, no rows"
    ),
    "replay": EngineRow("ior_nb.engine.replay:of_environment", "plays the recordings that IOR_NB_REPLAY names"),
    "demo": EngineRow("ior_nb.engine.demo:DemoEngine", "makes data up, and says so"),
}

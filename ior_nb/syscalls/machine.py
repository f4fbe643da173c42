"""temporary; replaced at merge."""

from .x86_64 import ARGUMENT_REGISTERS, NUMBERS, REGISTERS_START
from .x86_64 import TS_COMPAT as COMPAT_BIT

COMPAT_WORD = "status"
SUPPORTED = True
BPF = NUMBERS["bpf"]
PERF_EVENT_OPEN = NUMBERS["perf_event_open"]
__all__ = [
    "ARGUMENT_REGISTERS",
    "BPF",
    "COMPAT_BIT",
    "COMPAT_WORD",
    "NUMBERS",
    "PERF_EVENT_OPEN",
    "REGISTERS_START",
    "SUPPORTED",
]

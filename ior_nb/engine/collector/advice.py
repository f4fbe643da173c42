"""What to do, in lines that errors and the doctor both print."""

from typing import Final

__all__ = ["EVENT_NUMBERS_READABLE", "RECORDING", "SUPPORTED_KERNEL"]

RECORDING: Final = "look at a recording: %ior load PATH in a notebook, ior_nb.load(PATH) in Python"
"""What works everywhere."""

SUPPORTED_KERNEL: Final = f"boot Linux 5.10 or newer, or {RECORDING}"

EVENT_NUMBERS_READABLE: Final = (
    "sudo mount -o remount,mode=755 /sys/kernel/tracing"
    " (mounted first where it is not: sudo mount -t tracefs -o mode=755 tracefs /sys/kernel/tracing)"
)
"""What lets everybody read the numbers of the trace events."""

"""What to do, in lines that errors and the doctor both print."""

from typing import Final

__all__ = ["EVENT_NUMBERS_READABLE", "RECORDING", "SUPPORTED_KERNEL"]

RECORDING: Final = "look at a recording: %ior load PATH in a notebook, ior_nb.load(PATH) in Python"
"""What works everywhere."""

SUPPORTED_KERNEL: Final = f"boot Linux 5.10 or newer, or {RECORDING}"

# The files that hold the numbers are for their owner and their group, whatever the mode of the folder.
EVENT_NUMBERS_READABLE: Final = (
    'sudo mount -o remount,gid="$(id -g)",mode=750 /sys/kernel/tracing'
    ' (where it is not mounted: sudo mount -t tracefs -o gid="$(id -g)",mode=750 tracefs /sys/kernel/tracing)'
)
"""What lets this user's group read the numbers of the trace events."""

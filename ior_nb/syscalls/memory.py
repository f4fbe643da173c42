"""Address space: mapping, protecting, locking and placing memory."""

from functools import partial

from .row import Syscall, parse_row

row = partial(parse_row, "Memory")

ROWS: tuple[Syscall, ...] = (
    row("brk", "mem", "brk", doc="Move the end of the heap."),
    row("get_mempolicy", "null", "policy nmask maxnode addr flags", doc="Read which NUMA nodes memory is taken from."),
    row("madvise", "mem", "start:mapped len_in behavior", doc="Announce how a memory range will be used."),
    row("map_shadow_stack", "mem", "addr size: flags", doc="Create a protected stack of return addresses."),
    row("mbind", "null", "start len mode nmask maxnode flags", doc="Bind a memory range to NUMA nodes."),
    row("membarrier", "null", "cmd flags cpu_id", doc="Order memory accesses between threads."),
    row("migrate_pages", "null", "pid maxnode old_nodes new_nodes", doc="Move a process's memory to other NUMA nodes."),
    row("mincore", "mem", "start:mapped len vec", doc="Ask which pages of a range are in memory."),
    row("mlock", "mem", "start:mapped len", doc="Keep a memory range from being swapped out."),
    row("mlock2", "mem", "start:mapped len flags", doc="Keep a memory range from being swapped out, with flags."),
    row("mlockall", "null", "flags", doc="Keep all of a process's memory from being swapped out."),
    row("mmap", "mmap", "addr len:length prot flags fd off", doc="Map a file or fresh memory into the address space."),
    row("move_pages", "null", "pid nr_pages pages nodes status flags", doc="Move single pages to other NUMA nodes."),
    row("mprotect", "mem", "start len prot", doc="Change whether a memory range may be read, written or run."),
    row(
        "mremap",
        "mem",
        "addr:mapped old_len:length new_len:length2 flags new_addr",
        doc="Grow, shrink or move a mapping.",
    ),
    row("mseal", "mem", "start len flags", doc="Forbid later changes to a mapping."),
    row("munlock", "mem", "start len", doc="Allow a memory range to be swapped out again."),
    row("munlockall", "null", doc="Allow all of a process's memory to be swapped out again."),
    row("munmap", "mem", "addr:mapped len:length", doc="Remove a mapping."),
    row(
        "page_fault",
        "mem",
        bytes="read",
        doc="No call: memory that maps a file is used, and pages of it are brought in, or waited for.",
    ),
    row("pkey_alloc", "null", "flags init_val", doc="Reserve a memory protection key."),
    row("pkey_free", "null", "pkey", doc="Release a memory protection key."),
    row(
        "pkey_mprotect", "mem", "start len prot pkey", doc="Change the protection and protection key of a memory range."
    ),
    row(
        "process_madvise",
        "fd",
        "pidfd:fd vec vlen behavior flags",
        doc="Announce how another process will use its memory.",
    ),
    row("process_mrelease", "fd", "pidfd:fd flags", doc="Free the memory of a dying process at once."),
    row(
        "process_vm_readv",
        "null",
        "pid lvec:iovec liovcnt:iovcnt rvec riovcnt flags",
        bytes="read",
        doc="Read memory of another process.",
    ),
    row(
        "process_vm_writev",
        "null",
        "pid lvec:iovec liovcnt:iovcnt rvec riovcnt flags",
        bytes="write",
        doc="Write memory of another process.",
    ),
    row(
        "remap_file_pages",
        "mem",
        "start size: prot pgoff flags",
        doc="Rearrange the pages of a file mapping (old form).",
    ),
    row("set_mempolicy", "null", "mode nmask maxnode", doc="Choose which NUMA nodes memory is taken from."),
    row(
        "set_mempolicy_home_node",
        "null",
        "start len home_node flags",
        doc="Choose the preferred NUMA node of a memory range.",
    ),
)

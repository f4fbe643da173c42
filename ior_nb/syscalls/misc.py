"""What fits no other family, and the numbers that are reserved for calls Linux does not have."""

from functools import partial

from .row import Syscall, parse_row

row = partial(parse_row, "Misc")

ROWS: tuple[Syscall, ...] = (
    row("acct", "pathname", "name:path", doc="Turn process accounting to a file on or off."),
    row(
        "get_robust_list", "null", "pid head_ptr len_ptr", doc="Read a thread's list of locks to release at its death."
    ),
    row("getcpu", "null", "cpup nodep unused", doc="Ask which CPU and NUMA node the thread runs on."),
    row("ioperm", "null", "from num turn_on", doc="Allow access to hardware ports."),
    row("iopl", "null", "level", doc="Change the privilege to access hardware ports."),
    row("modify_ldt", "null", "func ptr bytecount", doc="Read or change the process's segment table."),
    row("newuname", "null", "name", doc="Ask for the kernel's name and version (uname)."),
    row("rseq", "null", "rseq rseq_len flags sig", doc="Register a thread for restartable sequences."),
    row("rseq_slice_yield", "null", doc="Give back a granted extension of the time slice (Linux 7.0)."),
    row("set_robust_list", "null", "head len", doc="Set the thread's list of locks to release at its death."),
    row("setdomainname", "null", "name len", doc="Set the NIS domain name."),
    row("sethostname", "null", "name len", doc="Set the host name."),
    row("sysfs", "null", "option arg1 arg2", doc="List the known file system types (old form)."),
    row("sysinfo", "null", "info", doc="Read memory use, load and uptime."),
    row("syslog", "null", "type buf len", doc="Read or control the kernel's message log."),
    row("uprobe", "null", doc="Entry of a user-space probe; placed by the kernel, not called by programs."),
    row("uretprobe", "null", doc="Return of a user-space probe; placed by the kernel, not called by programs."),
    # Numbers that are taken in the table although no call stands behind them (any more).
    row("_sysctl", "null", doc="Set kernel parameters; removed, answers ENOSYS."),
    row("afs_syscall", "null", doc="Andrew file system; never implemented, answers ENOSYS."),
    row("create_module", "null", doc="Allocate a kernel module; removed, answers ENOSYS."),
    row("epoll_ctl_old", "null", doc="Early epoll_ctl; never implemented, answers ENOSYS."),
    row("epoll_wait_old", "null", doc="Early epoll_wait; never implemented, answers ENOSYS."),
    row("get_kernel_syms", "null", doc="List kernel symbols; removed, answers ENOSYS."),
    row(
        "get_thread_area",
        "null",
        doc="Read thread-local storage; never implemented for 64-bit programs, answers ENOSYS.",
    ),
    row("getpmsg", "null", doc="STREAMS receive; never implemented, answers ENOSYS."),
    row("lookup_dcookie", "null", doc="Turn a profiler's cookie into a path; removed, answers ENOSYS."),
    row("nfsservctl", "null", doc="Control the NFS server; removed, answers ENOSYS."),
    row("putpmsg", "null", doc="STREAMS send; never implemented, answers ENOSYS."),
    row("query_module", "null", doc="Ask about a kernel module; removed, answers ENOSYS."),
    row("security", "null", doc="Reserved for security modules; never implemented, answers ENOSYS."),
    row(
        "set_thread_area",
        "null",
        doc="Set thread-local storage; never implemented for 64-bit programs, answers ENOSYS.",
    ),
    row("tuxcall", "null", doc="In-kernel web server; never implemented, answers ENOSYS."),
    row("uselib", "null", doc="Load a shared library; never implemented for 64-bit programs, answers ENOSYS."),
    row("vserver", "null", doc="Virtual private servers; never implemented, answers ENOSYS."),
)

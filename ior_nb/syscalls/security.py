"""Keys, capabilities, sandboxes, kernel modules, tracing and randomness."""

from functools import partial

from .row import Syscall, parse_row

row = partial(parse_row, "Security")

ROWS: tuple[Syscall, ...] = (
    row("add_key", "keyctl", "_type _description _payload plen ringid", doc="Add a key to a keyring."),
    row("bpf", "bpf", "cmd uattr size:", doc="Load or manage eBPF programs and maps."),
    row("capget", "null", "header dataptr", doc="Ask for the capabilities of a thread."),
    row("capset", "null", "header data", doc="Set the capabilities of a thread."),
    row("delete_module", "module", "name_user flags", doc="Unload a kernel module."),
    row("finit_module", "fd", "fd uargs flags", doc="Load a kernel module from an open file."),
    row("getrandom", "null", "ubuf len:size flags", bytes="read", doc="Ask for random bytes."),
    row("init_module", "module", "umod len uargs", doc="Load a kernel module from memory."),
    row(
        "kexec_file_load",
        "fd",
        "kernel_fd:fd initrd_fd cmdline_len cmdline_ptr flags",
        doc="Prepare another kernel to boot into, from open files.",
    ),
    row(
        "kexec_load",
        "null",
        "entry nr_segments segments flags",
        doc="Prepare another kernel to boot into, from memory.",
    ),
    row("keyctl", "keyctl", "option arg2 arg3 arg4 arg5", doc="Manage keys and keyrings."),
    row("landlock_add_rule", "fd", "ruleset_fd:fd rule_type rule_attr flags", doc="Add a rule to a Landlock sandbox."),
    row("landlock_create_ruleset", "eventfd", "attr size: flags", doc="Create an empty Landlock sandbox."),
    row("landlock_restrict_self", "fd", "ruleset_fd:fd flags", doc="Enter a Landlock sandbox."),
    row("lsm_get_self_attr", "null", "attr ctx size: flags", doc="Ask for the own security label."),
    row("lsm_list_modules", "null", "ids size: flags", doc="List the active security modules."),
    row("lsm_set_self_attr", "null", "attr ctx size: flags", doc="Set the own security label."),
    row(
        "perf_event_open",
        "perf-open",
        "attr_uptr pid cpu group_fd flags",
        result="fd",
        doc="Open a performance counter.",
    ),
    row("ptrace", "ptrace", "request pid addr data", doc="Observe or control another process."),
    row("request_key", "keyctl", "_type _description _callout_info destringid", doc="Find or ask for a key."),
    row("seccomp", "seccomp", "op flags uargs", doc="Restrict the system calls a process may make."),
)

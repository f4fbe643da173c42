"""CPU scheduling: policy, priority and placement."""

from functools import partial

from .row import Syscall, parse_row

row = partial(parse_row, "Sched")

ROWS: tuple[Syscall, ...] = (
    row("sched_get_priority_max", "null", "policy", doc="Ask for the highest priority of a policy."),
    row("sched_get_priority_min", "null", "policy", doc="Ask for the lowest priority of a policy."),
    row(
        "sched_getaffinity",
        "null",
        "pid len:size user_mask_ptr",
        doc="Ask which CPUs a thread may run on.",
    ),
    row("sched_getattr", "null", "pid uattr usize flags", doc="Ask for the scheduling settings of a thread."),
    row("sched_getparam", "null", "pid param", doc="Ask for the priority of a thread."),
    row("sched_getscheduler", "null", "pid", doc="Ask for the scheduling policy of a thread."),
    row("sched_rr_get_interval", "null", "pid interval", doc="Ask for the round-robin time slice."),
    row("sched_setaffinity", "null", "pid len user_mask_ptr", doc="Choose which CPUs a thread may run on."),
    row("sched_setattr", "null", "pid uattr flags", doc="Set the scheduling settings of a thread."),
    row("sched_setparam", "null", "pid param", doc="Set the priority of a thread."),
    row("sched_setscheduler", "null", "pid policy param", doc="Set the scheduling policy of a thread."),
    row("sched_yield", "null", doc="Let other threads run first."),
)

"""Signals: sending, handling and waiting."""

from functools import partial

from .row import Syscall, parse_row

row = partial(parse_row, "Signals")

ROWS: tuple[Syscall, ...] = (
    row("kill", "null", "pid sig", doc="Send a signal to a process."),
    row("pause", "null", doc="Wait for any signal."),
    row("rt_sigaction", "null", "sig act oact sigsetsize", doc="Choose what a signal does."),
    row("rt_sigpending", "null", "uset sigsetsize", doc="Ask which signals are waiting."),
    row("rt_sigprocmask", "null", "how nset oset sigsetsize", doc="Block or unblock signals."),
    row("rt_sigqueueinfo", "null", "pid sig uinfo", doc="Send a signal with data to a process."),
    row("rt_sigreturn", "null", result="none", doc="Go back from a signal handler to the interrupted program."),
    row("rt_sigsuspend", "null", "unewset sigsetsize", doc="Wait for a signal with another mask in force."),
    row("rt_sigtimedwait", "null", "uthese uinfo uts sigsetsize", doc="Wait for one of some signals."),
    row("rt_tgsigqueueinfo", "null", "tgid pid sig uinfo", doc="Send a signal with data to a thread."),
    row("sigaltstack", "null", "uss uoss", doc="Choose the stack signal handlers run on."),
    row("tgkill", "null", "tgid pid sig", doc="Send a signal to a thread of a process."),
    row("tkill", "null", "pid sig", doc="Send a signal to a thread (old form)."),
)

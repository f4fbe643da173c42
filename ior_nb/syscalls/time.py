"""Clocks, timers and sleeps."""

from functools import partial

from .row import Syscall, parse_row

row = partial(parse_row, "Time")

ROWS: tuple[Syscall, ...] = (
    row("adjtimex", "null", "txc_p", doc="Tune the system clock."),
    row("alarm", "null", "seconds", doc="Ask for a signal after some seconds."),
    row("clock_adjtime", "null", "which_clock utx", doc="Tune a clock."),
    row("clock_getres", "null", "which_clock tp", doc="Ask for the resolution of a clock."),
    row("clock_gettime", "null", "which_clock tp", doc="Read a clock."),
    row(
        "clock_nanosleep",
        "sleep",
        "which_clock flags:sleep_flags rqtp:sleep_timespec rmtp",
        doc="Sleep, measured by a chosen clock.",
    ),
    row("clock_settime", "null", "which_clock tp", doc="Set a clock."),
    row("getitimer", "null", "which value", doc="Read the time left on an interval timer."),
    row("gettimeofday", "null", "tv tz", doc="Read the time of day."),
    row("nanosleep", "sleep", "rqtp:sleep_timespec rmtp", doc="Sleep."),
    row("setitimer", "null", "which value ovalue", doc="Start or stop an interval timer."),
    row("settimeofday", "null", "tv tz", doc="Set the time of day."),
    row("time", "null", "tloc", doc="Read the time of day in seconds."),
    row("timer_create", "timer-obj", "which_clock timer_event_spec created_timer_id", doc="Create a timer."),
    row("timer_delete", "timer-obj", "timer_id", doc="Delete a timer."),
    row("timer_getoverrun", "timer-obj", "timer_id", doc="Ask how many expirations of a timer were missed."),
    row("timer_gettime", "timer-obj", "timer_id setting", doc="Read the time left on a timer."),
    row("timer_settime", "timer-obj", "timer_id flags new_setting old_setting", doc="Start or stop a timer."),
    row("times", "null", "tbuf", doc="Ask for the CPU time used so far."),
)

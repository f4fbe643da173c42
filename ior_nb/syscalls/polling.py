"""Waiting until descriptors are ready."""

from functools import partial

from .row import Syscall, parse_row

row = partial(parse_row, "Polling")

ROWS: tuple[Syscall, ...] = (
    row("epoll_create", "eventfd", "size:", result="fd", doc="Create an epoll descriptor (old form)."),
    row("epoll_create1", "eventfd", "flags", result="fd", doc="Create an epoll descriptor."),
    row(
        "epoll_ctl",
        "epoll-ctl",
        "epfd:fd op:epoll_op fd:target_fd event:epoll_event",
        doc="Add, change or remove a descriptor an epoll waits for.",
    ),
    row(
        "epoll_pwait",
        "poll",
        "epfd:fd events maxevents:nfds timeout:timeout_ms sigmask sigsetsize",
        doc="Wait for events of an epoll with a signal mask in force.",
    ),
    row(
        "epoll_pwait2",
        "poll",
        "epfd:fd events maxevents:nfds timeout:timeout_timespec sigmask sigsetsize",
        doc="Wait for events of an epoll with a nanosecond timeout.",
    ),
    row("epoll_wait", "poll", "epfd:fd events maxevents:nfds timeout:timeout_ms", doc="Wait for events of an epoll."),
    row("poll", "poll", "ufds nfds timeout_msecs:timeout_ms", doc="Wait until one of some descriptors is ready."),
    row(
        "ppoll",
        "poll",
        "ufds nfds tsp:timeout_timespec sigmask sigsetsize",
        doc="Wait until a descriptor is ready, with a signal mask in force.",
    ),
    row(
        "pselect6",
        "poll",
        "n:nfds inp outp exp tsp:timeout_timespec sig",
        doc="Wait until a descriptor is ready, with a signal mask in force (pselect).",
    ),
    row(
        "select",
        "poll",
        "n:nfds inp outp exp tvp:timeout_timeval",
        doc="Wait until one of some descriptors is ready (old form).",
    ),
)

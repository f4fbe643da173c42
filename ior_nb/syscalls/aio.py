"""Asynchronous I/O: the old io_* calls and io_uring."""

from functools import partial

from .row import Syscall, parse_row

row = partial(parse_row, "AIO")

ROWS: tuple[Syscall, ...] = (
    row("io_cancel", "null", "ctx_id iocb result", doc="Cancel an outstanding asynchronous operation."),
    row("io_destroy", "null", "ctx", doc="Destroy an asynchronous I/O context."),
    row("io_getevents", "null", "ctx_id min_nr nr events timeout", doc="Fetch completed asynchronous operations."),
    row(
        "io_pgetevents",
        "null",
        "ctx_id min_nr nr events timeout usig",
        doc="Fetch completed asynchronous operations with a signal mask in force.",
    ),
    row("io_setup", "null", "nr_reqs ctxp", doc="Create an asynchronous I/O context."),
    row("io_submit", "null", "ctx_id nr iocbpp", doc="Submit asynchronous operations."),
    row(
        "io_uring_enter",
        "fd",
        "fd to_submit min_complete flags argp argsz",
        doc="Submit operations to an io_uring, wait for completions, or both.",
    ),
    row(
        "io_uring_register",
        "fd",
        "fd opcode arg nr_args",
        doc="Register buffers, files or settings with an io_uring.",
    ),
    row("io_uring_setup", "null", "entries params", result="fd", doc="Create an io_uring."),
)

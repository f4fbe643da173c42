"""The service on a command line: `ior-nb serve`.

A process of its own on the standard library alone, with one thread: rights are given up by a thread, not by a process.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from ior_nb.engine.collector.served import install, service
from ior_nb.engine.collector.served.gate import Limits

__all__ = ["command", "main"]

_MIB: Final = 1 << 20
_LIMITS: Final = Limits()


def command(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs it; nothing is imported from the folder it is started in."""
    return [sys.executable, "-P", "-m", "ior_nb.engine.collector.served", *arguments]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ior-nb serve", description="Trace system calls for users of this machine who may not do it themselves."
    )
    parser.add_argument("--install", action="store_true", help="have systemd start it when somebody connects")
    parser.add_argument("--group", default="ior-nb", help="who may use it, with --install (default %(default)s)")
    parser.add_argument("--socket", metavar="PATH", help=f"where to listen (default: systemd's, else {service.SOCKET})")
    parser.add_argument("--user", default="nobody", help="whom root becomes (default %(default)s)")
    for name, value, of in (
        ("clients", _LIMITS.clients, "of a user at a time"),
        ("everybody", _LIMITS.everybody, "of all users at a time"),
        ("memory", _LIMITS.memory // _MIB, "MiB of rings and buffers of a user"),
        ("requests", _LIMITS.requests, "of a user in a second"),
    ):
        parser.add_argument(f"--{name}", type=_positive, default=value, metavar="N", help=f"{of} (default {value})")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it, or install; return the exit status."""
    options = _parser().parse_args(arguments)
    limits = Limits(options.clients, options.everybody, options.memory * _MIB, options.requests)
    try:
        if options.install:
            install.install(options.group, _say)
            return 0
        listener = None if options.socket else service.systemd_socket()
        service.serve(listener or service.bound(options.socket or service.SOCKET), limits, user=options.user)
    except service.NotServing as error:
        _say(str(error))
        return 2
    return 0


def _say(text: str) -> None:
    os.write(2, f"ior-nb serve: {text}\n".encode(errors="backslashreplace"))


if __name__ == "__main__":
    sys.exit(main())

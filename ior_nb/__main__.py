"""The command line: `ior-nb`, and `python -m ior_nb` where that is not on the path."""

import signal
import sys


def main() -> int:
    """Run the command line; while its modules are loaded an interrupt ends it as it ends any program."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ior_nb.commands.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())

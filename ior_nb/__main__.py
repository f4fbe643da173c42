"""`python -m ior_nb`: the command line, also where `ior-nb` is not on the path."""

import sys

from ior_nb.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())

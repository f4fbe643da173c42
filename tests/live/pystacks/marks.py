"""How a program beside this one numbers its calls: each pread's offset is its number. Truth as in places.py."""

import json
import os
import sys

Z = os.open(os.environ["TRUTH"], os.O_RDONLY)


def mark(at):
    """Write down where the caller is, for a call of that number."""
    frame, stack = sys._getframe(1), []
    while frame:
        stack.append((frame.f_code.co_filename, frame.f_code.co_qualname, frame.f_lineno))
        frame = frame.f_back
    with open(f"{os.environ['TRUTH']}.{os.getpid()}", "a") as out:
        out.write(json.dumps([at, stack]) + "\n")
    return at

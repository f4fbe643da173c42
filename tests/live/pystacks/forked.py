"""Children of a fork that make code of their own, at the same addresses and with the same numbers. Truth as in places.py."""

import json
import os
import sys

Z = os.open(os.environ["TRUTH"], os.O_RDONLY)


def mark(at):
    frame, stack = sys._getframe(1), []
    while frame:
        stack.append((frame.f_code.co_filename, frame.f_code.co_qualname, frame.f_lineno))
        frame = frame.f_back
    with open(f"{os.environ['TRUTH']}.{os.getpid()}", "a") as out:
        out.write(json.dumps([at, stack]) + "\n")
    return at


for child in range(7):
    if not os.fork():
        for call in range(3):
            text = f"def f{child}{call}():\n    os.pread(Z, 1, mark({child << 8 | call}))\nf{child}{call}()"
            exec(compile(text, f"/tmp/made-{child}-{call}.py", "exec"), {"os": os, "Z": Z, "mark": mark})
        os._exit(0)
    os.wait()

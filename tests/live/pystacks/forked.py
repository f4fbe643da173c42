"""Children of a fork that make code of their own, at the same addresses and with the same numbers. Truth as in places.py."""

import os

from marks import Z, mark

for child in range(7):
    if not os.fork():
        for call in range(3):
            text = f"def f{child}{call}():\n    os.pread(Z, 1, mark({child << 8 | call}))\nf{child}{call}()"
            exec(compile(text, f"/tmp/made-{child}-{call}.py", "exec"), {"os": os, "Z": Z, "mark": mark})
        os._exit(0)
    os.wait()

"""Code objects that come and go at the same addresses, threads too: what the tracer says must be what ran. Truth as in places.py."""

import gc
import json
import os
import random
import sys
import threading

Z, lock, number = os.open(os.environ["TRUTH"], os.O_RDONLY), threading.Lock(), 0
out = open(f"{os.environ['TRUTH']}.{os.getpid()}", "a", 1 << 16)


def mark():
    global number
    frame, stack = sys._getframe(1), []
    while frame:
        stack.append((frame.f_code.co_filename, frame.f_code.co_qualname, frame.f_lineno))
        frame = frame.f_back
    with lock:
        number += 1
        at = os.getpid() << 24 | number
        out.write(json.dumps([at, stack]) + "\n")
    return at


def churn(kind, rounds):
    for i in range(rounds):
        n = i % 1000
        if kind == 0:  # another file
            name, text = f"/tmp/file_{n:03}.py", "def f():\n    for _ in 'abc': os.pread(Z, 1, mark())\nf()"
        elif kind == 1:  # another function
            name, text = "<string>", f"def f_{n:03}():\n    for _ in 'abc': os.pread(Z, 1, mark())\nf_{n:03}()"
        elif kind == 2:  # another line
            name, text = "<string>", "def f():\n" + "\n" * (i % 5) + "    for _ in 'abc': os.pread(Z, 1, mark())\nf()"
        elif kind == 4:  # another function that is called so often that the interpreter gives it a version
            name, text = f"/tmp/often_{n:03}.py", "def f(): os.pread(Z, 1, mark())\nfor _ in range(40): f()"
        else:  # nothing but the caller's line
            name, text = "<string>", "\n" * (i % 7) + "for _ in 'abc': os.pread(Z, 1, mark())"
        exec(compile(text, name, "exec"), {"os": os, "Z": Z, "mark": mark})
        if i % 97 == 0:
            gc.collect()


rounds = int(os.environ.get("STRESS", 1500))
for kind in range(4):  # alone: the allocator gives the same addresses again
    churn(kind, rounds // 3)
churn(4, rounds // 30)
threads = [threading.Thread(target=churn, args=(k % 4, rounds // 4)) for k in range(8)]
[t.start() for t in threads], [t.join() for t in threads]
out.close()

"""Calls from many kinds of places. Each pread's offset is a number of its own; its true stack is written to $TRUTH.<pid>."""

import asyncio
import concurrent.futures as cf
import contextlib
import ctypes
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time

Z = os.open(os.environ["TRUTH"], os.O_RDONLY)
lock, number, out = threading.Lock(), 0, {}


def mark(earlier=0):
    """Write down where the caller is; its call stands so many lines earlier than this one."""
    global number
    frame, stack = sys._getframe(1), []
    while frame:
        stack.append((frame.f_code.co_filename, frame.f_code.co_qualname, frame.f_lineno))
        frame = frame.f_back
    stack[0] = (*stack[0][:2], stack[0][2] - earlier)
    with lock:
        number += 1
        at = os.getpid() << 24 | number
        pid = os.getpid()
        if pid not in out:
            out[pid] = open(f"{os.environ['TRUTH']}.{pid}", "a", buffering=1)
        out[pid].write(json.dumps([at, stack]) + "\n")
    return at


def plain():
    for _ in range(17):
        os.pread(Z, 3, mark())


def multi_line():
    return [
        os.pread(
            Z,
            1,
            mark(3),
        )
        for _ in range(3)
    ]


class C:
    body = os.pread(Z, 1, mark())

    def method(self):
        return (
            [os.pread(Z, 1, mark()) for _ in range(5)],
            {os.pread(Z, 1, mark()) for _ in "ab"},
            {i: os.pread(Z, 1, mark()) for i in "xy"},
        )

    @property
    def prop(self):
        return os.pread(Z, 1, mark())

    def __del__(self):
        os.pread(Z, 1, mark())

    def __getattr__(self, name):
        return os.pread(Z, 1, mark())

    def __lt__(self, other):
        return os.pread(Z, 1, mark()) == b""

    def __enter__(self):
        os.pread(Z, 1, mark())

    def __exit__(self, *_):
        os.pread(Z, 1, mark())


def gen():
    for _ in range(5):
        yield os.pread(Z, 2, mark())


def delegating():
    yield from gen()


async def coro(n):
    for _ in range(n):
        os.pread(Z, 5, mark())
        await asyncio.sleep(0)


async def agen():
    for _ in range(3):
        yield os.pread(Z, 5, mark())


async def main():
    await asyncio.gather(coro(3), coro(4))
    async for _ in agen():
        os.pread(Z, 1, mark())
    await asyncio.to_thread(plain)


def deep(n):
    return deep(n - 1) + 1 if n else len(os.pread(Z, 1, mark()))


def handler(*_):
    os.pread(Z, 1, mark())


@contextlib.contextmanager
def manager():
    os.pread(Z, 1, mark())
    yield
    os.pread(Z, 1, mark())


def callback(a, b):
    os.pread(Z, 1, mark())
    return (ctypes.cast(a, ctypes.POINTER(ctypes.c_int))[0]) - ctypes.cast(b, ctypes.POINTER(ctypes.c_int))[0]


def closure():
    x = 1

    def inner():
        nonlocal x
        x += len(os.pread(Z, 1, mark()))
        return lambda: os.pread(Z, x, mark())

    return inner()()


@functools.lru_cache
def cached(n):
    return os.pread(Z, 1, mark())


def c_thread():
    """A thread Python did not make, which calls back twice: each time with another thread state."""
    libc = ctypes.CDLL(None)
    start = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: os.pread(Z, 1, mark()) and None or None)
    thread = ctypes.c_ulong()
    for _ in range(3):
        libc.pthread_create(ctypes.byref(thread), None, start, None)
        libc.pthread_join(thread, None)


def raises():
    try:
        try:
            1 / 0
        finally:
            os.pread(Z, 1, mark())
    except ZeroDivisionError:
        os.pread(Z, 1, mark())


def child():
    plain()
    t = threading.Thread(target=plain)
    t.start()
    t.join()


def everything():
    plain(), multi_line(), closure(), cached(1), cached(2), raises()
    c = C()
    c.method(), c.prop, c.missing
    with c, manager():
        os.pread(Z, 1, mark())
    sorted([C(), C(), C()])
    del c
    list(gen()), list(delegating()), next(gen())
    f = lambda: os.pread(Z, 7, mark())  # noqa: E731
    list(map(lambda _: f(), range(4)))
    functools.reduce(lambda a, b: len(os.pread(Z, 1, mark())), range(4))
    asyncio.run(main())
    deep(10), deep(40), deep(200)
    threads = [threading.Thread(target=t) for t in (plain, C().method, closure) * 3]
    [t.start() for t in threads], [t.join() for t in threads]
    with cf.ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: os.pread(Z, 1, mark()), range(6)))
    signal.signal(signal.SIGUSR1, handler)
    os.kill(os.getpid(), signal.SIGUSR1)
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    ctypes.CDLL(None).qsort((ctypes.c_int * 5)(5, 3, 1, 4, 2), 5, 4, kind(callback))
    c_thread()
    exec(compile("def dynamic():\n\n    os.pread(Z, 1, mark())\ndynamic()", "<made up ü>", "exec"), globals())
    gc.callbacks.append(lambda *_: os.pread(Z, 1, mark()))
    gc.collect()
    gc.callbacks.clear()
    sys.settrace(lambda *a: None), plain(), sys.settrace(None)
    pid = os.fork()
    if not pid:
        child()
        os._exit(0)
    os.waitpid(pid, 0)


def spawned():
    plain()


if __name__ == "__main__":
    if sys.argv[1:] == ["child"]:
        child()
        sys.exit()
    everything()
    subprocess.run([sys.executable, __file__, "child"], check=True)
    subprocess.run(["/bin/sh", "-c", f"{sys.executable} {__file__} child; true"], check=True)
    import multiprocessing

    for how in ("spawn", "forkserver", "fork"):
        p = multiprocessing.get_context(how).Process(target=spawned)
        p.start()
        p.join()
    try:
        import _interpreters as sub
    except ImportError:
        try:
            import _xxsubinterpreters as sub
        except ImportError:
            sub = None
    os.write(2, f"{number} marks in the first process\n".encode())

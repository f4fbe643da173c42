"""Try what nobody would send: `python -m tests.fuzz [--seconds N] [--inputs N] [--seed S] [KIND ...]`.

An input is made from the seed, its kind and its number alone, so that what failed can be made again: `--seed S --at N
KIND` runs that one, with its traceback. Each kind runs in a process of its own, with bounded memory.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.kinds import KINDS
from tests.fuzz.run import Found, once, run


def main() -> int:
    """Run the kinds asked for; print the table. The exit status is 1 when anything crashed or hung."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="hostile input, seeded")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument("--seconds", type=float, default=60, help="for all kinds together; default 60")
    parser.add_argument("--inputs", type=int, help="of each kind at most")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--at", type=int, metavar="N", help="run the Nth input alone, here")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}")
    chosen = options.kinds or list(KINDS)
    if options.at is not None:
        for name in chosen:
            print(f"{name}: {'taken' if once(name, options.seed, options.at) else 'refused'}")
        return 0
    shares = sum(KINDS[name].share for name in chosen)
    results = {}
    for name in chosen:
        seconds = options.seconds * KINDS[name].share / shares
        print(f"==> {name}, seed {options.seed}, {seconds:.0f} s", file=sys.stderr, flush=True)
        results[name] = run(name, options.seed, seconds, options.inputs or sys.maxsize)
        for problem in results[name].problems:
            print(problem, file=sys.stderr, flush=True)
    print(f"{'kind':20} {'inputs':>10} {'taken':>10} {'refused':>10} {'crashes':>8} {'hangs':>6} {'slowest':>9}")
    for name, found in {**results, "all": sum(results.values(), Found())}.items():
        counts = (
            f"{found.inputs:10,} {found.taken:10,} {found.inputs - found.taken:10,} {found.crashes:8} {found.hangs:6}"
        )
        print(f"{name:20} {counts} {found.slowest_s:8.2f}s")
    return int(any(found.crashes or found.hangs for found in results.values()))


if __name__ == "__main__":
    sys.exit(main())

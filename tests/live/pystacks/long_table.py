"""A module whose line table is long: of calls in its midst, and behind it. Truth as in places.py."""

import os

from marks import Z, mark

text = "".join(f"x{n} = y{n} = {n}\n" if n % 3001 else f"os.pread(Z, 1, mark({n}))\n" for n in range(1, 24_000))
code = compile(text, "/tmp/data.py", "exec")
assert len(code.co_linetable) > 4 * 16384, len(code.co_linetable)
exec(code, {"os": os, "Z": Z, "mark": mark})

"""Tracers that stop a program at each of its calls (ptrace): where the kernel runs no program of ours.

A helper process holds the traced program and speaks the frames of a collector, so that all beyond is the same. `helper`
is that process, `source` what it needs of a tracer, `strace` and `ptrace` are the two there are; `lines` reads strace's
words, `words` what single words mean, `records` makes records and names of calls, `tasks` knows whose they are.
"""

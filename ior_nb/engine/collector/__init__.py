"""The privileged process: loads the BPF program, drains its rings, sends raw batches down a socket.

Standard library and the distribution's bcc only, so that it stays small enough to audit and runs under any
Python 3.11 or newer. Nothing of ior_nb is imported here but `ior_nb.syscalls`.
"""

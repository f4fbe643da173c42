"""Calls while memory of the interpreter cannot be read, and one before each: LIBRARY, where a thread's state has its data stack."""

import ctypes
import os
import sys

from marks import Z, mark

library = ctypes.PyDLL(sys.argv[1])
library.hidden_pread.argtypes = [ctypes.c_ulong, ctypes.c_ulong, ctypes.c_int, ctypes.c_long]
library.hidden_pread.restype = ctypes.c_long
ctypes.pythonapi.PyThreadState_Get.restype = ctypes.c_ulong
state = ctypes.pythonapi.PyThreadState_Get()
chunk = ctypes.c_ulong.from_address(state + int(sys.argv[2])).value


def code_hidden():
    os.pread(Z, 1, mark(1))
    return library.hidden_pread(id(code_hidden.__code__), 80, Z, 2)


def frames_hidden():
    os.pread(Z, 1, mark(3))
    return library.hidden_pread(chunk, 4096, Z, 4)


def state_hidden():
    os.pread(Z, 1, mark(5))
    return library.hidden_pread(state, 256, Z, 6)


found = code_hidden(), frames_hidden(), state_hidden()
os.pread(Z, 1, mark(7))
assert min(found) >= 0, found

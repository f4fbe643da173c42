"""A file system of one file, `object`, whose bytes a server in user space sends: as gcsfuse and sshfs do.

    python fuse.py FOLDER BYTES SECONDS

mounts it on a folder, prints a line, and answers each read after so many seconds, until it is unmounted. Then it prints
the reads as JSON: a list of when each came (ns of the monotonic clock) and how many bytes were sent.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
import time

HEAD, ANSWER = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")
ATTRIBUTES = struct.Struct("<6Q10I")
LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR, BATCH_FORGET = (
    *(1, 2, 3, 14, 15, 18, 25, 26, 27, 29),
    42,
)
ENOENT, ENOSYS = 2, 38
ROOT, OBJECT = 1, 2
HOUR = 3600
ASYNC_READ, MAX_PAGES = 1, 1 << 22


def attributes(node: int, size: int) -> bytes:
    """Return what stat says of the folder or of the object."""
    mode, length = (0o40755, 0) if node == ROOT else (0o100644, size)
    return ATTRIBUTES.pack(node, length, length // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(operation: int, node: int, body: bytes, size: int, delay: float) -> bytes | int:
    """Return the answer to a request, or its errno."""
    if operation == INIT:
        return struct.pack("<4I2H2I2HI28x", 7, 31, 1 << 20, ASYNC_READ | MAX_PAGES, 16, 12, 1 << 20, 1, 256, 0, 0)
    if operation == LOOKUP:
        if body.rstrip(b"\0") != b"object":
            return ENOENT
        return struct.pack("<4Q2I", OBJECT, 0, HOUR, HOUR, 0, 0) + attributes(OBJECT, size)
    if operation == GETATTR:
        return struct.pack("<Q2I", HOUR, 0, 0) + attributes(node, size)
    if operation in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 1, 0, 0)
    if operation == READ:
        _, offset, wanted = struct.unpack_from("<QQI", body)
        time.sleep(delay)
        return bytes(max(0, min(wanted, size - offset)))
    return b"" if operation in (RELEASE, FLUSH, RELEASEDIR) else ENOSYS


def serve(device: int, size: int, delay: float) -> list[tuple[int, int]]:
    """Answer requests until it is unmounted; return when each read came, and how many bytes were sent."""
    sent: list[tuple[int, int]] = []
    while True:
        try:
            request = os.read(device, 1 << 21)
        except InterruptedError:
            continue
        except OSError as error:
            if error.errno == ENOENT:  # who asked has gone
                continue
            return sent
        came = time.monotonic_ns()
        _, operation, number, node, *_ = HEAD.unpack_from(request)
        if operation in (FORGET, BATCH_FORGET):
            continue
        found = answer(operation, node, request[HEAD.size :], size, delay)
        data, error_number = (b"", found) if isinstance(found, int) else (found, 0)
        if operation == READ:
            sent.append((came, len(data)))
        os.write(device, ANSWER.pack(ANSWER.size + len(data), -error_number, number) + data)


def main(folder: str, size: str, delay: str) -> None:
    """Mount it and serve."""
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"ior-nb", folder.encode(), b"fuse", 0, options):
        sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    print("mounted", flush=True)
    print(json.dumps(serve(device, int(size), float(delay))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

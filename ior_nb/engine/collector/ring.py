"""A BPF ring buffer, mapped. Records of equal size are drained in batches without touching a record.

Layout (kernel/bpf/ringbuf.c): one page with the consumer position, one with the producer position, then the data
area mapped twice in a row, so a batch never wraps. Each record stands behind 8 bytes: length (bit 31 = still being
written, bit 30 = discarded), page offset.
"""

from __future__ import annotations

import mmap
from typing import Final

PAGE: Final = mmap.PAGESIZE
_BUSY: Final = 0x80
_LENGTH: Final = (1 << 30) - 1


class Ring:
    """Read side of one ring.

    Args:
        fd: descriptor of the BPF map.
        size: bytes of the data area, a power of two.
        stride: bytes from one record to the next, header included; records of any size are taken by `records`.
    """

    def __init__(self, fd: int, size: int, stride: int) -> None:
        self.size = size
        self.stride = stride
        self._consumer_map = mmap.mmap(fd, PAGE)
        self._data_map = mmap.mmap(fd, PAGE + 2 * size, prot=mmap.PROT_READ, offset=PAGE)
        self._consumer = memoryview(self._consumer_map).cast("Q")
        self._producer = memoryview(self._data_map)[:PAGE].cast("Q")
        self._data = memoryview(self._data_map)[PAGE:]

    @property
    def produced(self) -> int:
        """Position up to which records were reserved."""
        return self._producer[0]

    @property
    def waiting(self) -> int:
        """Bytes not yet taken."""
        return self._producer[0] - self._consumer[0]

    def read(self, until: int, limit: int = 1 << 20) -> bytes:
        """Take finished records before position `until`, about `limit` bytes at most, and give their room back.

        Stops at the first record still being written; nothing to take gives nothing.
        """
        at = self._consumer[0]
        length = min(until - at, limit // self.stride * self.stride)
        if length <= 0:
            return b""
        begin = at % self.size
        # The top byte of each header: one C-level slice over all records.
        tops = bytes(self._data[begin + 3 : begin + length : self.stride])
        finished = len(tops)
        if tops.count(0) != finished:
            finished = next((i for i, top in enumerate(tops) if top & _BUSY), finished)
        batch = bytes(self._data[begin : begin + finished * self.stride])
        self._consumer[0] = at + finished * self.stride
        return batch

    def records(self, until: int) -> list[bytes]:
        """Take finished records of any size before position `until`, each with its header and up to a multiple of 8.

        Discarded ones are left out. Stops at the first still being written.
        """
        at = self._consumer[0]
        found: list[bytes] = []
        while at < until:
            begin = at % self.size
            header = int.from_bytes(self._data[begin : begin + 4], "little")
            if header >> 31:
                break
            end = begin + 8 + ((header & _LENGTH) + 7 & ~7)
            if not header >> 30:
                found.append(bytes(self._data[begin:end]))
            at += end - begin
            self._consumer[0] = at
        return found

    def close(self) -> None:
        """Unmap; idempotent."""
        for view in (self._consumer, self._producer, self._data):
            view.release()
        self._consumer_map.close()
        self._data_map.close()

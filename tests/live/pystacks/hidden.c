/* A pread while a piece of memory cannot be read. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

long hidden_pread(unsigned long from, unsigned long bytes, int fd, long at) {
    unsigned long begin = from & ~4095UL, end = (from + bytes + 4095) & ~4095UL;
    char byte;
    if (mprotect((void *)begin, end - begin, PROT_NONE)) return -1;
    long moved = pread(fd, &byte, 1, at);
    return mprotect((void *)begin, end - begin, PROT_READ | PROT_WRITE) ? -1 : moved;
}

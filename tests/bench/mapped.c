/* CPU time of one step, ns:
 *     mapped fault FILE STEPS    map a file that is in the page cache, write a byte of every page, which faults, unmap
 *     mapped write FILE STEPS    write 4 KiB to the page cache, all over 16 MiB; the disk has it at the end of a round
 *     mapped read FILE STEPS     read a byte
 * The first line of the standard input begins it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SIZE (16L << 20)

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
  char block[4096] = {1}, line[16];
  int file = open(argv[2], O_RDWR), what = argv[1][0];
  long steps = atol(argv[3]), done = 0;
  if (argc < 4 || file < 0 || !fgets(line, sizeof line, stdin)) return 1;
  double spent = 0;
  while (done < steps) {
    double begin = now();
    if (what == 'f') {
      char *at = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
      for (long k = 0; k < SIZE; k += 4096, done++) at[k] = 1;
      munmap(at, SIZE);
    } else if (what == 'w') {
      for (long k = 0; k < SIZE && done < steps; k += 4096, done++)
        if (pwrite(file, block, 4096, k) != 4096) return 1;
    } else {
      for (long k = 0; k < SIZE && done < steps; k += 4096, done++)
        if (pread(file, block, 1, k) != 1) return 1;
    }
    spent += now() - begin;
    if (what == 'w') fdatasync(file);
  }
  printf("%.1f\n", spent / done);
  return 0;
}

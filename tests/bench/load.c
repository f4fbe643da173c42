/* The worst case for a tracer: one cheap system call, as fast as it goes.
 *
 *     load CALLS [PROCESSES]        each of PROCESSES (default 1) makes CALLS preads of one byte from /dev/zero
 *     load -w CALLS [PROCESSES]     first print the process ids, and wait for a line on the standard input
 *
 * Prints a line for each process: calls, nanoseconds of wall clock, nanoseconds of its own processor time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int run(long calls, int go) {
    int fd = open("/dev/zero", O_RDONLY);
    char byte;
    if (go >= 0 && read(go, &byte, 1) != 0) return 1; /* the end of the pipe is the starting shot */
    long long wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID);
    for (long i = 0; i < calls; i++)
        if (pread(fd, &byte, 1, 0) != 1) return 1;
    cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
    wall = now(CLOCK_MONOTONIC) - wall;
    char line[96];
    int length = snprintf(line, sizeof line, "%ld %lld %lld\n", calls, wall, cpu);
    return write(1, line, length) != length;
}

int main(int argc, char **argv) {
    int wait_first = argc > 1 && !strcmp(argv[1], "-w");
    argv += wait_first;
    argc -= wait_first;
    long calls = argc > 1 ? atol(argv[1]) : 1000000;
    int processes = argc > 2 ? atoi(argv[2]) : 1, shot[2], failed = 0, status;
    if (pipe(shot)) return 1;
    for (int i = 0; i < processes; i++) {
        pid_t child = fork();
        if (child < 0) return 1;
        if (!child) {
            close(shot[1]);
            return run(calls, shot[0]);
        }
        if (wait_first) dprintf(1, "%d ", child);
    }
    if (wait_first) {
        char line[8];
        dprintf(1, "\n");
        if (!fgets(line, sizeof line, stdin)) return 1;
    }
    close(shot[1]);
    while (wait(&status) > 0) failed |= status;
    return failed ? 1 : 0;
}

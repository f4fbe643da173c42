/* One cheap call of a kind, as fast as it goes: what it costs to know why a call was slow.
 *
 *     why KIND CALLS
 *
 * waits for a line on its input, makes the calls, and prints the nanoseconds of its own processor time for each. Kinds:
 * pread (a byte of /dev/zero), tcp (a byte each way over a connection), udp (datagrams with their addresses), connected
 * (datagrams without), unix (a byte each way over a pair), switch (two processes hand each other a byte on one processor).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in to, from;
static int one, other, there[2], back[2];

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int bound(int type, struct sockaddr_in *address) {
    socklen_t size = sizeof *address;
    int made = socket(AF_INET, type, 0);
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(made, (struct sockaddr *)address, size) || getsockname(made, (struct sockaddr *)address, &size)) exit(1);
    return made;
}

static void make(const char *kind) {
    if (!strcmp(kind, "pread")) one = open("/dev/zero", O_RDONLY);
    if (!strcmp(kind, "udp") || !strcmp(kind, "connected")) {
        one = bound(SOCK_DGRAM, &from);
        other = bound(SOCK_DGRAM, &to);
    }
    if (!strcmp(kind, "connected")) {
        if (connect(one, (struct sockaddr *)&to, sizeof to) || connect(other, (struct sockaddr *)&from, sizeof from)) exit(1);
    }
    if (!strcmp(kind, "tcp")) {
        int server = bound(SOCK_STREAM, &to);
        one = socket(AF_INET, SOCK_STREAM, 0);
        if (listen(server, 1) || connect(one, (struct sockaddr *)&to, sizeof to)) exit(1);
        other = accept(server, 0, 0);
    }
    if (!strcmp(kind, "unix")) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, there)) exit(1);
        one = there[0];
        other = there[1];
    }
    if (!strcmp(kind, "switch") && (pipe(there) || pipe(back))) exit(1);
}

static void turns(long calls, int in, int out, int first) {
    char byte = 0;
    for (long i = 0; i < calls; i++) {
        if (first && write(out, &byte, 1) != 1) exit(1);
        if (read(in, &byte, 1) != 1) exit(1);
        if (!first && write(out, &byte, 1) != 1) exit(1);
    }
}

/* Returns how many calls, or turns, were made. */
static long run(const char *kind, long calls) {
    char byte = 0;
    struct sockaddr_in who;
    if (!strcmp(kind, "pread"))
        for (long i = 0; i < calls; i++) if (pread(one, &byte, 1, 0) != 1) exit(1);
    if (!strcmp(kind, "tcp") || !strcmp(kind, "unix") || !strcmp(kind, "connected"))
        for (long i = 0; i < calls; i += 2) if (send(one, &byte, 1, 0) != 1 || recv(other, &byte, 1, 0) != 1) exit(1);
    if (!strcmp(kind, "udp"))
        for (long i = 0; i < calls; i += 2) {
            socklen_t size = sizeof who;
            if (sendto(one, &byte, 1, 0, (struct sockaddr *)&to, sizeof to) != 1) exit(1);
            if (recvfrom(other, &byte, 1, 0, (struct sockaddr *)&who, &size) != 1) exit(1);
        }
    return calls;
}

int main(int argc, char **argv) {
    char line[8];
    if (argc != 3) return 1;
    const char *kind = argv[1];
    long calls = atol(argv[2]);
    make(kind);
    if (!fgets(line, sizeof line, stdin)) return 1;
    if (!strcmp(kind, "switch")) {
        struct rusage child;
        cpu_set_t first;
        CPU_ZERO(&first);
        CPU_SET(0, &first);
        if (sched_setaffinity(0, sizeof first, &first)) return 1;
        long long before = now();
        pid_t peer = fork();
        if (!peer) {
            turns(calls, there[0], back[1], 0);
            _exit(0);
        }
        turns(calls, back[0], there[1], 1);
        if (wait4(peer, 0, 0, &child) != peer) return 1;
        long long spent = now() - before + 1000LL * (child.ru_utime.tv_usec + child.ru_stime.tv_usec)
            + 1000000000LL * (child.ru_utime.tv_sec + child.ru_stime.tv_sec);
        printf("%.1f\n", (double)spent / calls);
        return 0;
    }
    run(kind, calls / 10);
    long long before = now();
    run(kind, calls);
    printf("%.1f\n", (double)(now() - before) / calls);
    return 0;
}

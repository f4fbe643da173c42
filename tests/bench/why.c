/* One cheap call of a kind, as fast as it goes: what it costs to know why a call was slow.
 *
 *     why KIND CALLS
 *
 * waits for a line on its input, makes the calls ten times over, and prints the nanoseconds of its own processor time for
 * each of them, where it was least. Kinds: pread (a byte of /dev/zero), tcp (a byte each way over a connection), unix (a
 * pair), udp (datagrams with their address, from a socket to itself), turns (the same between two sockets), connected
 * (datagrams without), switch (two processes hand each other a byte on one processor).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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
    if (!strcmp(kind, "udp")) one = other = bound(SOCK_DGRAM, &to);
    if (!strcmp(kind, "turns") || !strcmp(kind, "connected")) {
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

static void run(const char *kind, long calls) {
    char byte = 0;
    struct sockaddr_in who;
    if (!strcmp(kind, "pread"))
        for (long i = 0; i < calls; i++) if (pread(one, &byte, 1, 0) != 1) exit(1);
    if (!strcmp(kind, "tcp") || !strcmp(kind, "unix") || !strcmp(kind, "connected"))
        for (long i = 0; i < calls; i += 2) if (send(one, &byte, 1, 0) != 1 || recv(other, &byte, 1, 0) != 1) exit(1);
    if (!strcmp(kind, "udp") || !strcmp(kind, "turns"))
        for (long i = 0; i < calls; i += 2) {
            socklen_t size = sizeof who;
            if (sendto(one, &byte, 1, 0, (struct sockaddr *)&to, sizeof to) != 1) exit(1);
            if (recvfrom(other, &byte, 1, 0, (struct sockaddr *)&who, &size) != 1) exit(1);
        }
    if (!strcmp(kind, "switch")) turns(calls, back[0], there[1], 1);
}

/* The processor time of a process, or of two that work by turns. */
static long long spent(pid_t peer) {
    clockid_t clock;
    struct timespec t = {0};
    if (peer && !clock_getcpuclockid(peer, &clock)) clock_gettime(clock, &t);
    return now() + t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
    char line[8];
    if (argc != 3) return 1;
    const char *kind = argv[1];
    long calls = atol(argv[2]);
    make(kind);
    if (!fgets(line, sizeof line, stdin)) return 1;
    pid_t peer = 0;
    if (!strcmp(kind, "switch")) {
        cpu_set_t first;
        CPU_ZERO(&first);
        CPU_SET(0, &first);
        if (sched_setaffinity(0, sizeof first, &first)) return 1;
        peer = fork();
        if (!peer) {
            turns(11 * (calls / 10), there[0], back[1], 0);
            pause();
        }
    }
    long long least = 0;
    for (int part = 0; part < 11; part++) { /* the first warms up */
        long long before = spent(peer);
        run(kind, calls / 10);
        long long took = spent(peer) - before;
        if (part == 1 || (part && took < least)) least = took;
    }
    if (peer) kill(peer, SIGKILL);
    printf("%.1f\n", (double)least / (calls / 10));
    return 0;
}

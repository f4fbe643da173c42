/* A workload that knows what it does: every call is made by hand and written down beside what a tracer has to say.
 *
 *   workload FOLDER LOG SCENARIO [ARGUMENT]
 *
 * Between the markers (failing accesses of /ior-nb-marker-begin and -end) no system call happens that is not in the
 * log. A log entry is seven strings, each ended by a NUL: thread, call, file, bytes, errno, return value ("" where
 * the caller cannot know it), further columns (NAME=VALUE, separated by |). The name of an open descriptor is what
 * readlink of /proc/self/fd/N says at that moment; those readlinks are in the log like all other calls.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Numbers that a libc of before these calls lacks; they are the same on all machines. */
#ifndef SYS_close_range
#define SYS_close_range 436
#define SYS_openat2 437
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

enum { LOG_BYTES = 16 << 20, TEXT = 8192, ROTATION = 64 };

struct shared {
  volatile long used;
  volatile int ready, go, done;
  char text[LOG_BYTES];
};

static struct shared *shared;
static char *folder, *argument;
static int getpid_before; /* our process id, asked for before the markers */
static long page;         /* bytes of a page of memory */
static __thread int me;   /* thread id, as the log wants it */

/* The call as this machine has it. Of two that do the same a younger architecture (arm64) has the newer one only: there
 * it is what is made, and what is logged. */
#ifdef SYS_open
static const char *here(const char *name, long *nr, long *a) {
  (void)nr, (void)a;
  return name;
}
#else
enum {
  SYS_open = 10000, SYS_creat, SYS_access, SYS_stat, SYS_lstat, SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_chmod, SYS_mknod, SYS_link,
  SYS_symlink, SYS_readlink, SYS_rename, SYS_dup2, SYS_pipe, SYS_fork, SYS_poll, SYS_select, SYS_epoll_wait,
};
#define IS(newer, ...) return memcpy(a, (long[6]){__VA_ARGS__}, 6 * sizeof(long)), *nr = SYS_##newer, #newer

static const char *here(const char *name, long *nr, long *a) {
  static __thread struct timespec times[ROTATION];
  static __thread unsigned next;
  struct timespec *wait = &times[next++ % ROTATION];
  struct timeval *given = (struct timeval *)a[4];
  switch (*nr) {
    case SYS_open: IS(openat, AT_FDCWD, a[0], a[1], a[2]);
    case SYS_creat: IS(openat, AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, a[1]);
    case SYS_access: IS(faccessat, AT_FDCWD, a[0], a[1]);
    case SYS_stat: IS(newfstatat, AT_FDCWD, a[0], a[1]);
    case SYS_lstat: IS(newfstatat, AT_FDCWD, a[0], a[1], AT_SYMLINK_NOFOLLOW);
    case SYS_mkdir: IS(mkdirat, AT_FDCWD, a[0], a[1]);
    case SYS_rmdir: IS(unlinkat, AT_FDCWD, a[0], AT_REMOVEDIR);
    case SYS_unlink: IS(unlinkat, AT_FDCWD, a[0]);
    case SYS_chmod: IS(fchmodat, AT_FDCWD, a[0], a[1]);
    case SYS_mknod: IS(mknodat, AT_FDCWD, a[0], a[1], a[2]);
    case SYS_link: IS(linkat, AT_FDCWD, a[0], AT_FDCWD, a[1]);
    case SYS_symlink: IS(symlinkat, a[0], AT_FDCWD, a[1]);
    case SYS_readlink: IS(readlinkat, AT_FDCWD, a[0], a[1], a[2]);
    case SYS_rename: IS(renameat, AT_FDCWD, a[0], AT_FDCWD, a[1]);
    case SYS_dup2: IS(dup3, a[0], a[1]);
    case SYS_pipe: IS(pipe2, a[0]);
    case SYS_fork: IS(clone, SIGCHLD);
    case SYS_poll:
      *wait = (struct timespec){a[2] / 1000, a[2] % 1000 * 1000000};
      IS(ppoll, a[0], a[1], a[2] < 0 ? 0 : (long)wait, 0, 8);
    case SYS_select:
      if (given) *wait = (struct timespec){given->tv_sec, given->tv_usec * 1000};
      IS(pselect6, a[0], a[1], a[2], a[3], given ? (long)wait : 0);
    case SYS_epoll_wait: IS(epoll_pwait, a[0], a[1], a[2], a[3], 0, 8);
  }
  return name;
}
#endif

#if defined(__x86_64__)
static void relax(void) { __builtin_ia32_pause(); }

static long enter(long nr, const long *a) {
  register long r10 __asm__("r10") = a[3];
  register long r8 __asm__("r8") = a[4];
  register long r9 __asm__("r9") = a[5];
  long ret;
  __asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return ret;
}
#elif defined(__aarch64__)
static void relax(void) { __asm__ volatile("yield"); }

static long enter(long nr, const long *a) {
  register long x8 __asm__("x8") = nr;
  register long x0 __asm__("x0") = a[0];
  register long x1 __asm__("x1") = a[1];
  register long x2 __asm__("x2") = a[2];
  register long x3 __asm__("x3") = a[3];
  register long x4 __asm__("x4") = a[4];
  register long x5 __asm__("x5") = a[5];
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#endif

static long raw(long nr, long *a) {
  here("", &nr, a);
  return enter(nr, a);
}

/* RAW(nr, ...): a call that is not logged. */
#define C1(a) (long)(a)
#define C2(a, ...) (long)(a), C1(__VA_ARGS__)
#define C3(a, ...) (long)(a), C2(__VA_ARGS__)
#define C4(a, ...) (long)(a), C3(__VA_ARGS__)
#define C5(a, ...) (long)(a), C4(__VA_ARGS__)
#define C6(a, ...) (long)(a), C5(__VA_ARGS__)
#define CHOOSE(_1, _2, _3, _4, _5, _6, n, ...) C##n
#define CAST(...) CHOOSE(__VA_ARGS__, 6, 5, 4, 3, 2, 1)(__VA_ARGS__)
#define RAW(nr, ...) raw(nr, (long[6]){CAST(__VA_ARGS__)})

/* NAME(name): what a call is called here. */
#define NAME(name) here(#name, &(long){SYS_##name}, (long[6]){0})

static char *buffer(void) {
  static __thread char space[ROTATION][TEXT];
  static __thread unsigned next;
  return space[next++ % ROTATION];
}

__attribute__((format(printf, 1, 2))) static char *format(const char *pattern, ...) {
  char *text = buffer();
  va_list list;
  va_start(list, pattern);
  vsnprintf(text, TEXT, pattern, list);
  va_end(list);
  return text;
}

static char *inside(const char *name) { return format("%s/%s", folder, name); }

static void broken(const char *what, long ret) {
  char *text = format("workload: %s returned %ld\n", what, ret);
  RAW(SYS_write, 2, text, strlen(text));
  RAW(SYS_exit_group, 99);
}

static void note(int thread, const char *call, const char *file, long bytes, int error, const char *ret, const char *more) {
  char numbers[3][24];
  snprintf(numbers[0], sizeof(numbers[0]), "%d", thread);
  snprintf(numbers[1], sizeof(numbers[1]), "%ld", bytes);
  snprintf(numbers[2], sizeof(numbers[2]), "%d", error);
  const char *field[7] = {numbers[0], call, file, numbers[1], numbers[2], ret, more};
  long size = 0;
  for (int i = 0; i < 7; i++) size += strlen(field[i]) + 1;
  long at = __atomic_fetch_add(&shared->used, size, __ATOMIC_SEQ_CST);
  if (at + size > LOG_BYTES) broken("the log", at);
  for (int i = 0; i < 7; i++) {
    long length = strlen(field[i]) + 1;
    memcpy(shared->text + at, field[i], length);
    at += length;
  }
}

/* CALL(name, file, bytes, errno, more, ...): make a call and log it. */
#define CALL(name, ...) call(#name, SYS_##name, __VA_ARGS__)
#define call(text, nr, file, bytes, error, more, ...) made(text, nr, file, bytes, error, more, (long[6]){CAST(__VA_ARGS__)})

static long made(const char *name, long nr, const char *file, long bytes, int error, const char *more, long *a) {
  name = here(name, &nr, a);
  long ret = raw(nr, a);
  if (error ? ret != -error : ret < 0) broken(name, ret);
  char text[24];
  snprintf(text, sizeof(text), "%ld", ret);
  note(me, name, file, bytes, error, text, more);
  return ret;
}

/* What the kernel says a descriptor is; logged after `first`, the call that made it (NULL for none). */
static char *link_of(long fd, const char *first, long ret, const char *more) {
  char *path = format("/proc/self/fd/%ld", fd), *text = buffer();
  long length = RAW(SYS_readlink, path, text, TEXT - 1);
  if (length < 0) broken(path, length);
  text[length] = 0;
  if (first) note(me, first, text, 0, 0, format("%ld", ret), more);
  note(me, NAME(readlink), path, 0, 0, format("%ld", length), "");
  return text;
}

static char *name_of(long fd) { return link_of(fd, NULL, 0, ""); }

/* FD(name, fd, bytes, errno, more, ...): a call on a descriptor; its file is what the kernel says it is. */
#define FD(name, fd, ...) CALL(name, name_of(fd), __VA_ARGS__)

/* OPEN(name, more, ...): a call that returns a descriptor; its file is that of the descriptor. */
#define OPEN(name, more, ...) opened(#name, SYS_##name, more, (long[6]){CAST(__VA_ARGS__)})

static long opened(const char *name, long nr, const char *more, long *a) {
  name = here(name, &nr, a);
  long fd = raw(nr, a);
  if (fd < 0) broken(name, fd);
  link_of(fd, name, fd, format("fd=%ld%s%s", fd, *more ? "|" : "", more));
  return fd;
}

/* PAIR(name, numbers, ...): a call that fills in two descriptors; its file is that of the first. */
#define PAIR(name, numbers, ...) paired(#name, SYS_##name, numbers, (long[6]){CAST(__VA_ARGS__)})

static void paired(const char *name, long nr, int *numbers, long *a) {
  name = here(name, &nr, a);
  long ret = raw(nr, a);
  if (ret) broken(name, ret);
  link_of(numbers[0], name, 0, format("fd=%d", numbers[0]));
}

static void begin(void) { RAW(SYS_access, "/ior-nb-marker-begin", 0); }
static void end(void) { RAW(SYS_access, "/ior-nb-marker-end", 0); }

static int child_of(long ret) {
  if (ret) return 0;
  me = RAW(SYS_gettid, 0);
  note(me, "gettid", "", 0, 0, format("%d", me), "");
  return 1;
}

__attribute__((noreturn)) static void leave(int status) {
  note(me, "exit_group", "", 0, 0, "", "state=no return");
  RAW(SYS_exit_group, status);
  __builtin_unreachable();
}

static void wait_for(long child) {
  int status = -1;
  CALL(wait4, "", 0, 0, "", child, &status, 0, 0);
  if (status) broken("a child", status);
}

static void spin_until(volatile int *flag, int value) {
  while (__atomic_load_n(flag, __ATOMIC_SEQ_CST) < value) relax();
}

static void file_with(const char *name, int bytes) {
  int fd = open(inside(name), O_CREAT | O_WRONLY | O_TRUNC, 0644);
  for (int i = 0; i < bytes; i++)
    if (write(fd, "x", 1) != 1) broken(name, errno);
  close(fd);
}

/* ---- scenarios -------------------------------------------------------------------------------------------- */

static char data[4096];

static void descriptors(void) {
  struct iovec parts[3] = {{data, 5}, {data + 5, 7}, {data + 12, 11}};
  struct stat facts;
  file_with("one", 101);
  file_with("two", 53);
  begin();
  long fd = OPEN(open, "open_flags=2", inside("one"), O_RDWR);
  for (int i = 0; i < 23; i++) FD(read, fd, i < 14 ? 7 : i == 14 ? 3 : 0, 0, format("requested_bytes=7|offset=%d", i < 15 ? 7 * i : 101), fd, data, 7);
  for (int i = 0; i < 13; i++) FD(pread64, fd, 3, 0, format("requested_bytes=3|offset=%d", 5 * i), fd, data, 3, 5 * i);
  FD(lseek, fd, 0, 0, "", fd, 2, SEEK_SET);
  FD(write, fd, 11, 0, "requested_bytes=11|offset=2", fd, data, 11);
  FD(pwrite64, fd, 13, 0, "offset=29", fd, data, 13, 29);
  FD(readv, fd, 23, 0, "requested_bytes=23|offset=13", fd, parts, 3);
  FD(writev, fd, 12, 0, "requested_bytes=12|offset=36", fd, parts, 2);
  FD(preadv, fd, 23, 0, "requested_bytes=23|offset=17", fd, parts, 3, 17, 0);
  FD(pwritev, fd, 5, 0, "requested_bytes=5|offset=19", fd, parts, 1, 19, 0);
  FD(preadv2, fd, 12, 0, "requested_bytes=12|offset=31", fd, parts, 2, 31, 0, 0);
  FD(pwritev2, fd, 23, 0, "requested_bytes=23|offset=37", fd, parts, 3, 37, 0, 0);
  FD(fstat, fd, 0, 0, "", fd, &facts);
  FD(ftruncate, fd, 0, 0, "", fd, 89);
  FD(fsync, fd, 0, 0, "", fd);
  FD(fdatasync, fd, 0, 0, "", fd);
  FD(flock, fd, 0, 0, "", fd, 2);
  FD(fchmod, fd, 0, 0, "", fd, 0600);
  FD(fadvise64, fd, 0, 0, "", fd, 0, 0, 0);
  long copy = FD(dup, fd, 0, 0, "", fd);
  long third = FD(fcntl, fd, 0, 0, "", fd, F_DUPFD, 40);
  FD(dup2, fd, 0, 0, "", fd, 50);
  FD(dup3, fd, 0, 0, "", fd, 51, O_CLOEXEC);
  FD(close, fd, 0, 0, "", fd);
  long reused = OPEN(openat, "", AT_FDCWD, inside("two"), O_RDONLY);
  if (reused != fd) broken("fd reuse", reused);
  FD(read, reused, 17, 0, "", reused, data, 17);
  FD(read, copy, 19, 0, "", copy, data, 19);
  FD(read, third, 2, 0, "", third, data, 2);
  FD(read, 50, 3, 0, "", 50, data, 3);
  FD(read, 51, 5, 0, "", 51, data, 5);
  FD(dup2, reused, 0, 0, "", reused, 50); /* over an open one: 50 is another file now */
  FD(read, 50, 7, 0, "", 50, data, 7);
  for (int i = 0; i < 5; i++) CALL(read, "", 0, EBADF, "fd=77", 77, data, 7);
  for (int i = 0; i < 3; i++) CALL(close, "", 0, EBADF, "fd=-5", -5);
  CALL(dup, "", 0, EBADF, "fd=1000000", 1000000);
  long end_of_file = OPEN(open, "", inside("log"), O_CREAT | O_WRONLY | O_APPEND, 0600);
  long again = OPEN(open, "", inside("log"), O_WRONLY | O_APPEND, 0600);
  FD(write, end_of_file, 31, 0, "offset=0", end_of_file, data, 31);
  FD(write, again, 37, 0, "offset=31", again, data, 37);
  FD(write, end_of_file, 41, 0, "offset=68", end_of_file, data, 41);
  FD(writev, again, 23, 0, "offset=109", again, parts, 3);
  long directory = OPEN(open, "open_flags=65536", folder, O_RDONLY | O_DIRECTORY);
  FD(getdents64, directory, 0, 0, "requested_bytes=4096|file_kind=directory", directory, data, 4096);
  FD(getdents64, directory, 0, 0, "", directory, data, 4096);
  FD(read, end_of_file, 0, EBADF, "", end_of_file, data, 7);
  long zero = OPEN(open, "", "/dev/zero", O_RDWR);
  for (int i = 0; i < 11; i++) FD(read, zero, 4096, 0, "file_kind=char|offset=-1", zero, data, 4096);
  long numbers[] = {copy, third, 50, 51, reused, end_of_file, again, directory, zero};
  for (int i = 0; i < 9; i++) FD(close, numbers[i], 0, 0, "", numbers[i]);
  end();
}

static void paths(void) {
  struct stat facts;
  static char extended[512];
  mkdir(inside("a"), 0755);
  mkdir(inside("a/b"), 0755);
  file_with("a/file", 61);
  file_with("a/b/deep", 7);
  if (chdir(folder)) broken("chdir", errno);
  begin();
  long fd = OPEN(open, "path_arg=a/file", "a/file", O_RDONLY);
  FD(read, fd, 61, 0, "", fd, data, 4096);
  CALL(access, inside("a/file"), 0, 0, "path_arg=./a//././file", "./a//././file", 0);
  CALL(access, inside("a/b/../file"), 0, 0, "path_arg=a/b/../file", "a/b/../file", 0);
  CALL(stat, inside("a"), 0, 0, "path_arg=a/", "a/", &facts);
  CALL(lstat, folder, 0, 0, "path_arg=.", ".", &facts);
  CALL(chdir, inside("a"), 0, 0, "path_arg=a", "a");
  CALL(getcwd, inside("a"), 0, 0, "", data, 4096);
  CALL(access, inside("a/b/deep"), 0, 0, "", "b/deep", 0);
  long directory = OPEN(openat, "", AT_FDCWD, "b", O_RDONLY | O_DIRECTORY);
  long deep = OPEN(openat, "path_arg=deep", directory, "deep", O_RDWR);
  struct { uint64_t flags, mode, resolve; } how = {O_RDONLY, 0, 0};
  long deep2 = OPEN(openat2, "open_flags=0", directory, "../file", &how, sizeof(how));
  FD(pread64, deep, 7, 0, "", deep, data, 17, 0);
  FD(pread64, deep2, 17, 0, "", deep2, data, 17, 0);
  CALL(fchdir, name_of(directory), 0, 0, "", directory);
  CALL(access, inside("a/b/deep"), 0, 0, "", "deep", 0);
  CALL(faccessat, inside("a/b/deep"), 0, 0, "", directory, "deep", 0);
  CALL(newfstatat, inside("a/b/deep"), 0, 0, "", directory, "deep", &facts, 0);
  CALL(newfstatat, name_of(deep), 0, 0, format("fd=%ld|file_kind=file", deep), deep, "", &facts, AT_EMPTY_PATH);
  CALL(statx, name_of(deep), 0, 0, format("fd=%ld", deep), deep, "", AT_EMPTY_PATH, 0xfff, extended);
  CALL(statx, inside("a/b/none"), 0, ENOENT, "", directory, "none", 0, 0xfff, extended);
  CALL(newfstatat, "", 0, ENOENT, "", deep, "", &facts, 0);
  CALL(newfstatat, "relative", 0, EBADF, "", 999, "relative", &facts, 0);
  CALL(newfstatat, folder, 0, 0, "", 999, folder, &facts, 0);
  for (int i = 0; i < 13; i++) CALL(open, format("%s/a/b/none-%d", folder, i), 0, ENOENT, "fd=-1", format("none-%d", i), O_RDONLY);
  for (int i = 0; i < 7; i++) CALL(openat, inside("a/b/deep/x"), 0, ENOTDIR, "", directory, "deep/x", O_RDONLY);
  CALL(open, inside("a/b"), 0, EISDIR, "", inside("a/b"), O_WRONLY);
  CALL(open, inside("a/b/deep"), 0, EEXIST, "", "deep", O_CREAT | O_EXCL | O_RDWR, 0600);
  CALL(access, "", 0, EFAULT, "", 0, 0);
  CALL(mkdir, inside("a/b/new"), 0, 0, "", "new", 0755);
  CALL(mkdirat, inside("a/b/newer"), 0, 0, "", directory, "newer", 0755);
  CALL(mkdir, inside("a/b/new"), 0, EEXIST, "", "new", 0755);
  CALL(rmdir, inside("a/b/new"), 0, 0, "", "new");
  CALL(unlinkat, inside("a/b/newer"), 0, 0, "", directory, "newer", AT_REMOVEDIR);
  CALL(rmdir, folder, 0, ENOTEMPTY, "", folder);
  CALL(truncate, inside("a/b/deep"), 0, 0, "", "deep", 3);
  CALL(chmod, inside("a/b/deep"), 0, 0, "", "deep", 0600);
  CALL(utimensat, inside("a/b/deep"), 0, 0, "", directory, "deep", 0, 0);
  CALL(mknod, inside("a/b/fifo"), 0, 0, "", "fifo", S_IFIFO | 0600, 0);
  long fifo = OPEN(open, "file_kind=pipe", "fifo", O_RDWR);
  FD(write, fifo, 13, 0, "", fifo, data, 13);
  long made_new = OPEN(creat, "", "created", 0600);
  FD(write, made_new, 3, 0, "", made_new, data, 3);
  /* links */
  CALL(symlink, inside("a/b/soft"), 0, 0, "old_file=../file", "../file", "soft");
  CALL(symlinkat, inside("a/b/loop"), 0, 0, "old_file=loop", "loop", directory, "loop");
  CALL(readlink, inside("a/b/soft"), 0, 0, "requested_bytes=512", "soft", data, 512);
  CALL(readlinkat, inside("a/b/soft"), 0, 0, "requested_bytes=5", directory, "soft", data, 5);
  long through = OPEN(open, "path_arg=soft", "soft", O_RDONLY);
  FD(read, through, 61, 0, "", through, data, 512);
  for (int i = 0; i < 5; i++) CALL(open, inside("a/b/loop"), 0, ELOOP, "", "loop", O_RDONLY);
  CALL(link, inside("a/b/hard"), 0, 0, format("old_file=%s", inside("a/b/deep")), "deep", "hard");
  CALL(linkat, inside("a/b/harder"), 0, 0, format("old_file=%s", inside("a/b/deep")), directory, "deep", AT_FDCWD, "harder", 0);
  long hard = OPEN(open, "", "hard", O_RDONLY);
  FD(read, hard, 3, 0, "", hard, data, 512);
  FD(pread64, deep, 3, 0, "", deep, data, 17, 0);
  CALL(link, inside("a/b/hard"), 0, EEXIST, format("old_file=%s", inside("a/b/deep")), "deep", "hard");
  /* renames, with descriptors open */
  CALL(rename, inside("a/b/renamed"), 0, 0, format("old_file=%s", inside("a/b/deep")), "deep", "renamed");
  FD(pread64, deep, 3, 0, format("fd=%ld", deep), deep, data, 17, 0);
  long renamed = OPEN(open, "", "renamed", O_RDWR);
  FD(read, renamed, 3, 0, "", renamed, data, 17);
  CALL(renameat2, inside("a/b/deep"), 0, 0, format("old_file=%s", inside("a/b/renamed")), directory, "renamed", directory, "deep", 0);
  FD(pread64, renamed, 3, 0, "", renamed, data, 17, 0);
  CALL(renameat2, inside("a/b/hard"), 0, EEXIST, format("old_file=%s", inside("a/b/created")), directory, "created", AT_FDCWD, "hard", 1);
  CALL(renameat2, inside("a/b/created"), 0, 0, format("old_file=%s", inside("a/b/hard")), directory, "hard", AT_FDCWD, "created", 2);
  FD(write, made_new, 5, 0, "", made_new, data, 5); /* exchanged: the other name now */
  FD(pread64, hard, 3, 0, "", hard, data, 17, 0);
  CALL(rename, inside("a/b/nowhere"), 0, ENOENT, format("old_file=%s", inside("a/b/nothing")), "nothing", "nowhere");
  /* an ancestor gets another name while files below it are open */
  long inner = OPEN(openat, "", AT_FDCWD, "created", O_RDONLY);
  CALL(rename, inside("z"), 0, 0, format("old_file=%s", inside("a")), inside("a"), inside("z"));
  FD(pread64, inner, 3, 0, "", inner, data, 17, 0);
  FD(pread64, fd, 61, 0, "", fd, data, 512, 0);
  CALL(access, inside("z/b/deep"), 0, 0, "", "deep", 0);
  CALL(getcwd, inside("z/b"), 0, 0, "", data, 4096);
  CALL(faccessat, inside("z/b/deep"), 0, 0, "", directory, "deep", 0);
  CALL(rename, inside("a"), 0, 0, format("old_file=%s", inside("z")), inside("z"), inside("a"));
  FD(pread64, inner, 3, 0, "", inner, data, 17, 0);
  /* unlinked while open */
  long lost = OPEN(open, "", "lost", O_CREAT | O_RDWR, 0600);
  FD(write, lost, 43, 0, "", lost, data, 43);
  CALL(unlink, inside("a/b/lost"), 0, 0, "", "lost");
  FD(pread64, lost, 43, 0, "", lost, data, 512, 0);
  long fresh = OPEN(open, "", "lost", O_CREAT | O_RDWR, 0600); /* another file of that name */
  FD(write, fresh, 47, 0, "", fresh, data, 47);
  FD(pread64, lost, 43, 0, "", lost, data, 512, 0);
  CALL(unlinkat, inside("a/b/lost"), 0, 0, "", directory, "lost", 0);
  FD(close, fresh, 0, 0, "", fresh);
  CALL(unlink, inside("a/b/lost"), 0, ENOENT, "", "lost");
  long unnamed = RAW(SYS_openat, AT_FDCWD, folder, O_TMPFILE | O_RDWR, 0600);
  if (unnamed < 0) {
    note(me, "openat", folder, 0, -unnamed, format("%ld", unnamed), "");
  } else {
    link_of(unnamed, "openat", unnamed, "");
    FD(write, unnamed, 3, 0, "", unnamed, data, 3);
  }
  end();
}

static char *repeated(const char *unit, int times, const char *tail) {
  char *text = buffer(), *at = text;
  for (int i = 0; i < times; i++) at = stpcpy(at, unit);
  stpcpy(at, tail);
  return text;
}

static void names(void) {
  static const char *hostile[] = {
      "<script>alert(1)<&>", "new\nline", "tab\tand \x1b[31mcolour", "bytes-\xff\xfe\x80-end", "bidi-\xe2\x80\xae" "txt.exe",
      " spaces ", "quo'te\"s", "back\\slash", "-rf", "...", "caf\xc3\xa9-\xe6\x97\xa5\xe6\x9c\xac", "%s%n", "(deleted)"};
  char *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int saved = open(inside("path-in-a-file"), O_CREAT | O_RDWR, 0600);
  char *absolute = inside("absolute-of-a-file");
  if (pwrite(saved, absolute, strlen(absolute) + 1, 0) < 0 || pwrite(saved, "relative-of-a-file", 19, page) < 0) broken("pwrite", errno);
  char *untouched = mmap(NULL, 2 * page, PROT_READ, MAP_PRIVATE, saved, 0);
  char *across = two + page - 9;
  strcpy(across, "over-the-edge-of-a-page");
  if (chdir(folder)) broken("chdir", errno);
  begin();
  for (int i = 0; i < 13; i++) {
    long fd = OPEN(open, "", hostile[i], O_CREAT | O_RDWR, 0600);
    FD(write, fd, 5, 0, "", fd, data, 5);
    CALL(access, inside(hostile[i]), 0, 0, "", inside(hostile[i]), 0);
    CALL(access, format("%s/%s/x", folder, hostile[i]), 0, ENOTDIR, "", format("%s/x", hostile[i]), 0);
    FD(close, fd, 0, 0, "", fd);
  }
  /* a path of more than 600 bytes */
  char *wide = repeated("w", 211, "");
  long fd = OPEN(open, "", folder, O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 3; i++) {
    CALL(mkdirat, format("%s/%s", name_of(fd), wide), 0, 0, "", fd, wide, 0755);
    long next = OPEN(openat, "", fd, wide, O_RDONLY | O_DIRECTORY);
    FD(close, fd, 0, 0, "", fd);
    fd = next;
  }
  long far = OPEN(openat, "", fd, "far", O_CREAT | O_RDWR, 0600);
  FD(write, far, 59, 0, "", far, data, 59);
  /* 100 folders in one another */
  long top = OPEN(open, "", folder, O_RDONLY | O_DIRECTORY);
  CALL(fchdir, name_of(top), 0, 0, "", top);
  char *here = strcpy(buffer(), folder);
  for (int i = 0; i < 100; i++) {
    char piece[8], whole[1024];
    snprintf(piece, sizeof(piece), "n%02d", i);
    snprintf(whole, sizeof(whole), "%.900s/%s", here, piece);
    here = strcpy(buffer(), whole);
    CALL(mkdir, whole, 0, 0, "", piece, 0755);
    CALL(chdir, whole, 0, 0, "", piece);
  }
  long deep = OPEN(open, "", "deep", O_CREAT | O_RDWR, 0600);
  FD(write, deep, 61, 0, "", deep, data, 61);
  CALL(getcwd, name_of(OPEN(open, "", ".", O_RDONLY)), 0, 0, "", data, 4096);
  CALL(fchdir, name_of(top), 0, 0, "", top);
  /* the longest argument, and one byte more (of which the first 4,095 are kept) */
  char *longest = repeated("/longest", 511, "/seven+"), *longer = repeated("/longest", 511, "/eight++");
  if (strlen(longest) != 4095 || strlen(longer) != 4096) broken("a length", strlen(longest));
  for (int i = 0; i < 3; i++) CALL(access, longest, 0, ENOENT, "", longest, 0);
  char *cut = strcpy(buffer(), longer);
  cut[4095] = 0;
  for (int i = 0; i < 3; i++) CALL(access, cut, 0, ENAMETOOLONG, "", longer, 0);
  CALL(rename, longest, 0, ENOENT, format("old_file=%s", repeated("/longest", 511, "/older+")), repeated("/longest", 511, "/older+"), longest);
  /* a path argument in a page that was never touched, or has gone again, and one across two pages */
  CALL(access, inside("absolute-of-a-file"), 0, ENOENT, "", untouched, 0);
  CALL(access, inside("relative-of-a-file"), 0, ENOENT, "", untouched + page, 0);
  CALL(madvise, inside("path-in-a-file"), 0, 0, "", untouched, 2 * page, MADV_DONTNEED);
  CALL(open, inside("relative-of-a-file"), 0, ENOENT, "", untouched + page, O_RDONLY);
  CALL(open, inside("absolute-of-a-file"), 0, ENOENT, "", untouched, O_RDONLY);
  for (int i = 0; i < 3; i++) CALL(access, inside("over-the-edge-of-a-page"), 0, ENOENT, "", across, 0);
  CALL(access, "", 0, EFAULT, "", 8, 0);
  end();
}

static void transfers(void) {
  int pipe[2], second[2];
  file_with("source", 997);
  begin();
  long source = OPEN(open, "", inside("source"), O_RDONLY), target = OPEN(open, "", inside("target"), O_CREAT | O_RDWR, 0600);
  PAIR(pipe2, pipe, pipe, 0);
  PAIR(pipe, second, second);
  char *from = name_of(source), *to = name_of(target), *in = name_of(pipe[1]), *out = name_of(pipe[0]);
  for (int i = 0; i < 7; i++)
    CALL(sendfile, to, 11, 0, format("old_file=%s|old_offset=%d|offset=%d|requested_bytes=11", from, 11 * i, 11 * i), target, source, 0, 11);
  int64_t at = 100, there = 500;
  CALL(sendfile, to, 13, 0, format("old_file=%s|old_offset=100", from), target, source, &at, 13);
  at = 200;
  from = name_of(source), to = name_of(target);
  CALL(copy_file_range, to, 17, 0, format("old_file=%s|old_offset=200|offset=500", from), source, &at, target, &there, 17, 0);
  CALL(copy_file_range, to, 19, 0, format("old_file=%s|old_offset=77|offset=90", from), source, 0, target, 0, 19, 0);
  at = 300;
  in = name_of(pipe[1]), out = name_of(pipe[0]);
  from = name_of(source), to = name_of(target);
  CALL(splice, in, 23, 0, format("old_file=%s|old_offset=300|offset=-1", from), source, &at, pipe[1], 0, 23, 0);
  CALL(tee, name_of(second[1]), 23, 0, format("old_file=%s", name_of(pipe[0])), pipe[0], second[1], 29, 0);
  there = 700;
  to = name_of(target), out = name_of(pipe[0]);
  CALL(splice, to, 23, 0, format("old_file=%s|offset=700|old_offset=-1", out), pipe[0], 0, target, &there, 23, 0);
  struct iovec parts[2] = {{data, 31}, {data, 6}};
  FD(vmsplice, pipe[1], 37, 0, "requested_bytes=37", pipe[1], parts, 2, 0);
  for (int i = 0; i < 5; i++) FD(write, pipe[1], 41, 0, "file_kind=pipe", pipe[1], data, 41);
  FD(read, pipe[0], 242, 0, "requested_bytes=1024|offset=-1", pipe[0], data, 1024);
  FD(read, second[0], 23, 0, "", second[0], data, 1024);
  CALL(sendfile, "", 0, EBADF, format("old_file=%s", name_of(source)), 888, source, 0, 11);
  CALL(splice, name_of(target), 0, EBADF, "old_file=", 888, 0, target, 0, 11, 0);
  FD(close, pipe[1], 0, 0, "", pipe[1]);
  FD(read, pipe[0], 0, 0, "", pipe[0], data, 1024);
  end();
}

static void sockets(void) {
  int stream[2], datagram[2];
  file_with("passed", 83);
  struct iovec parts[2] = {{data, 5}, {data, 6}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "ior-nb-%d", getpid());
  socklen_t size = sizeof(address);
  begin();
  PAIR(socketpair, stream, AF_UNIX, SOCK_STREAM, 0, stream);
  PAIR(socketpair, datagram, AF_UNIX, SOCK_DGRAM, 0, datagram);
  for (int i = 0; i < 7; i++) FD(sendto, stream[0], 17, 0, "requested_bytes=17|socket=unix:stream:0|file_kind=socket", stream[0], data, 17, 0, 0, 0);
  FD(recvfrom, stream[1], 0, 0, "requested_bytes=64", stream[1], data, 64, MSG_PEEK, 0, 0);
  FD(recvfrom, stream[1], 64, 0, "", stream[1], data, 64, 0, 0, 0);
  FD(read, stream[1], 55, 0, "", stream[1], data, 512);
  FD(sendto, datagram[0], 31, 0, "socket=unix:dgram:0", datagram[0], data, 31, 0, 0, 0);
  FD(recvfrom, datagram[1], 0, 0, "", datagram[1], data, 7, MSG_PEEK | MSG_TRUNC, 0, 0);
  FD(recvfrom, datagram[1], 7, 0, "requested_bytes=7", datagram[1], data, 7, MSG_TRUNC, 0, 0);
  FD(sendmsg, datagram[0], 11, 0, "requested_bytes=11", datagram[0], &message, 0);
  FD(recvmsg, datagram[1], 0, 0, "requested_bytes=11", datagram[1], &message, MSG_PEEK);
  FD(recvmsg, datagram[1], 11, 0, "requested_bytes=11", datagram[1], &message, 0);
  FD(write, datagram[0], 29, 0, "", datagram[0], data, 29);
  FD(recvmsg, datagram[1], 11, 0, "", datagram[1], &message, MSG_TRUNC);
  for (int i = 0; i < 3; i++) FD(recvfrom, stream[1], 0, EAGAIN, "", stream[1], data, 64, MSG_DONTWAIT, 0, 0);
  /* a listening socket, a connection */
  long listening = OPEN(socket, "socket=unix:stream:0", AF_UNIX, SOCK_STREAM, 0), client = OPEN(socket, "", AF_UNIX, SOCK_STREAM, 0);
  FD(bind, listening, 0, 0, "", listening, &address, size);
  FD(listen, listening, 0, 0, "", listening, 5);
  FD(connect, client, 0, 0, "", client, &address, size);
  FD(getsockname, listening, 0, 0, "", listening, &address, &size);
  long server = FD(accept4, listening, 0, 0, "", listening, 0, 0, 0);
  FD(write, client, 19, 0, "", client, data, 19);
  FD(read, server, 19, 0, "", server, data, 512);
  FD(shutdown, client, 0, 0, "", client, SHUT_WR);
  FD(recvfrom, server, 0, 0, "", server, data, 64, 0, 0, 0);
  int option = 1;
  FD(setsockopt, server, 0, 0, "", server, SOL_SOCKET, SO_KEEPALIVE, &option, sizeof(option));
  long inet = OPEN(socket, "socket=inet:dgram:udp", AF_INET, SOCK_DGRAM, 17), netlink = OPEN(socket, "socket=netlink:raw:0", AF_NETLINK, SOCK_RAW, 0);
  FD(close, netlink, 0, 0, "", netlink);
  FD(close, inet, 0, 0, "", inet);
  /* a descriptor that arrives over a socket */
  union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = {{0}};
  message = (struct msghdr){.msg_iov = parts, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
  long child = RAW(SYS_fork, 0);
  if (child_of(child)) {
    FD(recvmsg, stream[1], 5, 0, "", stream[1], &message, 0);
    int arrived;
    memcpy(&arrived, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(arrived));
    for (int i = 0; i < 11; i++) FD(pread64, arrived, 13, 0, format("offset=%d", i), arrived, data, 13, i);
    FD(close, arrived, 0, 0, "", arrived);
    leave(0);
  }
  note(me, NAME(fork), "", 0, 0, format("%ld", child), "");
  long passed = OPEN(open, "", inside("passed"), O_RDONLY);
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  *head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
  int number = passed;
  memcpy(CMSG_DATA(head), &number, sizeof(number));
  FD(sendmsg, stream[0], 5, 0, "", stream[0], &message, 0);
  FD(close, passed, 0, 0, "", passed);
  wait_for(child);
  end();
}

static void anonymous(void) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.fd = 5};
  uint64_t one = 1;
  sigset_t mask;
  sigemptyset(&mask);
  file_with("watched", 3);
  begin();
  for (int i = 0; i < 3; i++) { /* the same number and, in the kernel, the same inode: two kinds of file */
    long counter = OPEN(eventfd2, "", 0, 0);
    FD(write, counter, 8, 0, "file_kind=anon", counter, &one, 8);
    FD(read, counter, 8, 0, "", counter, &one, 8);
    FD(close, counter, 0, 0, "", counter);
    long poller = OPEN(epoll_create1, "", 0);
    if (poller != counter) broken("fd reuse", poller);
    long watched = OPEN(eventfd2, "", 7, 0);
    char *name = name_of(poller);
    CALL(epoll_ctl, name, 0, 0, format("epoll_op=ADD|epoll_target_fd=%ld|epoll_events=5", watched), poller, EPOLL_CTL_ADD, watched, &event);
    CALL(epoll_ctl, name_of(poller), 0, EEXIST, "epoll_op=ADD", poller, EPOLL_CTL_ADD, watched, &event);
    CALL(epoll_ctl, name_of(poller), 0, 0, "epoll_op=MOD", poller, EPOLL_CTL_MOD, watched, &event);
    struct epoll_event got[3];
    FD(epoll_wait, poller, 0, 0, "nfds=3|timeout_ns=17000000", poller, got, 3, 17);
    CALL(epoll_ctl, name_of(poller), 0, 0, "epoll_op=DEL", poller, EPOLL_CTL_DEL, watched, &event);
    FD(epoll_pwait, poller, 0, 0, "nfds=2|timeout_ns=0", poller, got, 2, 0, 0, 8);
    FD(close, poller, 0, 0, "", poller);
    FD(close, watched, 0, 0, "", watched);
  }
  long memory = OPEN(memfd_create, "path_arg=seven", "seven", 0);
  FD(write, memory, 67, 0, "offset=0", memory, data, 67);
  FD(pread64, memory, 23, 0, "", memory, data, 23, 1);
  FD(ftruncate, memory, 0, 0, "", memory, 5);
  long timer = OPEN(timerfd_create, "", CLOCK_MONOTONIC, O_NONBLOCK);
  FD(read, timer, 0, EAGAIN, "", timer, data, 8);
  long watch = OPEN(inotify_init1, "", O_NONBLOCK);
  CALL(inotify_add_watch, inside("watched"), 0, 0, format("fd=%ld", watch), watch, inside("watched"), 2);
  FD(read, watch, 0, EAGAIN, "", watch, data, 512);
  long signals = OPEN(signalfd4, "", -1, &mask, 8, O_NONBLOCK);
  FD(read, signals, 0, EAGAIN, "", signals, data, 512);
  long self = OPEN(pidfd_open, "", getpid_before, 0);
  FD(pidfd_send_signal, self, 0, 0, "", self, 0, 0, 0);
  long taken = OPEN(pidfd_getfd, "", self, memory, 0);
  FD(pread64, taken, 5, 0, "", taken, data, 23, 0);
  long path_only = OPEN(open, "", inside("watched"), O_PATH);
  FD(read, path_only, 0, EBADF, "", path_only, data, 3);
  long high = FD(fcntl, memory, 0, 0, "", memory, F_DUPFD, 900); /* beyond the first table of descriptors */
  FD(pread64, high, 5, 0, "fd=900", high, data, 23, 0);
  CALL(close_range, name_of(high), 0, 0, "fd=900", high, high + 30, 0);
  end();
}

static void processes(void) {
  int numbers[2];
  file_with("inherited", 79);
  int kept = open(inside("inherited"), O_RDONLY);
  char *arguments[] = {argument, strdup(format("%d", kept)), NULL}, *nothing[] = {NULL};
  struct clone_args clone3 = {.exit_signal = SIGCHLD};
  begin();
  PAIR(pipe2, numbers, numbers, 0);
  for (int i = 0; i < 5; i++) {
    long child = i < 3 ? RAW(SYS_fork, 0) : i < 4 ? RAW(SYS_clone, SIGCHLD, 0, 0, 0, 0) : RAW(SYS_clone3, &clone3, sizeof(clone3));
    if (child_of(child)) {
      for (int k = 0; k < 13; k++) FD(pread64, kept, 7, 0, "", kept, data, 7, k);
      FD(write, numbers[1], 1 + i, 0, format("pid=%d|tid=%d", me, me), numbers[1], data, 1 + i);
      FD(close, kept, 0, 0, "", kept);
      long own = OPEN(open, "", inside("inherited"), O_RDONLY);
      FD(read, own, 79, 0, "", own, data, 512);
      if (i == 2) {
        note(me, "exit", "", 0, 0, "", "state=no return");
        RAW(SYS_exit, 0);
      }
      leave(0);
    }
    note(me, i < 3 ? NAME(fork) : i < 4 ? "clone" : "clone3", "", 0, 0, format("%ld", child), "");
    wait_for(child);
  }
  FD(read, numbers[0], 15, 0, "", numbers[0], data, 512);
  /* a program executed by a child; what the program does is known too (tiny.c) */
  for (int i = 0; i < 3; i++) {
    long child = RAW(SYS_fork, 0);
    if (child_of(child)) {
      CALL(execve, inside("no-such-program"), 0, ENOENT, "", inside("no-such-program"), arguments, nothing);
      char *name = name_of(kept);
      note(me, "execve", argument, 0, 0, "0", format("comm=tiny|ppid=%d|state=done", getpid_before));
      for (int k = 0; k < 11; k++) note(me, "read", name, k < 6 ? 13 : k == 6 ? 1 : 0, 0, "", format("comm=tiny|fd=%d", kept));
      note(me, "exit_group", "", 0, 0, "", "comm=tiny|state=no return");
      RAW(SYS_execve, argument, arguments, nothing);
      broken("execve", -1);
    }
    note(me, NAME(fork), "", 0, 0, format("%ld", child), "");
    wait_for(child);
    FD(lseek, kept, 0, 0, "", kept, 0, SEEK_SET);
  }
  end();
}

static int thread_fd;

static void *reader(void *number) {
  me = RAW(SYS_gettid, 0);
  __atomic_fetch_add(&shared->ready, 1, __ATOMIC_SEQ_CST);
  spin_until(&shared->go, 1);
  char mine[64];
  for (int i = 0; i < 101; i++) FD(pread64, thread_fd, 5 + (long)number, 0, format("offset=%d|tid=%d|pid=%d", i, me, getpid_before), thread_fd, mine, 5 + (long)number, i);
  __atomic_fetch_add(&shared->done, 1, __ATOMIC_SEQ_CST);
  spin_until(&shared->go, 2);
  return NULL;
}

static void threads(void) {
  pthread_t thread[7];
  file_with("shared", 499);
  thread_fd = open(inside("shared"), O_RDONLY);
  for (long i = 0; i < 7; i++) pthread_create(&thread[i], NULL, reader, (void *)i);
  spin_until(&shared->ready, 7);
  begin();
  shared->go = 1;
  spin_until(&shared->done, 7);
  end();
  shared->go = 2;
  for (int i = 0; i < 7; i++) pthread_join(thread[i], NULL);
}

static void *executing(void *unused) {
  (void)unused;
  me = RAW(SYS_gettid, 0);
  char *arguments[] = {argument, format("%d", thread_fd), NULL}, *nothing[] = {NULL};
  int leader = getpid();
  __atomic_fetch_add(&shared->ready, 1, __ATOMIC_SEQ_CST);
  spin_until(&shared->go, 1);
  CALL(execve, inside("no-such-program"), 0, ENOENT, format("tid=%d", me), inside("no-such-program"), arguments, nothing);
  char *name = name_of(thread_fd);
  note(leader, "execve", argument, 0, 0, "0", format("comm=tiny|pid=%d|tid=%d", leader, leader));
  for (int k = 0; k < 11; k++) note(leader, "read", name, k < 6 ? 13 : k == 6 ? 1 : 0, 0, "", "comm=tiny");
  note(leader, "exit_group", "", 0, 0, "", "comm=tiny|state=no return");
  RAW(SYS_execve, argument, arguments, nothing);
  return NULL;
}

static void thread_exec(void) {
  file_with("inherited", 79);
  thread_fd = open(inside("inherited"), O_RDONLY);
  pid_t child = fork();
  if (!child) {
    pthread_t thread;
    pthread_create(&thread, NULL, executing, NULL);
    __atomic_fetch_add(&shared->ready, 1, __ATOMIC_SEQ_CST); /* what libc does after the start is done too */
    for (;;) relax();
  }
  spin_until(&shared->ready, 2);
  begin();
  shared->go = 1;
  wait_for(child);
  end();
}

static void memory(void) {
  int file = open(inside("mapped"), O_CREAT | O_RDWR, 0600);
  if (ftruncate(file, 3 * page)) broken("ftruncate", errno);
  long top = (long)sbrk(0);
  begin();
  for (int i = 1; i <= 7; i++) {
    long at = CALL(mmap, "", 0, 0, format("address_space_bytes=%ld", page * i), 0, page * i - 17, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CALL(madvise, "", 0, 0, "address_space_bytes=0", at, page, MADV_DONTNEED);
    CALL(mprotect, "", 0, 0, "", at, page * i, PROT_READ);
    at = CALL(mremap, "", 0, 0, format("address_space_bytes=%ld", page * (i + 3)), at, page * i, page * (i + 3), MREMAP_MAYMOVE);
    CALL(munmap, "", 0, 0, format("address_space_bytes=%ld", page * (i + 3)), at, page * (i + 3));
  }
  long view = FD(mmap, file, 0, 0, format("address_space_bytes=%ld", 3 * page), 0, 3 * page, PROT_READ, MAP_SHARED, file, 0);
  CALL(msync, name_of(file), 0, 0, "", view, page, MS_SYNC);
  CALL(munmap, name_of(file), 0, 0, format("address_space_bytes=%ld", 3 * page), view, 3 * page);
  CALL(munmap, "", 0, EINVAL, "address_space_bytes=0", 1, page);
  CALL(mmap, "", 0, EINVAL, "address_space_bytes=0", 0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CALL(mmap, "", 0, EBADF, "address_space_bytes=0", 0, page, PROT_READ, MAP_PRIVATE, 999, 0);
  CALL(brk, "", 0, 0, "address_space_bytes=0", 0);
  CALL(brk, "", 0, 0, format("address_space_bytes=%ld", 5 * page), top + 5 * page);
  CALL(brk, "", 0, 0, format("address_space_bytes=%ld", 5 * page), top);
  CALL(getrandom, "", 19, 0, "requested_bytes=19", data, 19, 0);
  end();
}

static volatile int handled;

static void on_signal(int number) { handled += number; }

static void waits(void) {
  int numbers[2];
  struct timespec nap = {0, 3000000}, bad = {0, 1000000000}, none = {0, 0}, another = {0, 3000000}, late = {1, 0};
  struct timeval tenth = {0, 50000};
  struct sigaction action = {.sa_handler = on_signal};
  sigset_t empty;
  sigemptyset(&empty);
  if (pipe(numbers)) broken("pipe", errno);
  struct pollfd polled[2] = {{numbers[0], POLLIN, 0}, {numbers[1], POLLOUT, 0}};
  sigaction(SIGUSR1, &action, NULL);
  fd_set set;
  int missing = RAW(SYS_epoll_pwait2, -1, 0, 0, 0, 0, 0) == -ENOSYS ? ENOSYS : 0; /* came with 5.11 */
  begin();
  for (int i = 0; i < 5; i++) CALL(nanosleep, "", 0, 0, "requested_sleep_ns=3000000", &nap, 0);
  CALL(nanosleep, "", 0, EINVAL, "requested_sleep_ns=-1", &bad, 0);
  CALL(clock_nanosleep, "", 0, 0, "requested_sleep_ns=3000000", CLOCK_MONOTONIC, 0, &nap, 0);
  CALL(clock_nanosleep, "", 0, 0, "requested_sleep_ns=-1", CLOCK_MONOTONIC, TIMER_ABSTIME, &nap, 0);
  for (int i = 0; i < 3; i++) CALL(poll, "", 0, 0, "nfds=1|timeout_ns=11000000", polled, 1, 11);
  CALL(poll, "", 0, 0, "nfds=2|timeout_ns=-1", polled, 2, -1);
  CALL(ppoll, "", 0, 0, "nfds=1|timeout_ns=3000000", polled, 1, &another, 0, 8);
  CALL(ppoll, "", 0, 0, "nfds=2|timeout_ns=-1", polled, 2, 0, 0, 8);
  CALL(ppoll, "", 0, EINVAL, "nfds=1|timeout_ns=-2", polled, 1, &bad, 0, 8);
  FD_ZERO(&set);
  FD_SET(numbers[0], &set);
  CALL(select, "", 0, 0, format("nfds=%d|timeout_ns=50000000", numbers[0] + 1), numbers[0] + 1, &set, 0, 0, &tenth);
  CALL(pselect6, "", 0, 0, "nfds=0|timeout_ns=0", 0, 0, 0, 0, &none, 0);
  long poller = OPEN(epoll_create1, "", 0);
  struct epoll_event got[5];
  FD(epoll_wait, poller, 0, 0, "nfds=5|timeout_ns=7000000", poller, got, 5, 7);
  FD(epoll_pwait2, poller, 0, missing, "nfds=5|timeout_ns=3000000", poller, got, 5, &nap, 0, 8);
  CALL(epoll_wait, "", 0, EBADF, "nfds=5", 999, got, 5, 7);
  /* signals: the return from a handler never returns; an interrupted wait is restarted or not, but did not fail */
  for (int i = 0; i < 3; i++) {
    note(me, "kill", "", 0, 0, "0", "");
    note(me, "rt_sigreturn", "", 0, 0, "", "state=no return");
    RAW(SYS_kill, getpid_before, SIGUSR1);
  }
  sigset_t user;
  sigemptyset(&user);
  sigaddset(&user, SIGUSR1);
  CALL(rt_sigprocmask, "", 0, 0, "", SIG_BLOCK, &user, 0, 8);
  CALL(kill, "", 0, 0, "", getpid_before, SIGUSR1);
  note(me, "rt_sigsuspend", "", 0, 0, "-514", "");
  note(me, "rt_sigreturn", "", 0, 0, "", "state=no return");
  RAW(SYS_rt_sigsuspend, &empty, 8);
  CALL(kill, "", 0, 0, "", getpid_before, SIGUSR1);
  note(me, "ppoll", "", 0, 0, "-514", "timeout_ns=1000000000");
  note(me, "rt_sigreturn", "", 0, 0, "", "state=no return");
  RAW(SYS_ppoll, 0, 0, &late, &empty, 8);
  if (handled != 5 * SIGUSR1) broken("signals", handled);
  end();
}

/* In a chroot an absolute path starts elsewhere. */
static void jail(void) {
  mkdir(inside("jail"), 0755);
  file_with("jail/inmate", 29);
  begin();
  long child = RAW(SYS_fork, 0);
  if (child_of(child)) {
    CALL(chroot, inside("jail"), 0, 0, "", inside("jail"));
    CALL(access, inside("jail/inmate"), 0, 0, "path_arg=/inmate", "/inmate", 0);
    long fd = RAW(SYS_open, "/inmate", O_RDONLY);
    note(me, NAME(open), inside("jail/inmate"), 0, 0, format("%ld", fd), "path_arg=/inmate");
    CALL(read, inside("jail/inmate"), 29, 0, "", fd, data, 512);
    CALL(access, inside("jail/none"), 0, ENOENT, "", "/none", 0);
    leave(0);
  }
  note(me, NAME(fork), "", 0, 0, format("%ld", child), "");
  wait_for(child);
  end();
}

/* ---- helpers of other tests: no markers, no log ----------------------------------------------------------- */

/* Wait for a byte on descriptor 0, then read from descriptor ARGUMENT, to which nobody writes. */
static void block(void) {
  RAW(SYS_read, 0, data, 1);
  RAW(SYS_read, atol(argument), data, 1);
}

/* ARGUMENT times 13 bytes out of /dev/zero and into /dev/null. */
static void load(void) {
  int from = open("/dev/zero", O_RDONLY), to = open("/dev/null", O_WRONLY);
  for (long left = atol(argument); left; left--) {
    RAW(SYS_read, from, data, 13);
    RAW(SYS_write, to, data, 13);
  }
}

/* The same for ever, with breaths that leave something of the machine to others. */
static void drip(void) {
  struct timespec breath = {0, 1000000};
  argument = "101";
  for (;;) {
    load();
    RAW(SYS_close, 3);
    RAW(SYS_close, 4);
    RAW(SYS_nanosleep, &breath, 0);
  }
}

/* Short lives: 499 processes and 499 threads, one after the other, each with one read of 3 bytes. */
static void *one_read(void *unused) {
  RAW(SYS_pread64, thread_fd, data, 3, 0);
  return unused;
}

static void churn(void) {
  pthread_t thread;
  file_with("churned", 3);
  thread_fd = open(inside("churned"), O_RDONLY);
  for (int i = 0; i < 499; i++) {
    long child = RAW(SYS_fork, 0);
    if (!child) {
      one_read(NULL);
      RAW(SYS_exit_group, 0);
    }
    RAW(SYS_wait4, child, 0, 0, 0);
    if (pthread_create(&thread, NULL, one_read, NULL)) broken("pthread_create", i);
    pthread_join(thread, NULL);
  }
}

/* Calls that are not of this table: 11 by the 32-bit entry of x86, whose numbers mean others, and 7 nobody has. */
static void strange(void) {
#ifdef __x86_64__
  for (int i = 0; i < 11; i++) {
    int ret;
    __asm__ volatile("int $0x80" : "=a"(ret) : "a"(20) : "memory"); /* getpid there; writev here */
    if (ret != getpid_before) broken("the 32-bit entry", ret);
  }
#endif
  for (int i = 0; i < 7; i++)
    if (RAW(600 + i, 0) != -ENOSYS) broken("an unknown call", i);
}

/* Stop; once continued, read and write for ARGUMENT rounds in the ways /proc/PID/io counts. */
static void witness(void) {
  struct iovec parts[2] = {{data, 5}, {data, 6}};
  int fd = open(inside(format("witness-%d", getpid_before)), O_CREAT | O_RDWR | O_TRUNC, 0600);
  int null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);
  raise(SIGSTOP);
  for (long i = 0, rounds = atol(argument); i < rounds; i++) {
    RAW(SYS_pwrite64, fd, data, 13, 0);
    RAW(SYS_pwritev, fd, parts, 2, 0, 0);
    RAW(SYS_pread64, fd, data, 19, 0);
    RAW(SYS_preadv2, fd, parts, 1, 0, 0, 0);
    RAW(SYS_readv, zero, parts, 2);
    RAW(SYS_read, zero, data, 3);
    RAW(SYS_write, null, data, 17);
    RAW(SYS_writev, null, parts, 1);
    if (i % 101 == 0) {
      RAW(SYS_lseek, fd, 0, SEEK_SET);
      RAW(SYS_sendfile, null, fd, 0, 7);
      RAW(SYS_read, 999, data, 3);
      RAW(SYS_write, zero, data, 0);
    }
  }
}

/* ---- main ------------------------------------------------------------------------------------------------- */

static const struct {
  const char *name;
  void (*run)(void);
} scenarios[] = {{"descriptors", descriptors}, {"paths", paths}, {"names", names}, {"transfers", transfers}, {"sockets", sockets},
                 {"anonymous", anonymous}, {"processes", processes}, {"threads", threads}, {"thread-exec", thread_exec},
                 {"memory", memory}, {"waits", waits}, {"jail", jail}, {"block", block}, {"load", load}, {"drip", drip}, {"churn", churn}, {"strange", strange}, {"witness", witness}};

int main(int count, char **words) {
  if (count < 4) return 2;
  folder = words[1];
  argument = count > 4 ? words[4] : "";
  getpid_before = me = getpid();
  page = sysconf(_SC_PAGESIZE);
  shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 3;
  for (unsigned i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
    if (strcmp(scenarios[i].name, words[3])) continue;
    scenarios[i].run();
    if (!shared->used) return 0;
    int log = open(words[2], O_CREAT | O_WRONLY | O_TRUNC, 0600);
    for (long at = 0, n; at < shared->used; at += n)
      if ((n = write(log, shared->text + at, shared->used - at)) <= 0) return 4;
    return 0;
  }
  return 2;
}

/* Calls that a filter of seccomp, or a tracer, answers before they begin. Usage: refused SCENARIO [ARGUMENT] */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_SYSEMU
#define PTRACE_SYSEMU 31
#endif

/* What a process has not read itself of its file nobody can read for it: a refused call does not, and a child that was just
 * forked has no page tables of files. */
static const char *touched(const char *text) {
  char first = *(const volatile char *)text;
  (void)first;
  return text;
}

/* From now on `call` is answered by `action`, and `and_call` by `and_action`; returns the listener where one is asked for. */
static int forbid(long call, unsigned action, long and_call, unsigned and_action, unsigned flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)and_call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, and_action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  long got = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (got < 0) _exit(90);
  return got;
}

static void ended(pid_t child) {
  int status;
  if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) _exit(91);
}

/* 7 mkdirat with EPERM; 3 renameat2 with EXDEV, two paths. */
static void paths(void) {
  forbid(SYS_mkdirat, SECCOMP_RET_ERRNO | EPERM, SYS_renameat2, SECCOMP_RET_ERRNO | EXDEV, 0);
  for (int i = 0; i < 7; i++) mkdirat(AT_FDCWD, touched("/ior-refused/folder"), 0700);
  for (int i = 0; i < 3; i++) syscall(SYS_renameat2, AT_FDCWD, touched("/ior-refused/from"), AT_FDCWD, touched("/ior-refused/to"), 0);
}

/* 5 pread64 of a file named for the first time with EIO; 2 write that only seem to succeed (errno 0). */
static void files(void) {
  int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  char byte;
  forbid(SYS_pread64, SECCOMP_RET_ERRNO | EIO, SYS_writev, SECCOMP_RET_ERRNO, 0);
  struct iovec one[2] = {{&byte, 1}, {&byte, 1}};
  for (int i = 0; i < 5; i++)
    if (pread(fd, &byte, 1, 3) != -1 || errno != EIO) _exit(92);
  for (int i = 0; i < 2; i++)
    if (writev(null, one, 2) != 0) _exit(93);
}

static void *first_of_a_thread(void *none) {
  (void)none;
  syscall(SYS_mkdirat, AT_FDCWD, touched("/ior-refused/thread"), 0700);
  return 0;
}

/* The first call of a process, of one made by vfork, and of a thread is refused: 11 and 5 mkdirat, and 3 of threads. */
static void first(void) {
  forbid(SYS_mkdirat, SECCOMP_RET_ERRNO | EACCES, -1, 0, 0);
  for (int i = 0; i < 11; i++) {
    pid_t child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!child) {
      syscall(SYS_mkdirat, AT_FDCWD, "/ior-refused/child", 0700);
      _exit(0);
    }
    ended(child);
  }
  for (int i = 0; i < 5; i++) {
    pid_t child = vfork();
    if (!child) {
      syscall(SYS_mkdirat, AT_FDCWD, touched("/ior-refused/vfork"), 0700);
      _exit(0);
    }
    ended(child);
  }
  for (int i = 0; i < 3; i++) {
    pthread_t thread;
    pthread_create(&thread, 0, first_of_a_thread, 0);
    pthread_join(thread, 0);
  }
}

static volatile sig_atomic_t trapped;
static void on_signal(int signal) { trapped += signal == SIGSYS; }

/* 7 openat are answered by SIGSYS. */
static void trap(void) {
  signal(SIGSYS, on_signal);
  forbid(SYS_openat, SECCOMP_RET_TRAP, -1, 0, 0);
  for (int i = 0; i < 7; i++) syscall(SYS_openat, AT_FDCWD, touched("/ior-refused/trap"), O_RDONLY);
  if (trapped != 7) _exit(94);
}

/* A mkdirat is the last call of a child. */
static void fatal(void) {
  pid_t child = fork();
  int status;
  if (!child) {
    forbid(SYS_mkdirat, SECCOMP_RET_KILL_PROCESS, -1, 0, 0);
    syscall(SYS_mkdirat, AT_FDCWD, touched("/ior-refused/fatal"), 0700);
    _exit(0);
  }
  if (waitpid(child, &status, 0) < 0 || !WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) _exit(95);
}

/* A supervisor answers 5 openat: 3 with EBUSY and 2 with a descriptor of its own choice. */
static void supervised(void) {
  int listener = forbid(SYS_mkdirat, SECCOMP_RET_USER_NOTIF, SYS_openat, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  pid_t child = fork();
  if (!child) {
    for (int i = 0; i < 3; i++)
      if (syscall(SYS_mkdirat, AT_FDCWD, touched("/ior-refused/asked"), 0700) != -1 || errno != EBUSY) _exit(1);
    for (int i = 0; i < 2; i++)
      if (syscall(SYS_openat, AT_FDCWD, touched("/ior-refused/given"), O_RDONLY) != 200) _exit(2);
    _exit(0);
  }
  for (int i = 0; i < 5; i++) {
    struct seccomp_notif asked;
    struct seccomp_notif_resp answer;
    memset(&asked, 0, sizeof(asked));
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) _exit(96);
    memset(&answer, 0, sizeof(answer));
    answer.id = asked.id;
    if (asked.data.nr == SYS_openat) {
      struct seccomp_notif_addfd given = {.id = asked.id, .flags = SECCOMP_ADDFD_FLAG_SETFD, .srcfd = 0, .newfd = 200};
      if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &given) < 0) _exit(97);
      answer.val = 200;
    } else {
      answer.error = -EBUSY;
    }
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer)) _exit(98);
  }
  ended(child);
}

/* A tracer answers every call of a child, and counts its mkdirat (7) in the exit status. */
static void emulated(void) {
#ifdef __x86_64__
  pid_t child = fork();
  int status, seen = 0;
  if (!child) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    for (int i = 0; i < 7; i++) syscall(SYS_mkdirat, AT_FDCWD, touched("/ior-refused/emulated"), 0700);
    for (;;) syscall(SYS_exit_group, 0);
  }
  waitpid(child, &status, 0);
  while (seen < 8) {
    ptrace(PTRACE_SYSEMU, child, 0, 0);
    if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) _exit(99);
    seen += 1;
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
#endif
}

static void *waits(void *fd) {
  char byte;
  if (read((int)(intptr_t)fd, &byte, 1) != 1) _exit(100);
  for (int i = 0; i < 5; i++) syscall(SYS_mkdirat, AT_FDCWD, touched("/ior-refused/late"), 0700);
  return 0;
}

/* Says "r", waits on standard input in two threads, each of which then has 5 calls refused. */
static void late(void) {
  pthread_t thread;
  forbid(SYS_mkdirat, SECCOMP_RET_ERRNO | EPERM, -1, 0, 0);
  pthread_create(&thread, 0, waits, 0);
  if (write(1, "r", 1) != 1) _exit(101);
  waits(0);
  pthread_join(thread, 0);
}

int main(int count, char **argument) {
  static const struct { const char *name; void (*run)(void); } scenarios[] = {
      {"paths", paths}, {"files", files}, {"first", first}, {"trap", trap},
      {"fatal", fatal}, {"supervised", supervised}, {"emulated", emulated}, {"late", late},
  };
  for (unsigned i = 0; count > 1 && i < sizeof(scenarios) / sizeof(*scenarios); i++)
    if (!strcmp(scenarios[i].name, argument[1])) {
      scenarios[i].run();
      return 0;
    }
  return 2;
}

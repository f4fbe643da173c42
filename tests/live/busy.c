/* Processes that are busy with system calls on few CPUs, so that the kernel often takes a CPU away in the middle of one.
 *
 *   busy FOLDER PROCESSES ROUNDS CPU[,CPU...]
 *
 * Each of them stays on one of the CPUs and works with files whose names hold its own id, from the same moment on as
 * the others. A round is: openat, write, three pread64 of a size that is its own, renameat2, close, unlinkat.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TAIL = 150, MOST = 64 };

static int work(const char *folder, int rounds) {
  char tail[TAIL + 1] = {0}, name[512], after[512], data[128] = {0};
  int me = getpid(), size = 1 + me % 97, bad = 0;
  memset(tail, 'a' + me % 26, TAIL);
  for (int i = 0; i < rounds; i++) {
    snprintf(name, sizeof(name), "%s/%d-%d-%s", folder, me, i, tail);
    snprintf(after, sizeof(after), "%s/%d-%d-after-%s", folder, me, i, tail);
    long fd = syscall(SYS_openat, AT_FDCWD, name, O_CREAT | O_RDWR, 0600);
    bad |= syscall(SYS_write, fd, data, sizeof(data)) != sizeof(data);
    for (int k = 0; k < 3; k++) bad |= syscall(SYS_pread64, fd, data, size, 0L) != size;
    bad |= syscall(SYS_renameat2, AT_FDCWD, name, AT_FDCWD, after, 0) != 0;
    bad |= syscall(SYS_close, fd) != 0;
    bad |= syscall(SYS_unlinkat, AT_FDCWD, after, 0) != 0;
  }
  return bad;
}

int main(int count, char **words) {
  if (count != 5) return 2;
  int processes = atoi(words[2]), cpus[MOST], known = 0, gate[2], bad = 0, status;
  for (char *word = strtok(words[4], ","); word && known < MOST; word = strtok(NULL, ",")) cpus[known++] = atoi(word);
  if (!known || pipe(gate)) return 2;
  for (int i = 0; i < processes; i++) {
    if (fork()) continue;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpus[i % known], &set);
    if (sched_setaffinity(0, sizeof(set), &set)) return 3;
    char none;
    close(gate[1]);
    if (read(gate[0], &none, 1)) return 4; /* returns when the parent has closed its end: all start at once */
    return work(words[1], atoi(words[3]));
  }
  close(gate[1]);
  while (wait(&status) > 0) bad |= status;
  return bad != 0;
}

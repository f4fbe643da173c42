/* Changes its rights call by call, and opens a file in each state, which is not there: its name is the state's.
 * changes OTHER [ALSO]: OTHER is another user's number; with ALSO user numbers are changed too, which takes CAP_SETUID. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void look(const char *name) { open(name, O_RDONLY); }
static void dumpable(int value) { prctl(PR_SET_DUMPABLE, value, 0, 0, 0); }
static void *beside(void *nothing) { look("/ior-beside"); return nothing; }

int main(int count, char **words) {
  uid_t me = getuid(), other = atoi(words[1]);
  pthread_t thread;
  look("/ior-plain");
  dumpable(0);
  look("/ior-undumpable");
  pthread_create(&thread, 0, beside, 0);   /* a thread, and a child, begin with what their parent has */
  pthread_join(thread, 0);
  if (!fork()) { look("/ior-child"); _exit(0); }
  dumpable(1);
  look("/ior-again");
  if (count < 3) return 0;
  syscall(SYS_setresuid, -1, other, -1);
  dumpable(1);
  look("/ior-effective");
  syscall(SYS_setresuid, other, me, -1);
  dumpable(1);
  look("/ior-real");
  syscall(SYS_setresuid, me, me, other);
  dumpable(1);
  look("/ior-saved");
  syscall(SYS_setresuid, me, me, me);
  dumpable(1);
  look("/ior-mine");
  return 0;
}

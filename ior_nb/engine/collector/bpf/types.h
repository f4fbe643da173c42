/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * The kernel side: one generic program for every system call. What to do for a call is a row of `specs`
 * (written by program.py from ior_nb/syscalls), so nothing below knows a syscall by name.
 *
 *   sys_enter   in scope? enabled? sampled? -> files behind descriptors and base directories -> slot of the thread
 *   enter_walk  (tail call) names a file seen for the first time, then finishes the enter
 *   sys_exit    counters; strings; one record on the `events` ring
 *   exit_walk   (tail call) names the file behind a descriptor the call returned, then sends the record
 *   exit_address (tail call) takes the address a call has for itself, then goes on as exit_walk does
 *   exit_many   (tail call) adds up the lengths of many buffers or messages, then goes on with exit_rest
 *   on_refused  (tail call) an end without a beginning: a call that a filter or a tracer refused, or one begun before
 *   exit_rest   (tail call) what sys_exit does for a call whose end it knows
 *   fork, exec, exit of tasks keep the scope and the slots right
 *   owners.c    whose task is it? before all of these where a trace is one of processes
 *   dispatch.c  the same for several traces
 *   fetched.c   what a call made devices read; a hook at the page cache where it is needed
 *   waits.c     what it slept for; hooks of the scheduler that are there when they are asked for
 *   python.c    (tail calls that lead nowhere unless it is loaded) the Python stack of the call
 *   mapped.c    (the same) faults on mapped files
 *
 * Constants come from program.py as #defines: O_* struct offsets from the running kernel's BTF, the numbers of
 * wire.py (flags, kinds, totals), sizes, and what differs between kernels: TASK_BTF, CLASSIC, SHARES. Kernel memory is
 * only ever read through the probe_read_kernel helper: a stale pointer gives zeros, never a fault. The files of this
 * folder are one text, joined in the order of program.py's PARTS.
 */
#define BPF_LICENSE Dual MIT/GPL
#define inline_ static inline __attribute__((always_inline))
#define TEXT_END (4096 + 256)
#define HEAD_BYTES 48      /* of a chunk, before its text */
#define ADDRESS_WORDS 14   /* of 64 bits: room for the longest address, that of a Unix socket */
#define HEARD_WORDS 4      /* the same, for one of inet */

/* Numbers of the kernel's own, the same on every architecture. */
#define AT_FDCWD -100
#define O_APPEND 02000
#define MSG_PEEK 0x2
#define MSG_TRUNC 0x20
#define EPERM 1
#define EACCES 13
#define ENOSYS 38
#define SIGSYS 31
#define IORING_OP_RENAMEAT 35
#define RESOLVE_IN_ROOT 0x10
#define ROOTED_IN_ROOT 4  /* of slot.rooted, beside 1 and 2: a string begins with a slash */
#define MOST_ERRNO 4095
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

struct spec {  /* program.py: SPEC */
  u32 rate;
  u8 enabled, fd, fd2, str1, how1, base1, str2, how2, base2, result;
  u8 bytes, size, rflags, off, off_ptr, off2_ptr, extra, extra_arg, extra_count, flags;
  u8 request, address, address_size, address_how, pad[4];
  u64 probes[2];  /* a bit an error that is none (syscalls/probes.py) */
};
struct config {  /* program.py: CONFIG */
  u64 cgroup;
  u64 viewer_rights;  /* capabilities of who looks */
  u32 viewer;         /* and who that is; 0 may see everything */
  u32 mode, tid, uid, follow, scope_gen, filter;
  u32 wanted;     /* how many were put into the map of that name */
  u32 namespace;  /* inode of the pid namespace the collector lives in */
  u32 owner;      /* the process we work for, as our pid namespace numbers it */
  u32 halfway;    /* the hook of the beginnings may be missing: it comes last and goes first */
  u32 guarded;    /* who looks is a client of a service: he sees no more than he might trace himself, judged at each call */
};
/* The part of a filter that is decided here. A change writes another entry, then moves config.filter to it: a record is
 * judged and stamped by one and the same entry. */
struct filter {  /* program.py: FILTER */
  u64 calls[8];          /* a bit a system call */
  u64 latency_min, latency_max;
  u64 comm[2], comm_mask[2];
  u32 pid, tid;          /* 0: any */
  u8 generation, active, timed, errors_only, audit, pad[3];
};
struct event {  /* wire.py: EVENT */
  u64 time, latency;
  s64 ret;
  u64 args[6];
  u64 gap, pos, extra;
  u32 file, file2, names, comm, stack, pid, tid;
  u32 fetched, run_delay, wait_device, wait_lock, wait_other, opener;
  u16 nr;
  u8 flags, generation;
};
struct chunk {  /* wire.py: CHUNK */
  u32 id;
  u8 type, part, parts, flags;
  u16 length, bytes;
  u32 base, dev, mode, socket, magic;
  u64 inode, time;
  char text[CHUNK_TEXT];
};
_Static_assert(sizeof(struct chunk) - CHUNK_TEXT == HEAD_BYTES, "chunk");
/* Counters of the thread when its call began: bytes it had made devices read, ns it had waited for a CPU. Pages that came
 * into the page cache since. Then as waits.c has it: ns slept, by what for; the lock it is about to wait for; when it left
 * its processor, 0 when it is back, how long it had waited for one then, and what it sleeps for. */
enum { FOR_OTHERS, FOR_DEVICE, FOR_LOCK };
struct spent { u64 read_bytes, run_delay, pages, slept[4], lock, left, left_delay, why; };
struct where { u64 mnt, dentry; };
struct known {
  u64 parent, hash_len, inode, path, sock, ends;  /* sock, ends: 0 but of sockets */
  u32 id, generation, stream, stays;  /* the last two: whether its ends may be for good, and whether they are */
};
struct voice { u64 inode, ends; };
/* The address a thread sent to last, or received from; how long it is, of which socket, and the id of both; length 0: none. */
struct heard { u64 address[HEARD_WORDS]; u32 socket, id, length, pad; };
struct slot {
  struct where last_at;  /* the file seen last, and what was known of it */
  struct known last;
  struct heard heard[2];  /* sent to, received from */
  u64 regs[8];  /* the part of pt_regs that holds the arguments: regs[ARG0] to regs[ARG5] */
  u64 start, end, last_end, pos, extra, file_at, file_got, comm[2];  /* the file it works on, and the one it returns */
  s64 ret;
  struct python python;
  struct spent spent;
  u64 thread_state;  /* of Python, where it was at the call before */
  u32 files[4], names, comm_id, pid, tid, tgid, scope_gen, no_python, stack, opener;  /* no_python: the news when there was none */
  u16 nr;
  u8 state, flags, generation, ignored, waiting, changes_names, rooted;
  u8 tells;  /* its byte of `doing` says whose work it does: a thread of the owner, or of a fork of it */
  u8 makes;  /* it makes files */
  u8 why;    /* the total that counts a call without a Python stack; 0 where none was looked for */
  u8 faulting;  /* a fault on a mapped file has begun, see mapped.c */
  u8 unseen;    /* guarded: its last call was not for who looks */
};
/* slot.files: the call's file, the source of a transfer, the base directories of its two paths. */
enum { WALKING = 255, WAITING = 254 };  /* slot.faulting, beside 0 and the tail call to go back to */
enum { ALONE = 1, WITH_ALL };  /* slot.ignored: the thread, or it and all that it begins */
enum { F_FILE, F_SOURCE, F_BASE1, F_BASE2 };
struct counter { u64 calls, errors, probes, bytes, latency, histogram[BUCKETS]; };
struct vector { u64 at, entries; };
/* Lengths being added up: see exit_many. */
struct adding {
  struct vector buffers;
  u64 message, messages, length, room, sum;
  u32 runs;
  u8 wanted, fitting, wrong;
};
/* What a program has for itself while it runs. */
struct scratch {
  u32 share, last_file, last_names, last_comm;  /* ids given out so far */
  u64 ask[4];          /* addresses of the struct paths this call names, by F_* */
  struct where missing[4];
  u32 current, todo;   /* which of `missing` want a name */
  u64 address[ADDRESS_WORDS];
  u32 addressed, pad;  /* how long the address is that the call has for itself; 0: it has none */
  u64 accepted;        /* the socket that it has accepted, whose ends it has */
  u64 mnt, dentry, path;
  u32 pos, flags;
  struct known fresh;  /* what name_one finds out: there is no room for it on the stack */
  struct voice voice;
  struct slot blank;
  struct chunk head;   /* of a name that is being sent; too large for the stack beside all else */
  struct adding adding;
  char text[8192 + 256];
};
/* Whose work a thread does, a byte each by its number in our pid namespace (runtime/own.py: USERS, NOTEBOOKS, OURS). The
 * owner has it mapped: a thread writes its own byte, without a system call; what is not the user's work is left out. */
struct doing { u8 of[DOING_THREADS]; };
struct live {  /* program.py: LIVE */
  u32 found;             /* how many of `wanted` were met */
  u32 pythons, learned;  /* news of processes that have a Python after all, from here and from the collector; 0: no stacks */
};
struct machine {  /* machine.py: Machine */
  u32 tree;      /* generation of the names of files: a path known under an older one may be another now */
  u32 changing;  /* how many calls are open that change names */
  u32 alone;     /* it is one trace's, which looks for itself whose a task is */
  u32 pad;
  u64 changers[8], own_changers[8], compat_changers[8];  /* calls that change names, a bit each: of both kinds, of either */
  u8 follows[SEATS];  /* whether children belong to whom the parent does */
};

BPF_RINGBUF_OUTPUT(events, EVENT_PAGES);
BPF_RINGBUF_OUTPUT(names, NAME_PAGES);
BPF_ARRAY(specs, struct spec, SPECS);
BPF_ARRAY(config, struct config, 1);
BPF_ARRAY(filters, struct filter, FILTERS);
BPF_F_TABLE("array", u32, struct live, live, 1, 1024);
BPF_F_TABLE("array", u32, struct machine, machine, 1, 1024);
BPF_F_TABLE("array", u32, struct counter, counters, NCPU * SPECS, 1024);     /* BPF_F_MMAPABLE */
BPF_F_TABLE("array", u32, u64, totals, NCPU * TOTALS, 1024);
BPF_F_TABLE("array", u32, struct doing, doing, THREADS / DOING_THREADS, 1024);
BPF_F_TABLE("hash", u32, struct slot, slots, SLOTS, 1);                      /* BPF_F_NO_PREALLOC */
BPF_TABLE("lru_hash", struct where, struct known, files, FILES);
BPF_TABLE("lru_hash", struct voice, u64, voices, VOICES);                    /* ids of sockets, by their ends */
BPF_HASH(targets, u32, u8, 65536);    /* thread group ids as the kernel numbers them -> TARGET_* */
BPF_HASH(wanted, u32, u8, 4096);      /* the same as our pid namespace numbers them, until seen */
BPF_HASH(ignored, u64, u8, 4096);     /* 0 << 32 | tid or 1 << 32 | pid, our namespace's numbers */
BPF_HASH(changers, u32, u8, 4096);    /* tasks out of scope, or of any, inside a call that changes names */
BPF_PERCPU_ARRAY(scratch, struct scratch, SHARES);
BPF_PROG_ARRAY(tails, 24);

/* SPDX-License-Identifier: MIT OR GPL-2.0
 *
 * The kernel side: one generic program for every system call. What to do for a call is a row of `specs`
 * (written by program.py from ior_nb/syscalls), so nothing below knows a syscall by name.
 *
 *   sys_enter   in scope? enabled? sampled? -> files behind descriptors and base directories -> slot of the thread
 *   enter_walk  (tail call) names a file seen for the first time, then finishes the enter
 *   sys_exit    counters; strings; one record on the `events` ring
 *   exit_walk   (tail call) names the file behind a descriptor the call returned, then sends the record
 *   fork, exec, exit of tasks keep the scope and the slots right
 *
 * Constants come from program.py as #defines: O_* struct offsets from the running kernel's BTF, the numbers of
 * wire.py (flags, kinds, totals), sizes, and what differs between kernels: TASK_BTF, CLASSIC, SHARES. Kernel memory is only ever read through the probe_read_kernel helper: a stale
 * pointer gives zeros, never a fault.
 */
#define BPF_LICENSE Dual MIT/GPL
#define inline_ static inline __attribute__((always_inline))
#define TEXT_END (4096 + 256)

struct spec {  /* program.py: SPEC */
  u32 rate;
  u8 enabled, fd, fd2, str1, how1, base1, str2, how2, base2, result;
  u8 bytes, size, rflags, off, off_ptr, off2_ptr, extra, extra_arg, extra_count, flags;
};
struct config {  /* program.py: CONFIG */
  u64 cgroup;
  u32 mode, tid, uid, follow, scope_gen, filter;
  u32 wanted;     /* how many were put into the map of that name */
  u32 namespace;  /* inode of the pid namespace the collector lives in */
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
_Static_assert(CHUNK_TEXT == 208, "chunk heads are copied as 48 bytes");
struct event {  /* wire.py: EVENT */
  u64 time, latency;
  s64 ret;
  u64 args[6];
  u64 gap, pos, extra;
  u32 file, file2, names, comm, stack, pid, tid;
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
struct where { u64 mnt, dentry; };
struct known { u64 parent, hash_len, inode, path; u32 id, generation; };
struct slot {
  struct where last_at;  /* the file seen last, and what was known of it */
  struct known last;
  u64 regs[8];  /* the part of pt_regs that holds the arguments: regs[ARG0] to regs[ARG5] */
  u64 start, end, last_end, pos, extra, file_at, comm[2];
  s64 ret;
  u32 files[4], names, comm_id, pid, tid, tgid, scope_gen;
  u16 nr;
  u8 state, flags, generation, ignored, waiting, changes_names, rooted;
};
/* slot.files: the call's file, the source of a transfer, the base directories of its two paths. */
enum { F_FILE, F_SOURCE, F_BASE1, F_BASE2 };
struct counter { u64 calls, errors, bytes, latency, histogram[BUCKETS]; };
/* What a program has for itself while it runs. */
struct scratch {
  u32 share, last_file, last_names, last_comm;  /* ids given out so far */
  u64 ask[4];          /* addresses of the struct paths this call names, by F_* */
  struct where missing[4];
  u32 current, todo;   /* which of `missing` want a name */
  u64 mnt, dentry, path;
  u32 pos, flags;
  struct slot blank;
  char text[8192 + 256];
};
struct live { u32 tree_generation, changing, found; };  /* found: how many of `wanted` were met */

BPF_RINGBUF_OUTPUT(events, EVENT_PAGES);
BPF_RINGBUF_OUTPUT(names, NAME_PAGES);
BPF_ARRAY(specs, struct spec, SPECS);
BPF_ARRAY(config, struct config, 1);
BPF_ARRAY(filters, struct filter, FILTERS);
BPF_ARRAY(live, struct live, 1);
BPF_F_TABLE("array", u32, struct counter, counters, NCPU * SPECS, 1024);     /* BPF_F_MMAPABLE */
BPF_F_TABLE("array", u32, u64, totals, NCPU * TOTALS, 1024);
BPF_F_TABLE("hash", u32, struct slot, slots, SLOTS, 1);                      /* BPF_F_NO_PREALLOC */
BPF_TABLE("lru_hash", struct where, struct known, files, FILES);
BPF_HASH(targets, u32, u8, 65536);    /* thread group ids as the kernel numbers them -> TARGET_* */
BPF_HASH(wanted, u32, u8, 4096);      /* the same as our pid namespace numbers them, until seen */
BPF_HASH(ignored, u64, u8, 4096);     /* 0 << 32 | tid or 1 << 32 | pid, our namespace's numbers */
BPF_HASH(changers, u32, u8, 4096);    /* tasks out of scope inside a call that changes names */
BPF_PERCPU_ARRAY(scratch, struct scratch, SHARES);
BPF_PROG_ARRAY(tails, 2);

/* The helpers by their numbers (include/uapi/linux/bpf.h): under bcc's own names for them, bcc reads all of
 * /proc/kallsyms first, a third of the time it takes to start. */
static long (*read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*read_user_string)(void *to, u32 size, const void *from) = (void *)114;

/* Where the kernel lets a program load through typed pointers (5.11), the task's own words cost a load each instead of
 * a helper call. The instruction is written out: bcc would turn a C dereference into a helper call. */
#if TASK_BTF
static u64 (*typed_task)(void) = (void *)158;
#define LOAD64(to, at, offset) asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(to) : "r"(at), "i"(offset))
#define LOAD32(to, at, offset) asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(to) : "r"(at), "i"(offset))
#endif

/* Keeps the compiler from what it can prove of a value: it drops a bound, or ends a loop on equality with the smaller of
 * two bounds, and then the verifier (that of kernels before 6.2 above all) can prove nothing. */
#define OPAQUE(value) asm volatile("" : "+r"(value))

inline_ u64 rd(u64 at) { u64 v = 0; read_kernel(&v, 8, (void *)at); return v; }
inline_ u32 rd32(u64 at) { u32 v = 0; read_kernel(&v, 4, (void *)at); return v; }

inline_ void count(u32 what) {
  u32 at = bpf_get_smp_processor_id() * TOTALS + what;
  u64 *n = totals.lookup(&at);
#if SHARES > 1
  if (n) __sync_fetch_and_add(n, 1);
#else
  if (n) *n += 1;
#endif
}

/* Where a program can be preempted (raw tracepoints from Linux 7.2 on) another may run in between on its CPU, but never
 * the same one: so each has a share of its own of what is per CPU. Elsewhere there is one share. */
enum { BY_ENTER, BY_EXIT, BY_FORK, BY_EXEC, BY_TASK_EXIT };

inline_ struct scratch *mine(u32 by) {
  u32 at = SHARES > 1 ? by : 0;
  struct scratch *s = scratch.lookup(&at);
  if (s) s->share = at;
  return s;
}

/* The next id of a kind. Not from a counter that all CPUs share: some compilers refuse the result of an atomic add. */
inline_ u32 next_id(struct scratch *s, u32 *last) {
  *last += 1;
  return (*last * SHARES + s->share) * NCPU + bpf_get_smp_processor_id();
}

/* ---- names ring ------------------------------------------------------------------------------------------- */

/* The number of a pid structure in the pid namespace the collector lives in; 0 where it has none. */
inline_ u32 local_number(u64 pid) {
  u32 zero = 0, level = rd32(pid + O_pid_level), found = 0;
  struct config *c = config.lookup(&zero);
  if (!c) return 0;
  for (u32 i = 0; i < 8; i++) {
    OPAQUE(i);
    if (i > level) break;
    u64 number = pid + O_pid_numbers + i * SIZE_upid;
    if (rd32(rd(number + O_upid_ns) + O_pid_namespace_ns + O_ns_common_inum) == c->namespace) found = rd32(number + O_upid_nr);
  }
  return found;
}

inline_ int send_task(u32 type, u32 pid, u32 parent) {
  struct chunk *c = names.ringbuf_reserve(sizeof(struct chunk));
  if (!c) { count(T_LOST_NAMES); return 0; }
  c->id = pid; c->type = type; c->part = 0; c->parts = 1; c->flags = 0; c->length = 0; c->bytes = 0;
  c->base = parent; c->dev = 0; c->mode = 0; c->socket = 0; c->magic = 0; c->inode = 0; c->time = bpf_ktime_get_boot_ns();
  names.ringbuf_submit(c, BPF_RB_NO_WAKEUP);
  return 1;
}

inline_ u32 send_comm(struct slot *slot, struct scratch *s) {
  if (!s) return 0;
  struct chunk *c = names.ringbuf_reserve(sizeof(struct chunk));
  if (!c) { count(T_LOST_NAMES); return 0; }
  u32 id = next_id(s, &s->last_comm);
  c->id = id; c->type = N_COMM; c->part = 0; c->parts = 1; c->flags = 0; c->length = 16; c->bytes = 16;
  c->base = 0; c->dev = 0; c->mode = 0; c->socket = 0; c->magic = 0; c->inode = 0; c->time = 0;
  __builtin_memcpy(c->text, slot->comm, 16);
  names.ringbuf_submit(c, BPF_RB_NO_WAKEUP);
  return id;
}

/* Send `length` bytes from s->text[from] as chunks; the first carries everything in `head`. */
inline_ int send_text(struct scratch *s, u32 from, u32 length, struct chunk *head) {
  u32 parts = (length + CHUNK_TEXT - 1) / CHUNK_TEXT;
  if (!parts) parts = 1;
  OPAQUE(parts);
  for (u32 i = 0; i < 20; i++) {
    OPAQUE(i);
    if (i >= parts) break;
    struct chunk *c = names.ringbuf_reserve(sizeof(struct chunk));
    if (!c) { count(T_LOST_NAMES); return 0; }
    u32 left = length - i * CHUNK_TEXT;
    if (left > CHUNK_TEXT) left = CHUNK_TEXT;
    OPAQUE(left);
    left &= 255;
    if (left > CHUNK_TEXT) left = CHUNK_TEXT;
    __builtin_memcpy(c, head, 48);
    c->part = i; c->parts = parts; c->length = length; c->bytes = left;
    read_kernel(c->text, left, &s->text[(from + i * CHUNK_TEXT) & 8191]);
    names.ringbuf_submit(c, BPF_RB_NO_WAKEUP);
  }
  return 1;
}

/* Copy a user string and send it. Returns the flags of what was found. */
inline_ u32 send_user_text(struct scratch *s, u64 user, u32 id, u32 type, u32 base, u32 rooted) {
  struct chunk head = {};
  head.id = id; head.type = type; head.base = base;
  long got = 0;
  if (!user) head.flags = NF_NULL;
  else {
    got = read_user_string(s->text, 4096, (void *)user);
    if (got < 0) { head.flags = NF_UNREADABLE; got = 0; }
    else {
      if (got > 0) got -= 1;
      /* The base was chosen at enter, when the string may not have been readable yet. */
      if ((s->text[0] == '/') != !!rooted) head.base = 0;
    }
  }
  return send_text(s, 0, got & 4095, &head);
}

/* One argument, by its place among the saved registers plus one. */
inline_ u64 word(struct slot *slot, u8 at) { return slot->regs[(at - 1) & 7]; }

/* ---- which file is it ------------------------------------------------------------------------------------- */

inline_ bool is_compat(u64 task) {
#if TASK_BTF
  u64 current = typed_task();
  u32 status;
  LOAD32(status, current, O_task_struct_status);
  return status & COMPAT_BIT;
#endif
  return rd32(task + O_task_struct_status) & COMPAT_BIT;
}

inline_ void read_comm(u64 comm[2]) {
#if TASK_BTF
  u64 current = typed_task();
  LOAD64(comm[0], current, O_task_struct_comm);
  LOAD64(comm[1], current, O_task_struct_comm + 8);
#else
  bpf_get_current_comm(comm, 16);
#endif
}

/* One read of a dentry, from d_hash.pprev to d_inode. */
struct dentry_head { u64 pprev, parent, hash_len, name, inode; };

/* Which file a dentry stands for: its inode's number (addresses of freed inodes come again, for pipes within
 * microseconds), and whether it has lost its place in the tree. */
inline_ u64 identity(struct dentry_head *d) { return rd(d->inode + O_inode_i_ino) << 1 | !d->pprev; }

inline_ bool unchanged(struct known *k, struct dentry_head *d, u32 generation) {
  return k->generation == generation && k->parent == d->parent && k->hash_len == d->hash_len &&
         k->inode == identity(d);
}

/* The id of a file already named and unchanged, else 0. A thread mostly stays with one file: its slot remembers it. */
inline_ u32 known_file(struct where *at, u32 generation, struct slot *slot) {
  struct dentry_head d = {};
  read_kernel(&d, sizeof(d), (void *)(at->dentry + O_dentry_pprev));
  if (slot->last_at.dentry == at->dentry && slot->last_at.mnt == at->mnt && unchanged(&slot->last, &d, generation))
    return slot->last.id;
  struct known *k = files.lookup(at);
  if (!k || !unchanged(k, &d, generation)) return 0;
  slot->last_at = *at;
  slot->last = *k;
  return k->id;
}

/* Turn the addresses in s->ask into file ids of the slot; what is new goes to s->missing. */
inline_ void find(struct scratch *s, struct slot *slot, u32 generation) {
  s->todo = 0;
#pragma clang loop unroll(disable)
  for (u32 k = 0; k < 4; k++) {
    struct where at = {};
    u64 address = s->ask[k & 3];
    if (!address) continue;
    read_kernel(&at, sizeof(at), (void *)address);
    if (!at.dentry) continue;
    u32 id = known_file(&at, generation, slot);
    slot->files[k & 3] = id;
    if (id) continue;
    s->missing[k & 3] = at;
    s->todo |= 1 << k;
  }
}

inline_ u64 file_of(u64 task, u32 fd) {
#if TASK_BTF
  u64 current = typed_task(), files, fdt, array;
  u32 max;
  LOAD64(files, current, O_task_struct_files);
  LOAD64(fdt, files, O_files_struct_fdt);
  LOAD32(max, fdt, O_fdtable_max_fds);
  LOAD64(array, fdt, O_fdtable_fd);
  return fd < max ? rd(array + 8 * (u64)fd) : 0;
#endif
  struct { u32 max, pad; u64 fd; } table = {};                      /* max_fds and fd are the first members */
  read_kernel(&table, sizeof(table), (void *)rd(rd(task + O_task_struct_files) + O_files_struct_fdt));
  return fd < table.max ? rd(table.fd + 8 * (u64)fd) : 0;
}

/* The address of the path a relative or absolute string argument starts from. */
inline_ u64 base_of(struct slot *slot, u64 task, u8 string, u8 directory, u8 bit) {
  char first = 0;
  s32 fd = directory ? word(slot, directory) : -100;                /* AT_FDCWD */
  u64 fs = rd(task + O_task_struct_fs);
  read_user(&first, 1, (void *)word(slot, string));
  if (first == '/') {
    slot->rooted |= bit;
    return fs + O_fs_struct_root;
  }
  if (fd == -100) return fs + O_fs_struct_pwd;
  u64 f = file_of(task, fd);
  return f ? f + O_file_f_path : 0;
}

/* Name one missing file: walk its dentries up to the root of its mount namespace, send the path. */
inline_ void name_one(struct scratch *s, struct slot *slot, struct live *now) {
  *(volatile u32 *)&s->current = s->todo & 1 ? 0 : s->todo & 2 ? 1 : s->todo & 4 ? 2 : 3;
  u32 n = *(volatile u32 *)&s->current;   /* through memory, so that the walk is verified once, not for each value */
  struct dentry_head d = {};
  struct where key = s->missing[n & 3];
  s->todo &= ~(1 << n);
  u32 generation = now->tree_generation;
  read_kernel(&d, sizeof(d), (void *)(key.dentry + O_dentry_pprev));
  s->mnt = key.mnt; s->dentry = key.dentry; s->pos = TEXT_END; s->path = 0; s->flags = 0;
  if (!d.pprev && d.parent != key.dentry) s->flags = NF_DELETED;
  u32 i;
  for (i = 0; i < 256; i++) {
    u64 mnt = *(volatile u64 *)&s->mnt, dentry = *(volatile u64 *)&s->dentry;
    struct { u64 parent, hash_len, name; } c = {};
    read_kernel(&c, sizeof(c), (void *)(dentry + O_dentry_d_parent));
    u64 root = rd(mnt + O_vfsmount_mnt_root);
    u32 detached = 0;
    if (dentry == root || c.parent == dentry) {
      u64 mount = mnt - O_mount_mnt, over = rd(mount + O_mount_mnt_parent);
      if (dentry == root) {
        if (over == mount) break;
        *(volatile u64 *)&s->dentry = rd(mount + O_mount_mnt_mountpoint);
        *(volatile u64 *)&s->mnt = over + O_mount_mnt;
        continue;
      }
      detached = 1;  /* pipe, socket, anonymous inode, memfd: no place in the tree */
    }
    u32 pos = *(volatile u32 *)&s->pos, length = (c.hash_len >> 32) & 255;
    if (TEXT_END - pos + length + 1 > 4095) { s->flags |= NF_CUT; break; }
    pos -= length;
    read_kernel(&s->text[pos & 8191], length, (void *)c.name);
    s->path = (s->path ^ c.hash_len ^ dentry) * 0x100000001b3ULL;
    if (detached) { *(volatile u32 *)&s->pos = pos; s->flags |= NF_DETACHED; break; }
    pos -= 1;
    s->text[pos & 8191] = '/';
    *(volatile u32 *)&s->pos = pos;
    *(volatile u64 *)&s->dentry = c.parent;
  }
  if (i == 256) s->flags |= NF_CUT;
  struct known fresh = {.parent = d.parent, .hash_len = d.hash_len, .inode = identity(&d),
                        .path = s->path, .generation = generation};
  struct known *old = files.lookup(&key);
  if (old && old->path == fresh.path && old->inode == fresh.inode) {
    fresh.id = old->id;
  } else {
    fresh.id = next_id(s, &s->last_file);
    struct chunk head = {};
    u64 sb = rd(d.inode + O_inode_i_sb);
    head.id = fresh.id; head.type = N_FILE; head.flags = s->flags;
    head.dev = rd32(sb + O_super_block_s_dev); head.magic = rd(sb + O_super_block_s_magic);
    head.mode = rd32(d.inode + O_inode_i_mode) & 0xffff; head.inode = rd(d.inode + O_inode_i_ino);
    if (head.magic == SOCKFS_MAGIC) {
      u64 sock = rd(d.inode - O_socket_alloc_vfs_inode + O_socket_sk);
      u32 family = rd32(sock + O_sock___sk_common + O_sock_common_skc_family) & 0xffff;
      u32 type = rd32(sock + O_sock_sk_type) & 0xffff, protocol = rd32(sock + O_sock_sk_protocol) & 0xffff;
      if (sock) head.socket = 0x80000000 | (family & 0xff) << 20 | (type & 0xf) << 16 | protocol;
    }
    u32 pos = *(volatile u32 *)&s->pos;
    if (!send_text(s, pos, (TEXT_END - pos) & 4095, &head)) return;
  }
  files.update(&key, &fresh);   /* only now: another CPU must not meet an id whose name is not in the ring yet */
  slot->files[n & 3] = fresh.id;
}

/* ---- scope ------------------------------------------------------------------------------------------------ */

inline_ struct slot *new_slot(struct scratch *s, u64 task, u32 tid, u32 tgid, u32 scope_gen) {
  if (!s) return 0;
  struct slot *b = &s->blank;
  __builtin_memset(b, 0, sizeof(*b));
  b->tgid = tgid; b->scope_gen = scope_gen;
  b->tid = local_number(rd(task + O_task_struct_thread_pid));
  b->pid = local_number(rd(rd(task + O_task_struct_group_leader) + O_task_struct_thread_pid));
  if (!b->tid) { b->tid = tid; b->pid = tgid; }  /* not visible from our namespace: the kernel's own numbers */
  u64 key = b->tid, group = 1ULL << 32 | b->pid;
  b->ignored = ignored.lookup(&key) || ignored.lookup(&group);
  if (slots.update(&tid, b)) { count(T_SLOTS_FULL); return 0; }
  return slots.lookup(&tid);
}

/* Whether the current task is in a control group (version 2) or below it. Read from its own words: the helper that tells
 * is for tracing programs only after Linux 5.10. */
inline_ bool inside(u64 wanted) {
  u64 group = rd(rd(bpf_get_current_task() + O_task_struct_cgroups) + O_css_set_dfl_cgrp);
  u32 level = rd32(group + O_cgroup_level);
  for (u32 i = 0; i < 64; i++) {
    OPAQUE(i);
    if (i > level) break;
#ifdef O_cgroup_ancestors
    u64 id = rd(rd(rd(group + O_cgroup_ancestors + 8 * (u64)i) + O_cgroup_kn) + O_kernfs_node_id);
#else
    u64 id = rd(group + O_cgroup_ancestor_ids + 8 * (u64)i);
#endif
    if (id == wanted) return true;
  }
  return false;
}

inline_ u32 member(struct config *c, u32 tid, u32 tgid) {
  if (c->mode == M_SET) {
    u8 *t = targets.lookup(&tgid);
    return t ? *t : 0;
  }
  if (c->mode == M_ALL) return TARGET_IN;
  if (c->mode == M_UID) return (u32)bpf_get_current_uid_gid() == c->uid;
  return c->mode == M_CGROUP && inside(c->cgroup);
}

/* Threads were added to `ignored` since this one's slot was made. The flag is set here, by the thread itself, for a slot
 * written from outside would overwrite what its thread has changed meanwhile; on_enter pays nothing for the check. */
inline_ void look_again(struct slot *slot, u32 scope_gen) {
  u64 key = slot->tid, group = 1ULL << 32 | slot->pid;
  if (ignored.lookup(&key) || ignored.lookup(&group)) slot->ignored = 1;
  slot->scope_gen = scope_gen;
}

/* The slot of a thread that has none, or whose scope was decided under older rules; 0 when it is out of scope. */
inline_ struct slot *admit(struct config *c, struct live *now, struct slot *slot, u32 tid, u32 tgid) {
  u64 task = bpf_get_current_task();
  u32 in = member(c, tid, tgid);
  if (!in && c->wanted != now->found && c->mode == M_SET) {  /* a target given by its number in a nested pid namespace */
    u32 pid = local_number(rd(rd(task + O_task_struct_group_leader) + O_task_struct_thread_pid));
    u8 *t = pid ? wanted.lookup(&pid) : 0;
    if (t) {
      u8 value = *t;
      targets.update(&tgid, &value);
      wanted.delete(&pid);
      __sync_fetch_and_add(&now->found, 1);
      in = value;
    }
  }
  if (!in) {
    if (slot) slots.delete(&tid);
    return 0;
  }
  if (slot) {
    if (slot->state == S_OPEN) count(T_KILLED);
    slots.delete(&tid);
  }
  slot = new_slot(mine(BY_ENTER), task, tid, tgid, c->scope_gen);
  if (!slot) return 0;
  if (c->tid && slot->tid != c->tid) slot->ignored = 1;
  slot->waiting = in == TARGET_AT_EXEC;
  return slot;
}

/* ---- the record ------------------------------------------------------------------------------------------- */

inline_ bool failed(s64 ret) {
  return ret < 0 && ret >= -4095 && ret != -512 && ret != -513 && ret != -514 && ret != -516;
}

/* The filter in force. The record of a call that ends now carries its generation. */
inline_ struct filter *current_filter(struct slot *slot) {
  u32 zero = 0;
  struct config *c = config.lookup(&zero);
  if (!c) return 0;
  u32 at = c->filter;
  struct filter *f = filters.lookup(&at);
  if (f) slot->generation = f->generation;
  return f;
}

/* Whether the filter keeps a call out. Also sets the generation its record will carry. */
inline_ bool kept_out(struct slot *slot, u64 latency, s64 ret) {
  struct filter *f = current_filter(slot);
  if (!f || !f->active) return false;
  bool out = !(f->calls[(slot->nr >> 6) & 7] >> (slot->nr & 63) & 1);
  if (f->pid && slot->pid != f->pid) out = true;
  if (f->tid && slot->tid != f->tid) out = true;
  if (f->errors_only && !failed(ret)) out = true;
  if (f->timed && (slot->flags & EF_NO_RETURN || latency < f->latency_min || latency > f->latency_max)) out = true;
  if (f->comm_mask[0]) {
    u64 comm[2] = {};
    read_comm(comm);
    if ((comm[0] ^ f->comm[0]) & f->comm_mask[0] || (comm[1] ^ f->comm[1]) & f->comm_mask[1]) out = true;
  }
  if (out && f->audit) {   /* tests compare the verdict with the mask over the same rows */
    slot->flags |= EF_KEPT_OUT;
    return false;
  }
  if (out) count(T_FILTERED);
  return out;
}

/* Send the record. Returns false when the ring has no room for it, and counts it as lost then. */
inline_ bool emit(u32 by, struct slot *slot, u64 latency, s64 ret, u32 flags) {
  u64 comm[2] = {};
  read_comm(comm);
  if (comm[0] != slot->comm[0] || comm[1] != slot->comm[1] || !slot->comm_id) {
    slot->comm[0] = comm[0]; slot->comm[1] = comm[1];
    slot->comm_id = send_comm(slot, mine(by));
  }
  struct event *e = events.ringbuf_reserve(sizeof(struct event));
  if (!e) { count(T_LOST_RING); return false; }
  e->time = slot->start; e->latency = latency; e->ret = ret;
  e->args[0] = slot->regs[ARG0]; e->args[1] = slot->regs[ARG1]; e->args[2] = slot->regs[ARG2];
  e->args[3] = slot->regs[ARG3]; e->args[4] = slot->regs[ARG4]; e->args[5] = slot->regs[ARG5];
  e->gap = flags & EF_FIRST ? 0 : slot->start - slot->last_end;
  e->pos = slot->pos; e->extra = slot->extra;
  e->file = slot->files[F_FILE]; e->file2 = slot->files[F_SOURCE]; e->names = slot->names; e->comm = slot->comm_id; e->stack = 0;
  e->pid = slot->pid; e->tid = slot->tid; e->nr = slot->nr; e->flags = flags; e->generation = slot->generation;
  events.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
  if (!(flags & EF_IN_FLIGHT)) count(T_EMITTED);
  return true;
}

/* ---- what the hooks are given ----------------------------------------------------------------------------- */

#if CLASSIC  /* perf's trace events: the fields of /sys/kernel/tracing/events/.../format */
struct enter_args { u8 head[O_trace_event_raw_sys_enter_id]; u64 nr, args[6]; };
struct exit_args { u8 head[O_trace_event_raw_sys_exit_ret]; s64 ret; };
struct fork_args { u8 head[O_trace_event_raw_sched_process_fork_child_pid]; u32 child_pid; };
struct exec_args { u8 head[O_trace_event_raw_sched_process_exec_old_pid]; u32 old_pid; };
_Static_assert(O_trace_event_raw_sys_enter_args == O_trace_event_raw_sys_enter_id + 8, "sys_enter");
#else  /* raw tracepoints: the arguments of TP_PROTO */
struct enter_args { u64 regs, nr; };
struct exit_args { u64 regs; s64 ret; };
struct fork_args { u64 parent, child; };
struct exec_args { u64 task, old_pid; };
#endif

/* ---- enter ------------------------------------------------------------------------------------------------ */

inline_ s64 nanoseconds(u64 user, u32 unit, s64 null, s64 invalid) {
  s64 t[2] = {};
  if (!user) return null;
  if (read_user(t, sizeof(t), (void *)user)) return invalid;
  if (t[0] < 0 || t[1] < 0 || t[1] >= 1000000000LL / unit) return invalid;
  if (t[0] >= 9223372036LL) return 0x7fffffffffffffffLL;
  return t[0] * 1000000000LL + t[1] * unit;
}

inline_ struct counter *count_call(struct slot *slot) {
  u32 at = bpf_get_smp_processor_id() * SPECS + slot->nr;
  struct counter *n = counters.lookup(&at);
  if (n) n->calls += 1;
  return n;
}

/* The last words of an enter: the clock is read after everything of ours, so that latency is the call's own. */
inline_ void begin(struct slot *slot, struct spec *spec) {
  u64 now = bpf_ktime_get_boot_ns();
  slot->start = now;
  if (spec->result != R_NEVER) return;
  slot->state = S_SKIPPED;
  count_call(slot);
  slot->flags |= EF_NO_RETURN;
  if (!kept_out(slot, 0, 0)) emit(BY_ENTER, slot, 0, 0, slot->flags);
  slot->last_end = now;
}

int on_enter(struct enter_args *ctx) {
  u64 who = bpf_get_current_pid_tgid(), task;
  u32 tid = who, zero = 0, nr = ctx->nr;
  struct slot *slot = slots.lookup(&tid);
  struct config *c = config.lookup(&zero);
  struct live *now = live.lookup(&zero);
  if (!c || !now) return 0;
  if (!slot || slot->scope_gen != c->scope_gen || c->mode > M_ALL) {
    if (slot && slot->scope_gen != c->scope_gen && slot->scope_gen / SCOPE_ROUNDS == c->scope_gen / SCOPE_ROUNDS)
      look_again(slot, c->scope_gen);
    if (slot && slot->scope_gen == c->scope_gen && member(c, tid, who >> 32)) goto in_scope;
    slot = admit(c, now, slot, tid, who >> 32);
    if (!slot) {
      struct spec *spec = specs.lookup(&nr);
      if (spec && spec->flags & SF_CHANGES_NAMES) {
        u8 one = 1;
        if (!changers.update(&tid, &one)) __sync_fetch_and_add(&now->changing, 1);
        else __sync_fetch_and_add(&now->tree_generation, 1);
      }
      return 0;
    }
  }
in_scope:
  if (slot->state == S_OPEN) count(T_KILLED);                       /* its exit never came */
  slot->nr = nr;
  slot->state = S_SKIPPED;
  struct spec *spec = specs.lookup(&nr);
  if (!spec) { count(T_UNKNOWN); return 0; }
  slot->changes_names = spec->flags & SF_CHANGES_NAMES;
  if (slot->ignored) return 0;
  if (slot->waiting) {
    if (!(spec->flags & SF_EXEC)) return 0;
    u32 tgid = who >> 32;
    u8 in = TARGET_IN;
    slot->waiting = 0;
    targets.update(&tgid, &in);
  }
  task = bpf_get_current_task();
  if (is_compat(task)) { count(T_COMPAT); return 0; }
  if (!spec->enabled) return 0;
  count(T_SEEN);
#if CLASSIC
  slot->regs[ARG0] = ctx->args[0]; slot->regs[ARG1] = ctx->args[1]; slot->regs[ARG2] = ctx->args[2];
  slot->regs[ARG3] = ctx->args[3]; slot->regs[ARG4] = ctx->args[4]; slot->regs[ARG5] = ctx->args[5];
#else
  read_kernel(slot->regs, sizeof(slot->regs), (void *)(ctx->regs + REGISTERS_START));
#endif
  slot->state = S_OPEN;
  slot->flags = slot->last_end ? 0 : EF_FIRST;
  __builtin_memset(slot->files, 0, sizeof(slot->files));
  slot->names = 0; slot->rooted = 0;
  slot->pos = -1; slot->extra = 0; slot->file_at = 0;
  if (spec->rate != 1 && (!spec->rate || bpf_get_prandom_u32() % spec->rate)) {
    slot->flags |= EF_SAMPLED_OUT;
    slot->start = bpf_ktime_get_boot_ns();
    if (spec->result == R_NEVER) { slot->last_end = slot->start; slot->state = S_SKIPPED; count_call(slot); count(T_SAMPLED); }
    return 0;
  }
  struct scratch *s = mine(BY_ENTER);
  if (!s) return 0;
  __builtin_memset(s->ask, 0, sizeof(s->ask));
  if (spec->fd) {
    u64 f = file_of(task, word(slot, spec->fd));
    if (f) {
      s->ask[F_FILE] = f + O_file_f_path;
      slot->file_at = f;
      if (!spec->off) slot->pos = rd(f + O_file_f_pos);
    }
  }
  if (spec->off) slot->pos = word(slot, spec->off);
  if (spec->off_ptr && word(slot, spec->off_ptr)) read_user(&slot->pos, 8, (void *)word(slot, spec->off_ptr));
  if (spec->fd2) {
    u64 f = file_of(task, word(slot, spec->fd2));
    slot->extra = -1;
    if (f) {
      s->ask[F_SOURCE] = f + O_file_f_path;
      slot->extra = rd(f + O_file_f_pos);
    }
    if (spec->off2_ptr && word(slot, spec->off2_ptr)) read_user(&slot->extra, 8, (void *)word(slot, spec->off2_ptr));
  }
  if (spec->how1 == H_PATH || spec->how1 == H_EXEC) s->ask[F_BASE1] = base_of(slot, task, spec->str1, spec->base1, 1);
  if (spec->how2 == H_PATH) s->ask[F_BASE2] = base_of(slot, task, spec->str2, spec->base2, 2);
  find(s, slot, now->tree_generation);
  if (spec->extra == X_SLEEP) slot->extra = nanoseconds(word(slot, spec->extra_arg), 1, -1, -1);
  else if (spec->extra == X_TIMESPEC) slot->extra = nanoseconds(word(slot, spec->extra_arg), 1, -1, -2);
  else if (spec->extra == X_TIMEVAL) slot->extra = nanoseconds(word(slot, spec->extra_arg), 1000, -1, -2);
  else if (spec->extra == X_EPOLL_EVENT) read_user(&slot->extra, 4, (void *)word(slot, spec->extra_arg));
  else if (spec->extra == X_BRK) slot->extra = rd(rd(task + O_task_struct_mm) + O_mm_struct_brk);
  if (s->todo || spec->how1 == H_EXEC) tails.call(ctx, 0);
  begin(slot, spec);
  return 0;
}

int enter_walk(struct enter_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid(), zero = 0;
  struct slot *slot = slots.lookup(&tid);
  struct scratch *s = mine(BY_ENTER);
  struct live *now = live.lookup(&zero);
  if (!slot || !s || !now) return 0;
  u32 nr = slot->nr;
  struct spec *spec = specs.lookup(&nr);
  if (!spec) return 0;
  if (s->todo) name_one(s, slot, now);
  if (s->todo) tails.call(ctx, 0);
  if (spec->how1 == H_EXEC) {
    slot->names = next_id(s, &s->last_names);
    if (!send_user_text(s, word(slot, spec->str1), slot->names, N_PATH1, slot->files[F_BASE1], slot->rooted & 1)) slot->flags |= EF_NAMES_LOST;
  }
  begin(slot, spec);
  return 0;
}

/* ---- exit ------------------------------------------------------------------------------------------------- */

inline_ u64 payload(struct slot *slot, struct spec *spec, s64 ret) {
  if (ret <= 0 || !spec->bytes) return 0;
  s64 capacity = spec->size ? (s64)word(slot, spec->size) : spec->extra == X_MSGHDR ? (s64)slot->extra : -1;
  u64 flags = spec->rflags ? word(slot, spec->rflags) : 0;
  if (flags & 2) return 0;                                          /* MSG_PEEK */
  if (!capacity) return 0;                                          /* a size probe moves nothing */
  if (flags & 0x20 && capacity > 0 && ret > capacity) return capacity;  /* MSG_TRUNC */
  return ret;
}

/* Floor of the binary logarithm; LLVM 14 crashes on __builtin_clzll for this target. */
inline_ u32 log2_of(u64 v) {
  u32 r = 0;
  if (v >> 32) { v >>= 32; r += 32; }
  if (v >> 16) { v >>= 16; r += 16; }
  if (v >> 8) { v >>= 8; r += 8; }
  if (v >> 4) { v >>= 4; r += 4; }
  if (v >> 2) { v >>= 2; r += 2; }
  return r + (v >> 1);
}

inline_ void measure(struct slot *slot, struct spec *spec, u64 latency, s64 ret) {
  struct counter *n = count_call(slot);
  if (!n) return;
  n->bytes += payload(slot, spec, ret);
  if (failed(ret)) n->errors += 1;
  n->latency += latency;
  u32 bucket = log2_of(latency);
  OPAQUE(bucket);
  bucket &= 63;
  if (bucket >= BUCKETS) bucket = BUCKETS - 1;
  n->histogram[bucket] += 1;
}

/* Sum of the lengths of an iovec; -1 when it cannot be read or has more than 64 entries. */
inline_ s64 iovec_bytes(u64 vector, u64 entries) {
  s64 sum = 0;
  if (entries > 64) return -1;
  for (u32 i = 0; i < 64; i++) {
    u64 length = 0;
    OPAQUE(i);
    if (i >= entries) break;
    if (read_user(&length, 8, (void *)(vector + 16 * i + 8))) return -1;
    sum += length;
  }
  return sum;
}

inline_ void finish(struct slot *slot, struct spec *spec) {
  emit(BY_EXIT, slot, slot->end - slot->start, slot->ret, slot->flags);
  slot->last_end = slot->end;
}

int on_exit(struct exit_args *ctx) {
  u64 end = bpf_ktime_get_boot_ns();
  u32 tid = bpf_get_current_pid_tgid(), zero = 0;
  s64 ret = ctx->ret;
  struct slot *slot = slots.lookup(&tid);
  struct live *now = live.lookup(&zero);
  if (!now) return 0;
  if (!slot) {
    if (now->changing && changers.lookup(&tid)) {
      changers.delete(&tid);
      __sync_fetch_and_add(&now->changing, -1);
      __sync_fetch_and_add(&now->tree_generation, 1);
    }
    return 0;
  }
  u8 state = slot->state;
  slot->state = S_NONE;
  if (slot->changes_names) __sync_fetch_and_add(&now->tree_generation, 1);
  if (state == S_NONE && !slot->ignored) count(T_UNPAIRED);
  if (state != S_OPEN) return 0;
  u32 nr = slot->nr;
  struct spec *spec = specs.lookup(&nr);
  if (!spec) return 0;
  if (spec->extra == X_IOVEC) slot->extra = iovec_bytes(word(slot, spec->extra_arg), word(slot, spec->extra_count));
  else if (spec->extra == X_MSGHDR) {
    u64 vector[2] = {};                                             /* msg_iov, msg_iovlen */
    slot->extra = -1;
    if (!read_user(vector, sizeof(vector), (void *)(word(slot, spec->extra_arg) + 16))) slot->extra = iovec_bytes(vector[0], vector[1]);
  }
  measure(slot, spec, end - slot->start, ret);
  if (slot->flags & EF_SAMPLED_OUT) { count(T_SAMPLED); slot->last_end = end; return 0; }
  if (kept_out(slot, end - slot->start, ret)) { slot->last_end = end; return 0; }
  slot->end = end; slot->ret = ret;
  if (spec->extra == X_OPEN_HOW) { slot->extra = -1; read_user(&slot->extra, 8, (void *)word(slot, spec->extra_arg)); }
  else if (spec->extra == X_FDS && !ret) read_user(&slot->extra, 8, (void *)word(slot, spec->extra_arg));
  if (spec->flags & SF_WRITES && ret > 0 && slot->file_at && !spec->off && rd32(slot->file_at + O_file_f_flags) & 02000)
    slot->pos = rd(slot->file_at + O_file_f_pos) - ret;             /* O_APPEND: only now is the position known */
  struct scratch *s = mine(BY_EXIT);
  if (!s) return 0;
  if (spec->how1 && spec->how1 != H_EXEC && (spec->how1 != H_OUT || ret > 0)) {
    slot->names = next_id(s, &s->last_names);
    if (!send_user_text(s, word(slot, spec->str1), slot->names, N_PATH1, slot->files[F_BASE1], slot->rooted & 1)) slot->flags |= EF_NAMES_LOST;
  }
  if (spec->how2) {
    if (!slot->names) slot->names = next_id(s, &s->last_names);
    if (!send_user_text(s, word(slot, spec->str2), slot->names, N_PATH2, slot->files[F_BASE2], slot->rooted & 2)) slot->flags |= EF_NAMES_LOST;
  }
  s64 fd = spec->result == R_FD ? ret : spec->extra == X_FDS && !ret ? (s32)slot->extra : -1;
  if (fd >= 0) {
    u64 f = file_of(bpf_get_current_task(), fd);
    __builtin_memset(s->ask, 0, sizeof(s->ask));
    if (f) s->ask[F_FILE] = f + O_file_f_path;
    find(s, slot, now->tree_generation);
    if (s->todo) tails.call(ctx, 1);
  }
  finish(slot, spec);
  return 0;
}

int exit_walk(struct exit_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid(), zero = 0;
  struct slot *slot = slots.lookup(&tid);
  struct scratch *s = mine(BY_EXIT);
  struct live *now = live.lookup(&zero);
  if (!slot || !s || !now) return 0;
  u32 nr = slot->nr;
  struct spec *spec = specs.lookup(&nr);
  if (!spec) return 0;
  name_one(s, slot, now);
  finish(slot, spec);
  return 0;
}

/* ---- tasks ------------------------------------------------------------------------------------------------ */

#if CLASSIC
/* The task of a number among the youngest of a list of tasks; 0 where it is not there. */
inline_ u64 youngest(u64 list, u32 link, u32 tid) {
  u64 at = rd(list + 8);                                            /* list_head.prev */
  for (u32 i = 0; i < 16; i++) {
    OPAQUE(i);
    if (!at || at == list) break;
    if (rd32(at - link + O_task_struct_pid) == tid) return at - link;
    at = rd(at + 8);
  }
  return 0;
}

/* The trace event has the child's number and no address. A new process is the last of its parent's children, a new
 * thread the last of its group. */
inline_ u64 child_of(u64 parent, u32 tid) {
  u64 child = youngest(parent + O_task_struct_children, O_task_struct_sibling, tid);
  if (!child) child = youngest(rd(parent + O_task_struct_signal) + O_signal_struct_thread_head, O_task_struct_thread_node, tid);
  if (!child) child = youngest(rd(parent + O_task_struct_real_parent) + O_task_struct_children, O_task_struct_sibling, tid);  /* CLONE_PARENT */
  return child;
}
#endif

int on_fork(struct fork_args *ctx) {
#if CLASSIC
  u64 parent = bpf_get_current_task();
#else
  u64 parent = ctx->parent, child = ctx->child;
#endif
  u32 zero = 0, from = rd32(parent + O_task_struct_tgid), in = TARGET_IN;
  struct config *c = config.lookup(&zero);
  if (!c || c->mode > M_ALL) return 0;                              /* others are decided at every enter */
  if (c->mode == M_SET) {
    u8 *t = targets.lookup(&from);
    if (!t) return 0;
    in = *t;
  }
#if CLASSIC
  u64 child = child_of(parent, ctx->child_pid);
  if (!child) { count(T_SLOTS_FULL); return 0; }
#endif
  u32 tgid = rd32(child + O_task_struct_tgid), tid = rd32(child + O_task_struct_pid);
  if (c->mode == M_SET && tgid != from) {
    u8 value = in;
    if (!c->follow) return 0;
    targets.update(&tgid, &value);
  }
  struct slot *slot = new_slot(mine(BY_FORK), child, tid, tgid, c->scope_gen);
  if (!slot) return 0;
  slot->waiting = in == TARGET_AT_EXEC;
  if (c->tid && slot->tid != c->tid) slot->ignored = 1;
  if (tgid != from) send_task(N_BIRTH, slot->pid, local_number(rd(rd(parent + O_task_struct_group_leader) + O_task_struct_thread_pid)));
  return 0;
}

/* exec by a thread that is not the leader: it goes on under the leader's number. */
int on_exec(struct exec_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid(), old = ctx->old_pid;
  if (old == tid) return 0;
  struct slot *from = slots.lookup(&old);
  struct scratch *s = mine(BY_EXEC);
  if (!from || !s) return 0;
  struct slot *to = &s->blank;
  u32 number = from->pid;
  __builtin_memcpy(to, from, sizeof(*to));
  to->tid = number;
  slots.update(&tid, to);
  slots.delete(&old);
  return 0;
}

int on_task_exit(void *ctx) {
  u64 task = bpf_get_current_task();
  u32 tid = rd32(task + O_task_struct_pid), tgid = rd32(task + O_task_struct_tgid), zero = 0;
  struct slot *slot = slots.lookup(&tid);
  struct live *now = live.lookup(&zero);
  if (now && now->changing && changers.lookup(&tid)) {
    changers.delete(&tid);
    __sync_fetch_and_add(&now->changing, -1);
    __sync_fetch_and_add(&now->tree_generation, 1);
  }
  u32 pid = 0;
  if (slot) {
    pid = slot->pid;
    u32 nr = slot->nr;
    struct spec *spec = specs.lookup(&nr);
    if (slot->state == S_OPEN && spec && spec->result != R_NEVER) {
      current_filter(slot);   /* its last call's generation is not this one's: that call has not been judged yet */
      /* Killed, or lost: a row the ring has no room for is not counted twice. */
      if (slot->flags & EF_SAMPLED_OUT || emit(BY_TASK_EXIT, slot, bpf_ktime_get_boot_ns() - slot->start, 0, slot->flags | EF_IN_FLIGHT))
        count(T_KILLED);
    }
    slots.delete(&tid);
  }
  if (rd32(rd(task + O_task_struct_signal) + O_signal_struct_live)) return 0;   /* threads left in the group */
  targets.delete(&tgid);
  if (pid) send_task(N_DEATH, pid, 0);
  return 0;
}

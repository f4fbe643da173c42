/* The Python stack of a call, read from the interpreter's memory: CPython 3.11 to 3.15, see python.py.
 *
 *   python_walk  (tail call, the last thing of a call that becomes a record) thread state -> frames -> id of the stack,
 *                where the interpreter's counter of code objects tells that it is one met before
 *   python_find  (tail call) else: frames -> what identifies their code objects -> id of the stack
 *   python_new   (tail call, once for each stack) names of the code objects not sent before, while they live; then it
 *   python_done  (tail call) the call goes on
 *   exec, mmap   the file is a known interpreter (`binaries`, by the kernel's device and inode) -> `pythons`; one that
 *                may be and is not known yet -> FACT_ASK to the collector
 *   fork         the child has its parent's entry: the same addresses
 *   openers.c    which stack opened the file of a call
 *
 * The programs of this file are loaded apart, when stacks are asked for: without them the tail calls lead nowhere, and
 * cost nothing. What a loop changes is kept in memory and not in registers: the verifier then sees one state. What has a
 * bound has 64 bits: of 32 some compilers make a copy, check that one and use the other. */
#define LINKS (FRAMES + 16)    /* frames, and the interpreter's own entries between them */
#define WINDOW 8192            /* bytes of the data stack read at once, at most, */
#define USUAL 1024             /* and where nobody knows how many it takes: more is not given back for less than that either */
#define NEAR 512               /* and of the C stack, around a _PyCFrame: the entry of the interpreter is there as well */
#define NEAR_AT (WINDOW + 128)
#define FRAME 80               /* of it, what is looked at */
#define SINGLE_AT (NEAR_AT + NEAR + 128)   /* one that lies by itself */
#define TEXT 16384             /* of a line table, in one piece */
#define PIECES 64
#define CODES 7                /* looked at in one run: programs can call on 33 times, and exit_many does so 24 times */

struct layout {  /* python.py: LAYOUT */
  u32 key_at, most;                                      /* runtime: the key of pthread_getspecific; frames asked for */
  u32 t_thread, t_frame, t_chunk, t_status, cframe, direct;  /* thread state; direct: no _PyCFrame in between */
  u32 t_depth;                                           /* how many frames more there may be, then how many at most; 0: unknown */
  u32 f_code, f_previous, f_instr, f_owner, shim, tag;   /* frame; owners from `shim` on are the interpreter's own */
  u32 plain;                                             /* it is as `scan` has it */
  u32 c_line, c_file, c_name, c_table, c_traceable, c_code, versioned;
  u32 s_ascii, s_compact;
  u32 counter, counter_bytes, counter_global;            /* in the interpreter's state, or from _PyRuntime on */
  u32 counts;                                            /* versions: they are below it */
};
struct binary { u64 symbol, segment, start; s64 tls; u32 layout, library; };  /* addresses as the file has them */
struct file_key { u64 dev, inode; };
struct frame { u64 code; u32 at, pad; };
struct stack { u32 kind, id, count, flags; struct frame frames[FRAMES]; };
struct code { u32 kind, line; u64 id; u32 traceable, flags, file, name, table, pid; };  /* and the three texts */
struct ask { u32 kind, pid; u64 dev, inode; };
struct code_key { u64 code, identity, serial; };
struct recent { u64 hash, time; u32 stack, pad; };
struct walker {
  u8 t[256];
  u64 address[FRAMES], function[FRAMES], identity[FRAMES];
  u64 met[64], links, innermost, next, top, hash, quick, begin, left, low, last, near, chunk, counter, code, who, file, file_hash;
  u32 n, at, last_stack, pid;
  struct recent recent[128];
  struct stack stack;
  struct code head;
  union {
    u8 text[TEXT + 4096];    /* right behind its head: sent as one */
    u8 f[SINGLE_AT + 256];   /* frames, until all there is to know of them is known */
  };
};
_Static_assert(sizeof(struct walker) <= 32768, "walker");   /* what a map per CPU can have */
_Static_assert(__builtin_offsetof(struct walker, text) == __builtin_offsetof(struct walker, head) + sizeof(struct code), "code");

BPF_RINGBUF_OUTPUT(facts, FACT_PAGES);
BPF_ARRAY(layouts, struct layout, 16);
BPF_HASH(pythons, u32, struct python, 16384);            /* by number of the process */
BPF_HASH(binaries, struct file_key, struct binary, 1024);
BPF_TABLE("lru_hash", u64, u32, stacks, KNOWN_STACKS);
BPF_TABLE("lru_hash", struct code_key, u8, codes, KNOWN_CODES);
BPF_PERCPU_ARRAY(walkers, struct walker, SHARES);

static long (*ring_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;

/* ---- which processes are Python ---- */

inline_ u32 process_of(u64 task) {  /* as slots number it */
  u32 pid = local_number(rd(rd(task + O_task_struct_group_leader) + O_task_struct_thread_pid));
  return pid ? pid : rd32(task + O_task_struct_tgid);
}

inline_ void ask(u32 pid, struct file_key *key) {
  struct ask a = { .kind = FACT_ASK, .pid = pid, .dev = key->dev, .inode = key->inode };
  facts.ringbuf_output(&a, sizeof(a), BPF_RB_FORCE_WAKEUP);
}

inline_ void set_python(u32 pid, struct binary *b, u64 runtime) {
  struct python p = { .runtime = runtime, .tls = b->tls, .layout = b->layout, .serial = mix(bpf_ktime_get_ns(), pid) };
  pythons.update(&pid, &p);
}

inline_ void key_of(u64 file, struct file_key *key) {
  u64 inode = rd(file + O_file_f_inode);
  key->inode = rd(inode + O_inode_i_ino);
  key->dev = rd32(rd(inode + O_inode_i_sb) + O_super_block_s_dev);
}

inline_ void forget(struct slot *slot) {
  if (!slot) return;
  slot->python.layout = 0;
  slot->thread_state = 0;
  slot->no_python = 0;
}

int python_exec(struct exec_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid(), old = ctx->old_pid;
  struct slot *slot = slots.lookup(&tid), *from = slots.lookup(&old);
  struct file_key key = {};
  forget(slot);
  forget(from);
  if (!slot) slot = from;
  if (!slot) return 0;
  u32 pid = slot->pid;
  pythons.delete(&pid);
  u64 mm = rd(bpf_get_current_task() + O_task_struct_mm);
  key_of(rd(mm + O_mm_struct_exe_file), &key);
  struct binary *b = binaries.lookup(&key);
  if (!b) ask(pid, &key);
  else if (b->layout && !b->library) set_python(pid, b, rd(mm + O_mm_struct_start_code) - b->start + b->symbol);
  return 0;
}

int python_fork(struct fork_args *ctx) {
#if CLASSIC
  u64 parent = bpf_get_current_task(), child = child_of(parent, ctx->child_pid);
  if (!child) return 0;                                             /* on_fork counts it */
#else
  u64 parent = ctx->parent, child = ctx->child;
#endif
  u32 from = process_of(parent), to = process_of(child);
  if (from == to) return 0;
  struct python *p = pythons.lookup(&from);
  if (!p) { pythons.delete(&to); return 0; }
  struct python copy = *p;
  if (rd(parent + O_task_struct_mm) != rd(child + O_task_struct_mm))   /* from now on each makes code of its own */
    copy.serial = mix(bpf_ktime_get_ns(), to);
  pythons.update(&to, &copy);
  return 0;
}

int python_end(void *ctx) {
  u64 task = bpf_get_current_task();
  if (rd32(rd(task + O_task_struct_signal) + O_signal_struct_live)) return 0;
  u32 pid = process_of(task);
  pythons.delete(&pid);
  return 0;
}

/* An operation of io_uring has ended: those that make a file are no calls, and their files may be where others were. */
int python_ring(struct ring_args *ctx) {
  u32 pid = process_of(bpf_get_current_task()), zero = 0, *times = uncertain.lookup(&zero);
#ifdef O_io_kiocb_opcode
  u8 operation = 0;
  read_kernel(&operation, 1, (void *)(ctx->request + O_io_kiocb_opcode));
  if (operation < 64 && !(RING_OPENS >> operation & 1)) return 0;
#endif
  if (times && pythons.lookup(&pid)) __sync_fetch_and_add(times, 1);
  return 0;
}

/* A call of mmap has ended. The writable segment of a library holds _PyRuntime. */
int python_mapped(struct exit_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  if (!slot) return 0;
  u64 regs[8] = {};
  read_kernel(regs, sizeof(regs), (void *)(registers_of(ctx) + REGISTERS_START));
  s64 ret = ctx->ret;
  if (!(regs[ARG2] & 2) || ret < 0 && ret >= -MOST_ERRNO || (s32)regs[ARG4] < 0) return 0;
  u64 file = file_of(bpf_get_current_task(), regs[ARG4]);
  if (!file) return 0;
  struct file_key key = {};
  key_of(file, &key);
  u32 pid = slot->pid;
  struct binary *b = binaries.lookup(&key);
  if (!b) {
    u64 name[2] = {};
    read_kernel(name, 9, (void *)rd(rd(file + O_file_f_path + 8) + O_dentry_d_name + 8));
    if (name[0] == 0x6f6874797062696cULL && (u8)name[1] == 'n') ask(pid, &key);   /* libpython */
    return 0;
  }
  if (!b->layout || !b->library) return 0;
  set_python(pid, b, ret - b->segment + b->symbol);
  u32 zero = 0;
  struct live *now = live.lookup(&zero);
  if (now) __sync_fetch_and_add(&now->pythons, 1);
  return 0;
}

/* ---- which frames a thread has ---- */

#define BOUND 8
#define STATE64(offset) (*(u64 *)(s->t + ((offset) & 248)))
#define STATE32(offset) (*(u32 *)(s->t + ((offset) & 252)))
#define FRAME64(offset) (*(u64 *)(s->f + where + ((offset) & 120)))

/* Where in s->f the frame at an address is, which is not in what was read last. Frames of plain functions lie behind each
 * other in the thread's data stack: one read brings many. */
inline_ u64 read_frame(struct walker *s, struct slot *slot, u64 at) {
  volatile struct walker *v = s;
  u64 place = at - v->near, floor = v->chunk;
  if (place <= NEAR - FRAME) return NEAR_AT + place;
  if (at < floor || at - floor > 65536)                             /* a generator's, the interpreter's, or in an older piece */
    return read_user(s->f + SINGLE_AT, FRAME, (void *)at) ? -1 : SINGLE_AT;
  u64 low = v->top ? 0 : floor + slot->python.lowest;               /* as far as the stack went that the thread had last */
  if (low > at || at + FRAME - low > WINDOW) low = at + FRAME - USUAL;
  if (low < floor || low > at) low = floor;
  if (!v->top) v->top = at;
  u64 size = at + FRAME - low;                                      /* nothing between its bound and its use: old verifiers */
  OPAQUE(size);                                                     /* know no more of a value that was put away */
  if (size > WINDOW) return -1;
  if (read_user(s->f, size, (void *)low)) {                         /* some of it may not be there */
    low = at; size = FRAME;
    if (read_user(s->f, FRAME, (void *)at)) return -1;
  }
  v->low = low; v->last = size - FRAME;
  return at - low;
}

inline_ u64 frame_at(struct walker *s, struct slot *slot, u64 at) {
  volatile struct walker *v = s;
  u64 where = at - v->low;
  if (where > v->last) where = read_frame(s, slot, at);
  OPAQUE(where);
  return where;
}

/* The thread's state, into s->t. Not the one "current": that is none while a call blocks. It is where it was at the call
 * before as long as it says so itself: pthread_getspecific still gives this one (_status.bound_gilstate, 3.12). */
inline_ u64 state_of(struct walker *s, struct slot *slot, struct layout *l) {
  u64 base, tstate = slot->thread_state;
  s64 at = slot->python.tls;
#if TASK_BTF
  u64 task = typed_task();
  LOAD64(base, task, O_task_struct_thread + O_thread_struct_fsbase);
#else
  base = rd(bpf_get_current_task() + O_task_struct_thread + O_thread_struct_fsbase);
#endif
  if (tstate && l->t_status && !read_user(s->t, 256, (void *)(tstate + 16)) && STATE64(l->t_thread - 16) == base &&
      STATE64(l->t_status - 16) & BOUND) return tstate;
  slot->why = T_NO_STATE;
  slot->thread_state = tstate = 0;
  if (!at) {                                                        /* pthread_getspecific of glibc */
    u32 key[2] = {};
    if (!l->key_at || read_user(key, 8, (void *)(slot->python.runtime + l->key_at)) || !key[0] || key[1] > 31) return 0;
    at = slot->python.tls = 0x310 + 16 * (s64)key[1] + 8;
  }
  if (read_user(&tstate, 8, (void *)(base + at)) || !tstate) return 0;
  slot->why = T_UNREADABLE;
  if (read_user(s->t, 256, (void *)(tstate + 16))) return 0;
  slot->why = T_OTHER_THREAD;
  if (STATE64(l->t_thread - 16) != base) return 0;
  return slot->thread_state = tstate;
}

/* Where the thread's innermost frame is, and the counter; 0 and slot->why where there is none. */
inline_ u64 innermost(struct walker *s, struct slot *slot, struct layout *l) {
  volatile struct walker *v = s;
  u64 tstate = state_of(s, slot, l), at, counter = 0, chunk = 0;
  if (!tstate) return 0;
  slot->why = T_UNREADABLE;
  at = STATE64(l->t_frame - 16);
  v->near = -1;
  if (!l->direct) {
    u64 near = at - NEAR / 2;
    if (read_user(s->f + NEAR_AT, NEAR, (void *)near)) {
      if (read_user(&at, 8, (void *)(at + l->cframe))) return 0;
    } else {
      v->near = near;
      at = *(u64 *)(s->f + NEAR_AT + NEAR / 2 + (l->cframe & 8));
    }
  }
  if (l->t_chunk < 264) chunk = STATE64(l->t_chunk - 16);
  else read_user(&chunk, 8, (void *)(tstate + l->t_chunk));
  u64 counted = slot->python.counter;
  if (!counted && l->counter)
    counted = (l->counter_global ? slot->python.runtime + (s64)(s32)l->counter : STATE64(0) + l->counter);
  v->counter = 0;
  if (counted) {
    if (read_user(&counter, slot->python.counter || l->counter_bytes == 8 ? 8 : 4, (void *)counted)) return 0;
    v->counter = counter + 1;
  }
  v->begin = mix(slot->python.serial, STATE64(0));                  /* counters are an interpreter's own */
  v->chunk = chunk + 24; v->low = at + 1; v->last = 0; v->top = 0; v->left = l->most;
  slot->why = T_NO_FRAME;
  return at;
}

#define HASHED(hash, code, instruction) ((hash ^ (code * OTHER_ODD + instruction)) * ODD)

/* One frame more in `hash`. One that is no function's counts as nothing, without a jump: that would be two ways for verifiers
 * to follow. */
#define NEXT_FRAME(where) { \
  u8 *f = s->f + (where); \
  u64 counts = (f[owner] - shim) >> 63; \
  OPAQUE(counts); \
  hash = (hash ^ ((*(u64 *)f * OTHER_ODD + *(u64 *)(f + 56)) & -counts)) * ODD; \
  left -= counts; \
  at = *(u64 *)(f + 8); \
}

/* The hash of the stack's addresses and instructions, and nothing else: all that most calls need. For frames as 3.12 and
 * later have them. 0: there is none, or it cannot be read. Most stacks are whole in the first piece that is read, and their
 * frames where those of the stack before were: then no look waits for the one before it. */
inline_ u64 scan(struct walker *s, struct slot *slot, struct layout *l, u64 at) {
  volatile struct walker *v = s;
  frame_at(s, slot, at);
  u64 hash = v->begin, left = v->left, low = v->low, last = v->last, owner = l->f_owner & 127, shim = l->shim, i;
  u64 end = l->t_depth ? (u64)l->most - (STATE32(l->t_depth - 12) - STATE32(l->t_depth - 16)) : -1ULL;   /* of `left` */
#pragma clang loop unroll(disable)
  for (i = 0; i < LINKS; i++) {
    OPAQUE(i);
    u64 expected = s->met[i], where = expected - low;
    if (at != expected || where > last || !left) break;
    OPAQUE(where);
    NEXT_FRAME(where & (WINDOW - 1));
  }
  v->next = at; v->hash = hash; v->left = left; v->links = i;
  at = v->next; hash = v->hash; left = v->left;
#pragma clang loop unroll(disable)
  for (i = 0; i < LINKS; i++) {
    OPAQUE(i);
    if (!at || !left || left == end) break;
    u64 where = frame_at(s, slot, at), n = v->links;
    if (where > SINGLE_AT) { slot->why = T_UNREADABLE; return 0; }
    s->met[n & 63] = at;
    v->links = n + 1;
    NEXT_FRAME(where);
  }
  v->next = left == end ? 0 : at; v->hash = hash; v->left = left;
  u64 lowest = s->met[(v->links - 1) & 63] - v->chunk, before = slot->python.lowest;
  if (v->top && lowest <= v->top - v->chunk && (lowest < before || lowest > before + USUAL)) slot->python.lowest = lowest;
  return v->left == l->most ? 0 : mix(v->hash, !!v->next) | 1;
}

/* Fill s->stack and s->address; the hash of both, or 0. */
inline_ u64 walk(struct walker *s, struct slot *slot, struct layout *l, u64 at) {
  volatile struct walker *v = s;
  u64 hash = v->begin;
  v->n = 0;
#pragma clang loop unroll(disable)
  for (u32 i = 0; i < LINKS; i++) {
    OPAQUE(i);
    u64 n = v->n;
    if (!at || n >= FRAMES || n >= l->most) break;
    u64 where = frame_at(s, slot, at);
    if (where > SINGLE_AT) { slot->why = T_UNREADABLE; return 0; }
    u64 code = FRAME64(l->f_code) & ~(u64)l->tag;
    at = FRAME64(l->f_previous);
    if (s->f[where + (l->f_owner & 127)] >= l->shim) continue;
    u64 instruction = FRAME64(l->f_instr);
    s->address[n & (FRAMES - 1)] = code;
    s->function[n & (FRAMES - 1)] = FRAME64(0);                     /* of 3.11 */
    s->stack.frames[n & (FRAMES - 1)].at = instruction - code - l->c_code;
    hash = HASHED(hash, code, instruction);
    v->n = n + 1;
  }
  if (!v->n) return 0;
  s->stack.count = v->n;
  s->stack.flags = (at ? STACK_CUT : 0) | (slot->tells ? STACK_OWNERS : 0);
  return v->hash = mix(hash, !!at) | 1;
}

/* ---- what tells a code object from another that is given the same address later ---- */

/* Of `size` bytes up to 128, of more both ends; 0 where they cannot be read. Into s->t, which nobody needs any more. */
inline_ u64 hash_of(struct walker *s, u64 at, u64 size) {
  __builtin_memset(s->t, 0, 128);
  u64 n = size <= 128 ? size : 64;
  OPAQUE(n);
  if (n > 128 || read_user(s->t, n, (void *)at)) return 0;
  if (size > 128 && read_user(s->t + 64, 64, (void *)(at + size - 64))) return 0;
  u64 h = mix(5, size);
#pragma unroll
  for (u32 k = 0; k < 16; k++) h = mix(h, *(u64 *)(s->t + 8 * k));
  return h | 1;
}

/* Of a str: Python's own hash, where somebody has asked for it, tells all. */
inline_ u64 hash_of_str(struct walker *s, struct layout *l, u64 object) {
  struct { u64 length, hash; u32 state, pad; } h = {};
  if (read_user(&h, sizeof(h), (void *)(object + 16))) return 0;
  if (h.hash != -1ULL) return mix(mix(mix(object, h.length), h.hash), 1) | 1;
  u64 text = hash_of(s, object + (h.state >> 6 & 1 ? l->s_ascii : l->s_compact), h.length * (h.state >> 2 & 7));
  return text ? mix(text, object) | 1 : 0;
}

inline_ u64 hash_of_bytes(struct walker *s, u64 object) {
  u64 size = 0;
  return read_user(&size, 8, (void *)(object + 16)) ? 0 : hash_of(s, object + 32, size);
}

inline_ u64 identity_of(struct walker *s, struct layout *l, u64 code, u64 function, u32 at) {
  if (l->versioned) {                                               /* 3.12: a number of its own, never used again */
    struct { u32 line, pad[5], version, more; } h = {};
    if (read_user(&h, sizeof(h), (void *)(code + 68))) return 0;
    if (h.version) return (u64)h.version << 32 | h.line;
    /* From 3.13 on a class that is called often waits below its __init__ in code without one, which never begins. */
    u32 begins = 0;
    return !read_user(&begins, 4, (void *)(code + l->c_traceable)) && at < 2 * begins;
  }
  volatile struct walker *v = s;
  struct { u64 code, pad[9]; u32 version, more; } f = {};           /* 3.11: that of a function which was called often */
  if (!read_user(&f, sizeof(f), (void *)(function + 48)) && f.version && f.code == code) return (u64)f.version << 32;
  struct { u32 line, pad[9]; u64 file, name, qualname, table; } h = {};
  if (read_user(&h, sizeof(h), (void *)(code + 72))) return 0;      /* else what it says */
  if (v->file != h.file) {                                          /* often that of the frame before */
    v->file = h.file;
    v->file_hash = hash_of_str(s, l, h.file);
  }
  u64 table = hash_of_bytes(s, h.table), name = hash_of_str(s, l, h.qualname), file = v->file_hash;
  if (!table || !file || !name) return 0;
  return mix(mix(mix(mix(table, file), name), h.line), h.table) | 1;
}

/* The hash of the stack with the identities of its code objects; 0 where one cannot be read. */
inline_ u64 identify(struct walker *s, struct layout *l) {
  volatile struct walker *v = s;
  v->code = v->file = 0;
#pragma clang loop unroll(disable)
  for (u32 i = 0; i < FRAMES; i++) {
    OPAQUE(i);
    if (i >= v->n) break;
    u32 k = i & (FRAMES - 1);
    u64 code = s->address[k], who = v->who;
    if (code != v->code) who = IDENTITY ? identity_of(s, l, code, s->function[k], s->stack.frames[k].at) : 1;
    if (!who) return 0;
    v->code = code;
    v->who = who;
    if (l->counts && (who >> 32) + 1 >= v->counter) v->counter = l->counter = 0;   /* it is another word: a version each */
    s->identity[k] = who;
    v->hash = mix(v->hash, who);
  }
  return v->hash | 1;
}

/* ---- a stack seen for the first time ---- */

/* Copy a str or bytes behind what is in s->text; returns its bytes. Into s->head.flags go the bytes a character of a str,
 * and what is amiss. */
inline_ u64 copy_text(struct walker *s, struct layout *l, u64 object, u64 at, bool bytes, u64 most) {
  volatile u32 *flags = &s->head.flags;
  struct { u64 length, hash; u32 state, pad; } h = {};
  if (read_user(&h, sizeof(h), (void *)(object + 16))) { *flags |= FACT_UNREADABLE; return 0; }
  u64 size = h.length, data = object + 32;
  if (!bytes) {
    u32 kind = h.state >> 2 & 7, ascii = h.state >> 6 & 1;
    data = object + (ascii ? l->s_ascii : l->s_compact);
    size *= kind;
    *flags = (*flags & 0xffff0000) | (*flags & 15) << 4 | (ascii ? 0 : kind);
  }
  if (size > most) {
    if (!bytes) *flags |= FACT_LONG;
    size = most & ~3ULL;
  }
  u64 n = size;
  OPAQUE(n);
  if (n > TEXT) n = TEXT;
  if (read_user(&s->text[at & 4095], n, (void *)data)) { *flags |= FACT_UNREADABLE; return 0; }
  return n;
}

/* What of a line table does not fit into one record; it can not change meanwhile: the thread is in its call. */
inline_ u32 send_rest(struct walker *s, u64 data, u64 size) {
  struct code *h = &s->head;
#pragma clang loop unroll(disable)
  for (u32 i = 1; i < PIECES; i++) {
    OPAQUE(i);
    u64 at = (u64)i * TEXT, n = size - at;
    if (at >= size) break;
    OPAQUE(n);
    if (n > TEXT) n = TEXT;
    if (read_user(s->text, n, (void *)(data + at))) return T_UNREADABLE;
    h->kind = FACT_MORE; h->file = 0; h->name = 0; h->table = n;
    if (facts.ringbuf_output(h, sizeof(*h) + n, BPF_RB_NO_WAKEUP)) return T_LOST_FACTS;
  }
  return 0;
}

/* Returns why not; 0 when all is well. */
inline_ u32 send_code(struct walker *s, struct layout *l, u64 code, u64 id) {
  struct code *h = &s->head;
  u64 file = 0, name = 0, table = 0, whole = 0;
  h->kind = FACT_CODE; h->id = id; h->line = 0; h->traceable = 0; h->pid = s->pid; h->flags = 0;
  read_user(&h->line, 4, (void *)(code + l->c_line));
  read_user(&h->traceable, 4, (void *)(code + l->c_traceable));
  read_user(&file, 8, (void *)(code + l->c_file));
  read_user(&name, 8, (void *)(code + l->c_name));
  read_user(&table, 8, (void *)(code + l->c_table));
  if (read_user(&whole, 8, (void *)(table + 16))) return T_UNREADABLE;
  if (whole > PIECES * TEXT) return T_LOST_FACTS;
  u64 f = copy_text(s, l, file, 0, false, LONGEST_NAME);
  OPAQUE(f);
  if (f > LONGEST_NAME) f = LONGEST_NAME;
  u64 n = copy_text(s, l, name, f, false, LONGEST_NAME);
  OPAQUE(n);
  if (n > LONGEST_NAME) n = LONGEST_NAME;
  u64 t = copy_text(s, l, table, f + n, true, TEXT);
  h->file = f; h->name = n; h->table = t;
  u64 size = sizeof(*h) + f + n + t;
  OPAQUE(size);
  if (h->flags & FACT_UNREADABLE || size > sizeof(*h) + TEXT + 4080) return T_UNREADABLE;
  if (facts.ringbuf_output(h, size, BPF_RB_NO_WAKEUP)) return T_LOST_FACTS;
  return whole > TEXT ? send_rest(s, table + 32, whole) : 0;
}

/* ---- the programs ---- */

/* On with the call. Programs call on so often and not oftener: who reads has to know of what is missing then. */
inline_ void go_on(void *ctx) {
  tails.call(ctx, TAIL_PYTHON_DONE);
  count(T_LOST_RING);
}

/* Which of the walkers: where programs can be preempted that of a fault (WALKING), of an entry or of an end. */
inline_ u32 share_of(struct slot *slot) {
  if (SHARES == 1) return 0;
  u32 open = slot->state == S_OPEN, walking = slot->faulting >> 6 & 1; 
  OPAQUE(open);
  OPAQUE(walking);
  return walking ? BY_FAULT : open ? BY_ENTER : BY_EXIT;
}

inline_ struct walker *walker_of(struct slot *slot) {
  u32 share = share_of(slot);
  return walkers.lookup(&share);
}

/* Stacks met lately on this CPU, where a counter tells that they are the same. Not for long: who reads lets go of ids that
 * were not used while many others were. */
#define LATELY (1ULL << 29)
inline_ struct recent *recent_of(struct walker *s) {
  u64 at = s->quick >> 57;
  OPAQUE(at);
  return &s->recent[at & 127];
}

inline_ void is_stack(struct walker *s, struct slot *slot, u32 id) {
  slot->stack = id;
  slot->why = 0;
  if (!s->counter) return;
  struct recent *r = recent_of(s);
  r->hash = s->quick; r->time = slot->end; r->stack = id;
}

/* Whether the process has a Python that is known; its slots remember either. */
inline_ bool has_python(struct slot *slot) {
  u32 zero = 0, pid = slot->pid;
  struct live *now = live.lookup(&zero);
  slot->why = T_NO_PYTHON;
  if (!now) return false;
  u32 news = now->pythons + now->learned;                           /* those that come while we look are news */
  struct python *p = pythons.lookup(&pid);
  if (!p) { slot->no_python = news; return false; }
  slot->python = *p;
  return true;
}

/* No code object was made, or freed, since a stack was met: equal addresses are equal code. */
inline_ bool met(struct walker *s, struct slot *slot, u64 hash) {
  s->quick = mix(hash, s->counter) | 1;
  struct recent *r = recent_of(s);
  if (r->hash == s->quick && slot->end - r->time < LATELY) { slot->stack = r->stack; slot->why = 0; return true; }
  u32 *known = stacks.lookup(&s->quick);
  if (known) is_stack(s, slot, *known);
  return known;
}

/* Find the id of the thread's stack; true where its code objects have to be looked at. */
inline_ bool look(struct walker *s, struct slot *slot) {
  if (!slot->python.layout && !has_python(slot)) return false;
  u32 layout = slot->python.layout;
  struct layout *l = layouts.lookup(&layout);
  if (!l) return false;
  s->innermost = innermost(s, slot, l);
  if (!s->innermost) return false;
  if (!l->plain || !s->counter) return true;
  u64 hash = scan(s, slot, l, s->innermost);
  return hash && !met(s, slot, hash);
}

int python_walk(void *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  if (!slot) return 0;
  struct walker *s = walker_of(slot);
  if (s && !slot->stack && !slot->why && look(s, slot)) tails.call(ctx, TAIL_PYTHON_FIND);
  if (slot->state == S_OPEN || slot->faulting == WALKING) { go_on(ctx); return 0; }
  find_opener(slot);
  finish(slot);
  may_be_mapped(ctx, slot);
  return 0;
}

/* The same; true where it has to be sent first. */
inline_ bool find_stack(struct walker *s, struct slot *slot, struct layout *l) {
  u64 hash = walk(s, slot, l, s->innermost);
  if (!hash || (!l->plain && s->counter && met(s, slot, hash))) return false;
  slot->why = T_UNREADABLE;
  hash = identify(s, l);
  if (!hash) return false;
  s->hash = hash;
  u32 *known = stacks.lookup(&s->hash);
  if (!known) { s->at = 0; s->pid = slot->pid; return true; }
  u32 id = *known;
  if (s->counter) stacks.update(&s->quick, &id);
  is_stack(s, slot, id);
  return false;
}

int python_find(void *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  if (!slot) return 0;
  struct walker *s = walker_of(slot);
  u32 layout = slot->python.layout;
  struct layout *l = layouts.lookup(&layout);
  if (s && l) {
    u64 begin = bpf_ktime_get_ns();
    bool is_new = find_stack(s, slot, l);
    if (!s->counter) {                                              /* so it will be at every call */
      count(T_COMPARED);
      add(T_COMPARED_NS, bpf_ktime_get_ns() - begin);
    }
    if (is_new) tails.call(ctx, TAIL_PYTHON_NEW);
  }
  go_on(ctx);
  return 0;
}

inline_ bool send_stack(struct walker *s, struct slot *slot) {
  s->last_stack += 1;
  u32 id = (s->last_stack * SHARES + share_of(slot)) * NCPU + bpf_get_smp_processor_id();
  u64 count = s->stack.count;
  OPAQUE(count);
  if (count > FRAMES) return false;
  s->stack.kind = FACT_STACK; s->stack.id = id;
  if (facts.ringbuf_output(&s->stack, 16 + count * sizeof(struct frame), BPF_RB_NO_WAKEUP)) return false;
  stacks.update(&s->hash, &id);   /* only now: another CPU must not meet an id that is not in the ring yet */
  if (s->counter) stacks.update(&s->quick, &id);
  is_stack(s, slot, id);
  return true;
}

int python_new(void *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  if (!slot) return 0;
  struct walker *s = walker_of(slot);
  u32 layout = slot->python.layout;
  struct layout *l = layouts.lookup(&layout);
  if (!s || !l) { go_on(ctx); return 0; }
  u32 why = 0;
#pragma clang loop unroll(disable)
  for (u32 i = 0; i < CODES; i++) {
    OPAQUE(i);
    if (s->at >= s->stack.count) break;
    u32 k = s->at & (FRAMES - 1);
    struct code_key key = { s->address[k], s->identity[k], slot->python.serial };
    u64 id = mix(mix(mix(7, key.code), key.identity), key.serial);
    u8 one = 1;
    s->stack.frames[k].code = id;
    if (!codes.lookup(&key)) {
      why = send_code(s, l, key.code, id);
      if (why) break;
      codes.update(&key, &one);
    }
    s->at += 1;
  }
  slot->why = why ? why : T_LOST_FACTS;
  if (!why && s->at < s->stack.count) tails.call(ctx, TAIL_PYTHON_NEW);
  else if (!why) send_stack(s, slot);
  go_on(ctx);
  return 0;
}

/* The call goes on: begins, or becomes a record. */
int python_done(void *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  if (!slot) return 0;
#if MAPPED
  if (slot->faulting == WALKING) { fault_has_stack(slot); return 0; }
#endif
  u32 nr = slot->nr;
  if (slot->state != S_OPEN) {
    find_opener(slot);
    finish(slot);
    may_be_mapped(ctx, slot);
    return 0;
  }
  struct spec *spec = specs.lookup(&nr);
  if (spec) begin(slot, spec);
  return 0;
}

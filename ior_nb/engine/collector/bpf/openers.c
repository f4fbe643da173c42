/* Which line opened a file: for each struct file that a call with a Python stack made, the id of that stack.
 *
 * Addresses of such structs come again, so an entry is believed only with its proof: where the file is in the tree, its
 * inode, and the credentials of who opened it, which is an object of the kernel's own in each process. A process can only
 * have the same again by opening the same file again, and every call that makes a file is looked at: one that is no record,
 * or has no stack, takes the entry away. Whatever hands a file on (dup, fork, SCM_RIGHTS) hands on the same struct. */
struct opener { u64 file, since, mnt, dentry, inode, cred, stack, sum; };

/* An entry is in one of two places. They are written without a lock, so one may be half of each: then its sum is wrong. */
BPF_ARRAY(openers, struct opener, KNOWN_OPENERS);
BPF_ARRAY(uncertain, u32, 1);    /* how often a traced process has opened files without a call, by io_uring */

#define ODD 0x9E3779B97F4A7C15ULL
#define OTHER_ODD 0xC2B2AE3D27D4EB4FULL

inline_ u64 mix(u64 h, u64 v) { h = (h ^ v) * ODD; return h ^ h >> 29; }

/* Of an entry, and of the trace it belongs to. Its products do not wait for each other. */
inline_ u64 sum_of(struct opener *o, struct slot *slot) {
  u32 zero = 0, *times = uncertain.lookup(&zero);
  u64 trace = (u64)slot->scope_gen << 32 | (times ? *times : 0);
  u64 a = (o->file * ODD + o->since) * OTHER_ODD + (o->mnt * ODD + o->dentry);
  u64 b = (o->inode * ODD + o->cred) * OTHER_ODD + (o->stack * ODD + trace);
  return a * ODD ^ (b ^ b >> 29);
}

/* The place of a file's entry, or the one it may take. */
inline_ struct opener *place_for(u64 file) {
  u32 first = mix(1, file) & (KNOWN_OPENERS - 1), second = first ^ 1;
  struct opener *a = openers.lookup(&first);
  if (a && a->file == file) return a;
  struct opener *b = openers.lookup(&second);
  if (!a || !b || b->file == file) return b;
  return a->since <= b->since ? a : b;
}

/* What tells a file from others at its address. */
inline_ void prove(struct opener *o, u64 file) {
  u64 head[FILE_BYTES / 8] = {};
  read_kernel(head, sizeof(head), (void *)(file + FILE_FROM));
#define OF_FILE(offset) head[((offset) - FILE_FROM) / 8]
  o->mnt = OF_FILE(O_file_f_path); o->dentry = OF_FILE(O_file_f_path + 8);
  o->inode = OF_FILE(O_file_f_inode); o->cred = OF_FILE(O_file_f_cred);
}

/* The stack that opened a file; 0 where that is not sure. */
inline_ u32 opener_of(struct slot *slot, u64 file, u64 before) {
  struct opener *at = file ? place_for(file) : 0, now;
  if (!at || at->file != file) return 0;
  struct opener o = *at;
  prove(&now, file);
  if (o.mnt != now.mnt || o.dentry != now.dentry || o.inode != now.inode || o.cred != now.cred) return 0;
  return o.file == file && o.since <= before && o.sum == sum_of(&o, slot) ? o.stack : 0;
}

inline_ void is_unknown(struct opener *at, u64 file) {
  if (at->file == file) at->file = at->since = 0;
}

inline_ void is_made(struct slot *slot, u64 file) {
  struct opener *at = file ? place_for(file) : 0;
  if (!at) return;
  if (!slot->stack) { is_unknown(at, file); return; }
  struct opener o = { .file = file, .since = slot->end, .stack = slot->stack };
  prove(&o, file);
  o.sum = sum_of(&o, slot);
  *at = o;
}

/* A call of signalfd that is given a descriptor returns it, and makes none. */
inline_ bool is_given(s64 fd, u64 argument) { return (u64)fd == argument; }

/* At the end of a call that becomes a record, and whose stack has been looked for. What ran meanwhile in other threads may
 * have closed its file and opened another at the same address: that one is younger than the call. */
inline_ void find_opener(struct slot *slot) {
  u32 nr = slot->nr;
  if (!slot->file_at && !slot->makes) return;
  struct spec *spec = specs.lookup(&nr);
  if (!spec || nr == NR_CLOSE) return;                              /* known since it began */
  s64 ret = slot->ret;
  if (ret >= 0 && !(slot->flags & (EF_REFUSED | EF_NO_RETURN))) {
    if (spec->extra == X_FDS) {
      u64 task = bpf_get_current_task();
      is_made(slot, file_of(task, (u32)slot->extra));
      is_made(slot, file_of(task, slot->extra >> 32));
      slot->opener = slot->stack;
      return;
    }
    bool result = spec->result == R_FD, made = slot->makes && !is_given(ret, slot->regs[ARG0]);
    if (made) is_made(slot, result ? slot->file_got : file_of(bpf_get_current_task(), ret));   /* accept works on another */
    if (result) {
      slot->opener = made ? slot->stack : opener_of(slot, slot->file_got, slot->start);
      return;
    }
  }
  slot->opener = opener_of(slot, slot->file_at, slot->start);
}

/* A call of close begins: at its end the file may be another. */
int python_close(void *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  if (!slot) return 0;
  u32 nr = slot->nr;
  struct spec *spec = specs.lookup(&nr);
  if (!spec) return 0;
  slot->opener = opener_of(slot, slot->file_at, -1ULL);
  begin(slot, spec);
  return 0;
}

/* A call that makes a file, or two, has ended, and is no record. */
int python_unseen(struct exit_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  s64 ret = ctx->ret;
  if (!slot || ret < 0) return 0;
  u32 nr = slot->nr;
  struct spec *spec = specs.lookup(&nr);
  u64 task = bpf_get_current_task(), regs[8] = {};
  if (!spec) return 0;
  u64 registers = registers_of(ctx);
  read_kernel(regs, sizeof(regs), (void *)(registers + REGISTERS_START));
  regs[ARG0] = rd(registers + O_pt_regs_first);
  s32 fds[2] = { is_given(ret, regs[ARG0]) ? -1 : ret, -1 };
  if (spec->extra == X_FDS) read_user(fds, sizeof(fds), (void *)regs[(spec->extra_arg - 1) & 7]);
  for (u32 i = 0; i < 2; i++) {
    u64 file = fds[i] < 0 ? 0 : file_of(task, fds[i]);
    struct opener *at = file ? place_for(file) : 0;
    if (at) is_unknown(at, file);
  }
  return 0;
}

/* Which line opened a file: for each struct file that a call with a Python stack made, the id of that stack.
 *
 * Addresses of such structs come again, so an entry is believed only with its proof: where the file is in the tree, its
 * inode, and the credentials of who opened it, which is an object of the kernel's own in each process. A process can only
 * have the same again by opening the same file again, and every call that makes a file is looked at: one that is no record,
 * or has no stack, takes the entry away. Whatever hands a file on (dup, fork, SCM_RIGHTS) hands on the same struct. */
struct opener { u64 file, proof, since, stack, sum; };

/* An entry is in one of two places. They are written without a lock, so one may be half of each: then its sum is wrong. */
BPF_ARRAY(openers, struct opener, KNOWN_OPENERS);
BPF_ARRAY(uncertain, u32, 1);    /* how often a traced process has opened files without a call, by io_uring */

inline_ u64 mix(u64 h, u64 v) { h = (h ^ v) * 0x9E3779B97F4A7C15ULL; return h ^ h >> 29; }

inline_ u64 sum_of(struct opener *o) { return mix(mix(mix(o->file, o->proof), o->since), o->stack); }

/* The place of a file's entry, or the one it may take. */
inline_ struct opener *place_for(u64 file) {
  u32 first = mix(1, file) & (KNOWN_OPENERS - 1), second = first ^ 1;
  struct opener *a = openers.lookup(&first), *b = openers.lookup(&second);
  if (!a || !b) return 0;
  if (a->file == file) return a;
  if (b->file == file) return b;
  return a->since <= b->since ? a : b;
}

/* What tells a file from others at its address, in this trace. */
inline_ u64 proof_of(struct slot *slot, u64 file) {
  u64 head[FILE_BYTES / 8] = {};
  u32 zero = 0, *times = uncertain.lookup(&zero);
  u64 trace = (u64)slot->scope_gen << 32 | (times ? *times : 0);
  read_kernel(head, sizeof(head), (void *)(file + FILE_FROM));
#define OF_FILE(offset) head[((offset) - FILE_FROM) / 8]
  return mix(mix(mix(mix(trace, OF_FILE(O_file_f_path)), OF_FILE(O_file_f_path + 8)), OF_FILE(O_file_f_inode)), OF_FILE(O_file_f_cred));
}

/* The stack that opened a file; 0 where that is not sure. */
inline_ u32 opener_of(struct slot *slot, u64 file, u64 before) {
  struct opener *at = file ? place_for(file) : 0;
  if (!at || at->file != file) return 0;
  struct opener o = *at;
  return o.since <= before && o.sum == sum_of(&o) && o.proof == proof_of(slot, file) ? o.stack : 0;
}

inline_ void is_unknown(struct opener *at, u64 file) {
  if (at->file == file) at->file = at->since = 0;
}

inline_ void is_made(struct slot *slot, u64 file) {
  struct opener *at = file ? place_for(file) : 0;
  if (!at) return;
  if (!slot->stack) { is_unknown(at, file); return; }
  struct opener o = { .file = file, .proof = proof_of(slot, file), .since = slot->end, .stack = slot->stack };
  o.sum = sum_of(&o);
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
  u64 task = bpf_get_current_task(), file = slot->file_at;
  s64 ret = slot->ret;
  if (ret >= 0 && !(slot->flags & (EF_REFUSED | EF_NO_RETURN))) {
    if (spec->extra == X_FDS) {
      is_made(slot, file_of(task, (u32)slot->extra));
      is_made(slot, file_of(task, slot->extra >> 32));
      slot->opener = slot->stack;
      return;
    }
    u64 result = slot->makes || spec->result == R_FD ? file_of(task, ret) : 0;
    bool made = slot->makes && !is_given(ret, slot->regs[ARG0]);
    if (made) is_made(slot, result);
    if (spec->result == R_FD) {
      slot->opener = made ? slot->stack : opener_of(slot, result, slot->start);
      return;
    }
  }
  slot->opener = opener_of(slot, file, slot->start);
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

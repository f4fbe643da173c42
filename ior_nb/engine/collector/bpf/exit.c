/* A call ends. */

inline_ u64 payload(struct slot *slot, struct spec *spec, s64 ret) {
  if (ret <= 0 || !spec->bytes) return 0;
  s64 capacity = spec->size ? (s64)word(slot, spec->size) : spec->extra == X_MSGHDR ? (s64)slot->extra : -1;
  u64 flags = spec->rflags ? word(slot, spec->rflags) : 0;
  if (flags & MSG_PEEK) return 0;
  if (spec->extra == X_MMSG) return (s64)slot->extra > 0 ? slot->extra : 0;
  if (!capacity) return 0;                                          /* a size probe moves nothing */
  if (flags & MSG_TRUNC && capacity > 0 && ret > capacity) return capacity;
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

/* Whether a failure is the answer to a question of normal work. */
inline_ bool probes(struct slot *slot, struct spec *spec, s64 ret) {
  u64 error = -ret;
  if (error > MOST_PROBE || !(spec->probes[error >> 6 & 1] >> (error & 63) & 1)) return false;
  return !spec->request || ASKS((u32)word(slot, spec->request));
}

inline_ void measure(struct slot *slot, struct spec *spec, u64 latency, s64 ret) {
  struct counter *n = count_call(slot);
  if (!n) return;
  n->bytes += payload(slot, spec, ret);
  if (failed(ret)) {
    if (probes(slot, spec, ret)) n->probes += 1;
    else n->errors += 1;
  }
  if (slot->flags & EF_REFUSED) return;                             /* it took no time that anybody knows */
  n->latency += latency;
  u32 bucket = log2_of(latency);
  OPAQUE(bucket);
  bucket &= 63;
  if (bucket >= BUCKETS) bucket = BUCKETS - 1;
  n->histogram[bucket] += 1;
}

/* ---- lengths of buffers and messages ---- */

/* Those of a few buffers are added up at once. exit_many does the others, a part in each of its runs, so that verifiers have
 * short loops to walk; the kernel takes at most 1,024 buffers, or messages, and programs call on at most 32 times in all. */
#define FEW 64
#define STEPS 67           /* of a run: 1,024 and the last take 16 */
#define MOST_RUNS 23
#define MMSGHDR 64         /* sizeof(struct mmsghdr), and where msg_len is in it */
#define MSG_LEN 56

/* Where the call's buffers are described. */
inline_ long vector_of(struct slot *slot, struct spec *spec, struct vector *v) {
  u64 at = word(slot, spec->extra_arg);
  if (spec->extra == X_MSGHDR) return read_user(v, sizeof(*v), (void *)(at + 16));     /* msg_iov, msg_iovlen */
  v->at = at;
  v->entries = word(slot, spec->extra_count);
  return 0;
}

/* Sum of the lengths of up to FEW buffers; -1 when one cannot be read. */
inline_ s64 few_bytes(struct vector *v) {
  s64 sum = 0;
  for (u32 i = 0; i < FEW; i++) {
    u64 length = 0;
    OPAQUE(i);
    if (i >= v->entries) break;
    if (read_user(&length, 8, (void *)(v->at + 16 * i + 8))) return -1;
    sum += length;
  }
  return sum;
}

/* What exit_many begins with: the buffers of a vector, or messages. */
inline_ void begin_adding(struct adding *a, struct slot *slot, struct spec *spec) {
  __builtin_memset(a, 0, sizeof(*a));
  a->wanted = spec->extra == X_IOVEC || spec->extra == X_MSGHDR || (spec->extra == X_MMSG && slot->ret > 0);
  if (spec->extra != X_MMSG) { a->wrong = a->wanted && vector_of(slot, spec, &a->buffers); return; }
  a->message = word(slot, spec->extra_arg);
  a->messages = slot->ret;
  a->fitting = spec->rflags && word(slot, spec->rflags) & MSG_TRUNC;
}

/* A step: a buffer, or the head of a message. What came of a message is msg_len, but where that is what there was on the
 * wire (MSG_TRUNC) not more than its buffers hold. False when there are no more. */
inline_ bool add_one(struct adding *a) {
  u64 size = 0, head[2] = {};
  if (a->buffers.entries) {
    if (read_user(&size, 8, (void *)(a->buffers.at + 8))) { a->wrong = 1; return false; }
    a->room += size;
    a->buffers.at += 16;
    a->buffers.entries -= 1;
    return true;
  }
  a->sum += a->fitting && a->length > a->room ? a->room : a->length;
  a->length = 0;
  if (!a->messages) return false;
  if (a->fitting) a->wrong |= !!read_user(&a->buffers, sizeof(a->buffers), (void *)(a->message + 16));
  a->wrong |= !!read_user(&size, 8, (void *)(a->message + MSG_LEN));
  if (a->wrong) return false;
  a->length = (u32)size;
  a->room = 0;
  a->message += MMSGHDR;
  a->messages -= 1;
  return true;
}

/* The extra words that only now are right; those of vectors are wanted for the counters already. */
inline_ void extra_at_exit(struct slot *slot, struct spec *spec, s64 ret) {
  u64 at = word(slot, spec->extra_arg);
  switch (spec->extra) {
    case X_OPEN_HOW: slot->extra = -1; read_user(&slot->extra, 8, (void *)at); break;
    case X_FDS: if (!ret) read_user(&slot->extra, 8, (void *)at); break;
  }
}

/* The file behind a descriptor the call returned; true when it has to be named first. */
inline_ bool file_at_exit(struct scratch *s, struct slot *slot, struct spec *spec, struct live *now, s64 ret) {
  s64 fd = spec->result == R_FD ? ret : spec->extra == X_FDS && !ret ? (s32)slot->extra : -1;
  if (fd < 0 || slot->flags & EF_NO_RETURN) return false;
  u64 f = slot->file_got = file_of(bpf_get_current_task(), fd);
  __builtin_memset(s->ask, 0, sizeof(s->ask));
  if (f) s->ask[F_FILE] = f + O_file_f_path;
  find(s, slot, tree_now());
  return s->todo;
}

inline_ void finish(struct slot *slot) {
  emit(BY_EXIT, slot, slot->end - slot->start, slot->ret, slot->flags);
  slot->last_end = slot->end;
}

/* On with exit_many, which ends the call. */
inline_ void add_up(void *ctx) {
  struct scratch *s = mine(BY_EXIT);
  if (!s) return;
  s->adding.runs = 0;
  tails.call(ctx, TAIL_EXIT_MANY);
}

/* A call has ended. One of mmap may have brought a Python. */
inline_ void may_be_mapped(void *ctx, struct slot *slot) {
  if (slot->nr == NR_MMAP) tails.call(ctx, TAIL_PYTHON_MAPPED);
}

/* A call has ended that is no record. */
inline_ void passed_over(void *ctx, struct slot *slot) {
  may_be_mapped(ctx, slot);
  if (slot->makes) tails.call(ctx, TAIL_PYTHON_UNSEEN);
}

/* A call's end: counters, filter, names, record. The slot knows when it was and what was returned. */
inline_ void ended(void *ctx, struct slot *slot, struct spec *spec, struct live *now) {
  s64 ret = slot->ret;
  u64 latency = slot->end - slot->start;
  measure(slot, spec, latency, ret);
  if (slot->flags & EF_SAMPLED_OUT) { count(T_SAMPLED); slot->last_end = slot->end; passed_over(ctx, slot); return; }
  if (kept_out(slot, latency, ret)) { slot->last_end = slot->end; passed_over(ctx, slot); return; }
  extra_at_exit(slot, spec, ret);
  if (spec->flags & SF_WRITES && ret > 0 && slot->file_at && !spec->off && rd32(slot->file_at + O_file_f_flags) & O_APPEND)
    slot->pos = rd(slot->file_at + O_file_f_pos) - ret;             /* only now is the position known */
  struct scratch *s = mine(BY_EXIT);
  if (!s) return;
  if (spec->how1 == H_EXEC ? !slot->names && (ret || slot->flags & EF_REFUSED) : spec->how1 && (spec->how1 != H_OUT || ret > 0))
    send_first_path(s, slot, spec);
  if (spec->how2) send_second_path(s, slot, spec);
  if (file_at_exit(s, slot, spec, now, ret)) tails.call(ctx, TAIL_EXIT_WALK);
  if (may_address(slot, spec) && !heard_again(slot, spec)) tails.call(ctx, TAIL_EXIT_ADDRESS);
  walk_python(ctx, slot, now);
  finish(slot);
  may_be_mapped(ctx, slot);
}

int on_exit(struct exit_args *ctx) {
  u64 who = bpf_get_current_pid_tgid();
  u32 tid = who, zero = 0;
  struct machine *m = machine.lookup(&zero);
  if (!m) return 0;
  if (nobodys(m, who >> 32)) { names_have_changed(m, tid); return 0; }
  u64 end = bpf_ktime_get_boot_ns();                                /* the clock costs others more than our look does */
  struct slot *slot = slots.lookup(&tid);
  struct live *now = live.lookup(&zero);
  if (!now) return 0;
  if (!slot) {
    struct config *c = config.lookup(&zero);
    names_have_changed(m, tid);
    if (c && (c->mode > M_SET || c->wanted != now->found) && restrained()) tails.call(ctx, TAIL_REFUSED);
    return 0;
  }
  fault_is_over(ctx, slot, TAIL_EXIT);
  u8 state = slot->state;
  if (state != S_OPEN && state != S_SKIPPED) { tails.call(ctx, TAIL_REFUSED); return 0; }
  slot->state = S_NONE;
  if (slot->changes_names) tree_has_changed();
  if (state != S_OPEN) { passed_over(ctx, slot); return 0; }
#if SHARES > 1
  /* Skipped runs lie between: this is the end of another call than the one that is open, whose own never comes. */
  if (rd32(ctx->regs + O_pt_regs_number) != slot->nr) { count(T_KILLED); count(T_NO_START); return 0; }
#endif
  u32 nr = slot->nr;
  struct spec *spec = specs.lookup(&nr);
  if (!spec) return 0;
  slot->end = end; slot->ret = ctx->ret;
  if (spec->extra == X_IOVEC || spec->extra == X_MSGHDR) {
    struct vector v = {};
    slot->extra = -1;
    if (!vector_of(slot, spec, &v)) {
      if (v.entries > FEW) add_up(ctx);
      else slot->extra = few_bytes(&v);
    }
  } else if (spec->extra == X_MMSG && slot->ret > 0) {
    add_up(ctx);
  }
  ended(ctx, slot, spec, now);
  return 0;
}

int exit_many(struct exit_args *ctx) {
  struct walk w = {};
  if (!walk_on(&w, BY_EXIT)) return 0;
  struct adding *a = &w.s->adding;
  bool more = true;
  if (!a->runs) begin_adding(a, w.slot, w.spec);
  if (a->wanted) {
    for (u32 i = 0; i < STEPS && more; i++) {
      OPAQUE(i);
      more = add_one(a);
    }
    a->runs += 1;
    if (more && !a->wrong && a->runs < MOST_RUNS) tails.call(ctx, TAIL_EXIT_MANY);
    w.slot->extra = more || a->wrong ? -1 : w.spec->extra == X_MMSG ? a->sum : a->room;
  }
  tails.call(ctx, TAIL_EXIT_REST);
  return 0;
}

int exit_rest(struct exit_args *ctx) {
  struct walk w = {};
  if (walk_on(&w, BY_EXIT)) ended(ctx, w.slot, w.spec, w.now);
  return 0;
}

int exit_walk(struct exit_args *ctx) {
  struct walk w = {};
  if (!walk_on(&w, BY_EXIT)) return 0;
  if (w.s->todo) name_one(w.s, w.slot, w.now);
  if (w.s->todo) tails.call(ctx, TAIL_EXIT_WALK);
  if (w.slot->state == S_REFUSED) {                                 /* these were the files at its beginning */
    w.slot->state = S_NONE;
    add_up(ctx);
    return 0;
  }
  walk_python(ctx, w.slot, w.now);
  finish(w.slot);
  return 0;
}

/* ---- calls that never began ---- */

/* An end without a beginning is that of a call which a filter of seccomp or a tracer refused or answered itself, for that
 * comes before sys_enter; or a child's first return, from the call that made it; or of a call begun before the trace, which
 * of a thread under a filter only the errors tell apart. Where runs of on_enter are skipped nothing tells. */
inline_ bool never_began(struct slot *slot, u32 forks, s64 ret) {
  if (SHARES > 1 || !restrained()) {
    if (slot->state != S_BORN) count(slot->state == S_BEFORE ? T_UNPAIRED : T_NO_START);
    return false;
  }
  if (slot->state == S_BORN) return ret || !forks;
  if (slot->state != S_BEFORE || ret == -EPERM || ret == -EACCES || ret == -ENOSYS) return true;
  count(T_UNPAIRED);
  return false;
}

inline_ u64 registers_of(struct exit_args *ctx) {
#if !CLASSIC
  return ctx->regs;
#elif TASK_REGS
  return task_registers(typed_task());
#endif
  return 0;
}

int on_refused(struct exit_args *ctx) {
  u64 who = bpf_get_current_pid_tgid(), task = bpf_get_current_task(), registers = registers_of(ctx);
  u32 tid = who, zero = 0, nr = rd32(registers + O_pt_regs_number);
  struct slot *slot = slots.lookup(&tid);
  struct live *now = live.lookup(&zero);
  struct config *c = config.lookup(&zero);
  struct scratch *s = mine(BY_EXIT);
  struct spec *spec = nr == NR_PAGE_FAULT ? 0 : specs.lookup(&nr);
  if (!now || !c || !s) return 0;
  if (c->halfway) {
    if (slot) slot->state = S_BEFORE;
    return 0;
  }
  if (!slot || slot->scope_gen != c->scope_gen) {                   /* none yet in this trace */
    slot = in_scope(BY_EXIT, c, now, tid, who >> 32);
    if (!slot) return 0;
    slot->state = S_BEFORE;
  }
  bool it = !unseen(c, slot) && !left_out(slot) && !slot->waiting && never_began(slot, spec ? spec->flags & SF_FORKS : 0, ctx->ret);
  slot->state = S_NONE;
  if (!it) return 0;
  if (!registers) { count(T_NO_START); return 0; }
  if (is_compat(task)) { count(T_COMPAT); return 0; }
  if (!spec || !(spec->flags & SF_KNOWN)) { count(T_UNKNOWN); return 0; }
  if (!spec->enabled) return 0;
  count(T_SEEN);
  slot->nr = nr;
  read_kernel(slot->regs, sizeof(slot->regs), (void *)(registers + REGISTERS_START));
  slot->regs[ARG0] = rd(registers + O_pt_regs_first);
  clear(slot);
  slot->state = S_REFUSED;
  slot->flags |= EF_REFUSED;
  slot->ret = ctx->ret;
  if (rd(task + O_task_struct_pending_signal) >> (SIGSYS - 1) & 1) {   /* a signal instead of a result */
    slot->flags |= EF_NO_RETURN;
    slot->ret = 0;
  }
  slot->start = slot->end = bpf_ktime_get_boot_ns();
  if (sampled_out(spec)) {
    slot->flags |= EF_SAMPLED_OUT;
  } else {
    files_at_enter(s, slot, spec, task);
    find(s, slot, tree_now());
    extra_at_enter(slot, spec, task);
    if (s->todo) tails.call(ctx, TAIL_EXIT_WALK);
  }
  slot->state = S_NONE;
  add_up(ctx);
  return 0;
}

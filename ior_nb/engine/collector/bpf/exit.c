/* A call ends. */

inline_ u64 payload(struct slot *slot, struct spec *spec, s64 ret) {
  if (ret <= 0 || !spec->bytes) return 0;
  s64 capacity = spec->size ? (s64)word(slot, spec->size) : spec->extra == X_MSGHDR ? (s64)slot->extra : -1;
  u64 flags = spec->rflags ? word(slot, spec->rflags) : 0;
  if (flags & MSG_PEEK) return 0;
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

inline_ s64 msghdr_bytes(u64 message) {
  u64 vector[2] = {};                                               /* msg_iov, msg_iovlen */
  return read_user(vector, sizeof(vector), (void *)(message + 16)) ? -1 : iovec_bytes(vector[0], vector[1]);
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
  if (fd < 0) return false;
  u64 f = file_of(bpf_get_current_task(), fd);
  __builtin_memset(s->ask, 0, sizeof(s->ask));
  if (f) s->ask[F_FILE] = f + O_file_f_path;
  find(s, slot, now->tree_generation);
  return s->todo;
}

inline_ void finish(struct slot *slot) {
  emit(BY_EXIT, slot, slot->end - slot->start, slot->ret, slot->flags);
  slot->last_end = slot->end;
}

/* The end of a call that makes no record. An mmap may have brought a Python. */
inline_ void not_a_row(struct exit_args *ctx, struct slot *slot) {
  if (slot->nr == NR_MMAP) tails.call(ctx, TAIL_MAPPED);
}

int on_exit(struct exit_args *ctx) {
  u64 end = bpf_ktime_get_boot_ns();
  u32 tid = bpf_get_current_pid_tgid(), zero = 0;
  s64 ret = ctx->ret;
  struct slot *slot = slots.lookup(&tid);
  struct live *now = live.lookup(&zero);
  if (!now) return 0;
  if (!slot) { names_have_changed(now, tid); return 0; }
  u8 state = slot->state;
  slot->state = S_NONE;
  if (slot->changes_names) __sync_fetch_and_add(&now->tree_generation, 1);
#if SHARES > 1
  /* Skipped runs lie between: this is the end of another call than the one that is open, whose own never comes. */
  if (state == S_OPEN && rd32(ctx->regs + O_pt_regs_number) != slot->nr) { count(T_KILLED); count(T_UNPAIRED); return 0; }
#endif
  if (state == S_NONE && !slot->ignored) count(T_UNPAIRED);
  if (state != S_OPEN) { not_a_row(ctx, slot); return 0; }
  u32 nr = slot->nr;
  struct spec *spec = specs.lookup(&nr);
  if (!spec) return 0;
  if (spec->extra == X_IOVEC) slot->extra = iovec_bytes(word(slot, spec->extra_arg), word(slot, spec->extra_count));
  else if (spec->extra == X_MSGHDR) slot->extra = msghdr_bytes(word(slot, spec->extra_arg));
  measure(slot, spec, end - slot->start, ret);
  if (slot->flags & EF_SAMPLED_OUT) { count(T_SAMPLED); slot->last_end = end; not_a_row(ctx, slot); return 0; }
  if (kept_out(slot, end - slot->start, ret)) { slot->last_end = end; not_a_row(ctx, slot); return 0; }
  slot->end = end; slot->ret = ret;
  extra_at_exit(slot, spec, ret);
  if (spec->flags & SF_WRITES && ret > 0 && slot->file_at && !spec->off && rd32(slot->file_at + O_file_f_flags) & O_APPEND)
    slot->pos = rd(slot->file_at + O_file_f_pos) - ret;             /* only now is the position known */
  struct scratch *s = mine(BY_EXIT);
  if (!s) return 0;
  bool to_read = spec->how1 == H_OUT ? ret > 0 : spec->how1 != H_EXEC || ret < 0;  /* of a failed exec again: now it is in memory */
  if (spec->how1 && to_read) send_first_path(s, slot, spec);
  if (spec->how2) send_second_path(s, slot, spec);
  if (file_at_exit(s, slot, spec, now, ret)) tails.call(ctx, TAIL_EXIT_WALK);
  tails.call(ctx, TAIL_STACK);
  finish(slot);
  return 0;
}

int exit_walk(struct exit_args *ctx) {
  struct walk w = {};
  if (!walk_on(&w, BY_EXIT)) return 0;
  name_one(w.s, w.slot, w.now);
  tails.call(ctx, TAIL_STACK);
  finish(w.slot);
  return 0;
}

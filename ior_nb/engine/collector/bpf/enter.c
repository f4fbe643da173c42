/* A call begins. */

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

/* What the call's one extra word holds, where it has to be read now: the kernel changes some of these. */
inline_ void extra_at_enter(struct slot *slot, struct spec *spec, u64 task) {
  u64 at = word(slot, spec->extra_arg);
  switch (spec->extra) {
    case X_SLEEP: slot->extra = nanoseconds(at, 1, -1, -1); break;
    case X_TIMESPEC: slot->extra = nanoseconds(at, 1, -1, -2); break;
    case X_TIMEVAL: slot->extra = nanoseconds(at, 1000, -1, -2); break;
    case X_EPOLL_EVENT: read_user(&slot->extra, 4, (void *)at); break;
    case X_BRK: slot->extra = rd(rd(task + O_task_struct_mm) + O_mm_struct_brk); break;
  }
}

/* The files behind the call's descriptors and below its paths, and where in them it begins. */
inline_ void files_at_enter(struct scratch *s, struct slot *slot, struct spec *spec, u64 task) {
  __builtin_memset(s->ask, 0, sizeof(s->ask));
  if (spec->fd & BY_ADDRESS) {
    s->ask[F_FILE] = path_of_area(area_at(s, task, word(slot, spec->fd & ~BY_ADDRESS)));
  } else if (spec->fd) {
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
  if (spec->how1 == H_PATH || spec->how1 == H_EXEC) {
    u64 resolve = 0;
    if (spec->extra == X_OPEN_HOW) read_user(&resolve, 8, (void *)(word(slot, spec->extra_arg) + 16));
    if (resolve & RESOLVE_IN_ROOT) slot->rooted |= ROOTED_IN_ROOT;
    s->ask[F_BASE1] = base_of(slot, task, spec->str1, spec->base1, 1, resolve & RESOLVE_IN_ROOT);
  }
  if (spec->how2 == H_PATH) s->ask[F_BASE2] = base_of(slot, task, spec->str2, spec->base2, 2, false);
}

/* Empty but for what outlives a call. */
inline_ void clear(struct slot *slot) {
  slot->state = S_OPEN;
  slot->flags = slot->last_end ? 0 : EF_FIRST;
  __builtin_memset(slot->files, 0, sizeof(slot->files));
  slot->names = 0; slot->rooted = 0; slot->stack = 0; slot->opener = 0; slot->why = 0;
  slot->pos = -1; slot->extra = 0; slot->file_at = 0;
  begin_spending(slot);
}

inline_ bool sampled_out(struct spec *spec) {
  return spec->rate != 1 && (!spec->rate || bpf_get_prandom_u32() % spec->rate);
}

inline_ void only_counted(struct slot *slot, struct spec *spec) {
  slot->flags |= EF_SAMPLED_OUT;
  slot->start = bpf_ktime_get_boot_ns();
  if (spec->result != R_NEVER) return;
  slot->last_end = slot->start;
  slot->state = S_SKIPPED;
  count_call(slot);
  count(T_SAMPLED);
}

/* At the end of an exec the memory is another's, and other calls never end; at that of a close the file may be another. */
inline_ void look_now(void *ctx, struct slot *slot, struct spec *spec, struct live *now) {
  if (spec->flags & SF_EXEC || spec->result == R_NEVER) walk_python(ctx, slot, now);
  if (slot->nr == NR_CLOSE && may_be_python(slot, now)) tails.call(ctx, TAIL_PYTHON_CLOSE);
}

int on_enter(struct enter_args *ctx) {
  u64 who = bpf_get_current_pid_tgid();
  u32 tid = who, tgid = who >> 32, zero = 0, nr = ctx->nr;
  struct config *c = config.lookup(&zero);
  struct live *now = live.lookup(&zero);
  struct machine *m = machine.lookup(&zero);
  if (!c || !now || !m) return 0;
  if (nobodys(m, tgid)) { watch_names(m, nr, tid); return 0; }
  struct slot *slot = in_scope(BY_ENTER, c, now, tid, tgid);
  struct spec *spec = nr == NR_PAGE_FAULT ? 0 : specs.lookup(&nr);
  if (!slot) {
    watch_names(m, nr, tid);
    return 0;
  }
  fault_is_over(ctx, slot, TAIL_ENTER);
  if (slot->state == S_OPEN) count(T_KILLED);                       /* its exit never came */
  slot->nr = nr;
  slot->state = S_SKIPPED;
  if (!spec) { count(T_UNKNOWN); return 0; }
  slot->makes = spec->flags & SF_OPENS;
  slot->changes_names = may_change_names(spec, bpf_get_current_task());
  if (unseen(c, slot)) return 0;
  if (left_out(slot)) { if (spec->enabled) count(T_LEFT_OUT); return 0; }
  if (slot->waiting) {
    if (!(spec->flags & SF_EXEC)) return 0;
    u8 in = TARGET_IN;
    slot->waiting = 0;
    targets.update(&tgid, &in);
  }
  u64 task = bpf_get_current_task();
  if (is_compat(task)) { count(T_COMPAT); return 0; }
  if (!spec->enabled) {
    if (!(spec->flags & SF_KNOWN)) count(T_UNKNOWN);
    return 0;
  }
  count(T_SEEN);
#if CLASSIC
  slot->regs[ARG0] = ctx->args[0]; slot->regs[ARG1] = ctx->args[1]; slot->regs[ARG2] = ctx->args[2];
  slot->regs[ARG3] = ctx->args[3]; slot->regs[ARG4] = ctx->args[4]; slot->regs[ARG5] = ctx->args[5];
#else
  read_kernel(slot->regs, sizeof(slot->regs), (void *)(ctx->regs + REGISTERS_START));
#endif
  clear(slot);
  if (sampled_out(spec)) { only_counted(slot, spec); return 0; }
  struct scratch *s = mine(BY_ENTER);
  if (!s) return 0;
  files_at_enter(s, slot, spec, task);
  find(s, slot, m->tree);
  extra_at_enter(slot, spec, task);
  if (s->todo || spec->how1 == H_EXEC) tails.call(ctx, TAIL_ENTER_WALK);
  look_now(ctx, slot, spec, now);
  begin(slot, spec);
  return 0;
}

int enter_walk(struct enter_args *ctx) {
  struct walk w = {};
  if (!walk_on(&w, BY_ENTER)) return 0;
  if (w.s->todo) name_one(w.s, w.slot, w.now);
  if (w.s->todo) tails.call(ctx, TAIL_ENTER_WALK);
  if (w.spec->how1 == H_EXEC) send_program(w.s, w.slot, w.spec);
  look_now(ctx, w.slot, w.spec, w.now);
  begin(w.slot, w.spec);
  return 0;
}

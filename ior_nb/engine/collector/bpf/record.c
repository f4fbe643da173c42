/* The record of a call, and whether the filter keeps it out. */

inline_ bool failed(s64 ret) {
  return ret < 0 && ret >= -MOST_ERRNO && ret != -ERESTARTSYS && ret != -ERESTARTNOINTR && ret != -ERESTARTNOHAND &&
         ret != -ERESTART_RESTARTBLOCK;
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
  struct spec *spec;
  u32 nr = slot->nr;
  /* What finds a file tells that those looked for before were no failures (engine/searches.py). */
  if (f->errors_only && !failed(ret) && !((spec = specs.lookup(&nr)) && spec->flags & SF_SEARCHES)) out = true;
  if (f->timed && (slot->flags & (EF_NO_RETURN | EF_REFUSED) || slot->nr == NR_PAGE_FAULT || latency < f->latency_min || latency > f->latency_max)) out = true;
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
  u64 fetched = fetched_by(slot);
  if (fetched && slot->file_at && rd32(slot->file_at + O_file_f_flags) & O_DIRECT) flags |= EF_DIRECT;
  come_back(slot);
  struct event *e = events.ringbuf_reserve(sizeof(struct event));
  if (!e) { count(T_LOST_RING); return false; }
  e->time = slot->start; e->latency = latency; e->ret = ret;
  e->args[0] = slot->regs[ARG0]; e->args[1] = slot->regs[ARG1]; e->args[2] = slot->regs[ARG2];
  e->args[3] = slot->regs[ARG3]; e->args[4] = slot->regs[ARG4]; e->args[5] = slot->regs[ARG5];
  e->gap = flags & EF_FIRST ? 0 : slot->start - slot->last_end;
  e->pos = slot->pos; e->extra = slot->extra;
  e->file = slot->files[F_FILE]; e->file2 = slot->files[F_SOURCE]; e->names = slot->names; e->comm = slot->comm_id; e->stack = slot->stack;
  e->pid = slot->pid; e->tid = slot->tid;
  e->fetched = packed(fetched); e->run_delay = slot->nr == NR_PAGE_FAULT ? PACKED_UNKNOWN : packed(run_delay_of(slot));
  e->wait_device = packed(slot->spent.slept[FOR_DEVICE]); e->wait_lock = packed(slot->spent.slept[FOR_LOCK]);
  e->wait_other = packed(slot->spent.slept[FOR_OTHERS]); e->opener = slot->opener;
  e->nr = slot->nr; e->flags = flags; e->generation = slot->generation;
  events.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
  if (!(flags & EF_IN_FLIGHT)) {
    count(T_EMITTED);
    if (slot->why) count(slot->why);
  }
  return true;
}

/* The thread does something else: a fault on a mapped file that was open has ended. Its row is made first, by a tail call
 * that comes back. */
inline_ void fault_is_over(void *ctx, struct slot *slot, u32 back) {
  if (!slot->faulting) return;
  slot->faulting = back;
  tails.call(ctx, TAIL_FAULT_ENDS);
  slot->faulting = 0;
}

/* What a program that was called at the end of another goes on with. */
struct walk { struct slot *slot; struct scratch *s; struct live *now; struct spec *spec; };

inline_ bool walk_on(struct walk *w, u32 by) {
  u32 tid = bpf_get_current_pid_tgid(), zero = 0;
  w->slot = slots.lookup(&tid);
  w->s = mine(by);
  w->now = live.lookup(&zero);
  if (!w->slot || !w->s || !w->now) return false;
  u32 nr = w->slot->nr;
  w->spec = specs.lookup(&nr);
  return w->spec;
}

inline_ bool may_be_python(struct slot *slot, struct live *now) { return slot->no_python != now->pythons + now->learned; }

/* On with the Python stack, in a process that may have one. */
inline_ void walk_python(void *ctx, struct slot *slot, struct live *now) {
  if (may_be_python(slot, now)) tails.call(ctx, TAIL_PYTHON_WALK);
  else if (slot->no_python) slot->why = T_NO_PYTHON;
}

/* Whose a process is, before it is asked what of it is traced: who is in nobody's trace pays this look and no more.
 *
 *   owners   a byte a process by its number: the seat of the trace it belongs to, 0 for none. Every process is given its
 *            maker's before it runs (or 0), so nothing is taken back when one ends, and a number that comes again is right.
 *   machine  what is one for all traces that share them: names that change are watched for all tasks, whosever they are
 *
 * Who traces alone looks by himself; where several share the maps, dispatch.c looks for them. A trace of everything, of a
 * user or of a control group does not look, nor does the second one of a process. */

struct owners { u8 of[OWNERS]; };
BPF_F_TABLE("array", u32, struct owners, owners, MOST_PROCESSES / OWNERS, 1024);

inline_ u8 *owner_of(u32 tgid) {
  u32 at = tgid / OWNERS;
  struct owners *o = owners.lookup(&at);
  return o ? &o->of[tgid & (OWNERS - 1)] : 0;
}

/* The seat of the calling process. */
inline_ u8 seat_of(u32 tgid) {
  u8 *owner = owner_of(tgid);
  return owner ? *owner : 0;
}

/* Whether a trace that looks for itself has nothing to do with the calling process. As long as targets are known by their
 * number in a nested pid namespace only, anybody may be one of them. */
inline_ bool nobodys(struct machine *m, u32 tgid) {
  if (!m->alone || seat_of(tgid)) return false;
  u32 zero = 0;
  struct config *c = config.lookup(&zero);
  struct live *now = live.lookup(&zero);
  return c && now && c->wanted == now->found;
}

/* A task was made, by the current one: returns the seat of this one. */
inline_ u8 inherited(struct machine *m, struct fork_args *ctx) {
#if CLASSIC
  u32 child = ctx->child_pid;
#else
  u32 child = rd32(ctx->child + O_task_struct_pid);
#endif
  u8 *from = owner_of(bpf_get_current_pid_tgid() >> 32), *to = owner_of(child);   /* of a thread: no process has its number */
  if (!from || !to) return 0;
  u8 seat = *from;
  *to = m->follows[seat] ? seat : 0;
  return seat;
}

/* A call begins: it may be one that changes names. */
inline_ void watch_names(struct machine *m, u32 nr, u32 tid) {
  u32 word = nr >> 6 & 7, bit = nr & 63;
  if (!(m->changers[word] >> bit & 1)) return;                      /* of either kind of calls */
  u64 *kind = is_compat(bpf_get_current_task()) ? m->compat_changers : m->own_changers;
  if (kind[word] >> bit & 1) names_will_change(m, tid);
}

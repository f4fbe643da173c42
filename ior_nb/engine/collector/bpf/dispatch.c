/* One look for whose a task is, at each of the five hooks, then on to that trace's own program; its maps and rings are its
 * own. Who is in nobody's trace pays that look and no more, however many traces there are.
 *
 *   owners   a byte a process by its number: the seat of the trace it belongs to, 0 for none. Every process is given its
 *            maker's before it runs (or 0), so nothing is taken back when one ends, and a number that comes again is right.
 *   seats    the programs, by hook and seat
 *   machine  what is one for all traces here: which names have changed is watched for all tasks, whosever they are
 *
 * A trace of everything, of a user or of a control group, and the second one of a task, hang beside it by themselves. */

struct owners { u8 of[OWNERS]; };
BPF_F_TABLE("array", u32, struct owners, owners, MOST_PROCESSES / OWNERS, 1024);
BPF_HASH(unmet, u32, u8, 4096);       /* seats of processes known by their number in our pid namespace only, until seen */
BPF_PROG_ARRAY(seats, 5 * SEATS);

inline_ u8 *owner_of(u32 tgid) {
  u32 at = tgid / OWNERS;
  struct owners *o = owners.lookup(&at);
  return o ? &o->of[tgid & (OWNERS - 1)] : 0;
}

inline_ u8 meet(struct machine *m, u8 *owner) {
  u32 pid = number_in(rd(rd(bpf_get_current_task() + O_task_struct_group_leader) + O_task_struct_thread_pid), m->namespace);
  u8 *seat = pid ? unmet.lookup(&pid) : 0;
  if (!seat) return 0;
  u8 value = *seat;
  *owner = value;
  if (!unmet.delete(&pid)) __sync_fetch_and_add(&m->met, 1);
  return value;
}

/* The seat of the calling process. */
inline_ u8 seat_of(struct machine *m, u32 tgid) {
  u8 *owner = owner_of(tgid);
  if (!owner) return 0;
  return *owner || m->wanted == m->met ? *owner : meet(m, owner);
}

/* The first seat, the only one of who traces alone, is a constant, for the kernel makes a plain jump of that; the two calls
 * must not become one. */
inline_ void hand_on(void *ctx, u32 hook, u32 seat) {
  u64 which;
  if (seat == FIRST_SEAT) {
    seats.call(ctx, hook * SEATS + FIRST_SEAT);
    asm volatile("%0 = 1" : "=r"(which));
  } else if (seat) {
    OPAQUE(seat);
    seats.call(ctx, hook * SEATS + (seat & (SEATS - 1)));
    asm volatile("%0 = 2" : "=r"(which));
  }
}

int at_fork(struct fork_args *ctx) {
  u32 tgid = bpf_get_current_pid_tgid() >> 32, zero = 0;
#if CLASSIC
  u32 child = ctx->child_pid;
#else
  u32 child = rd32(ctx->child + O_task_struct_pid);
#endif
  struct machine *m = machine.lookup(&zero);
  u8 *from = owner_of(tgid), *to = owner_of(child);                  /* of a thread: no process has its number */
  if (!m || !from || !to) return 0;
  u8 seat = *from;
  *to = m->follows[seat] ? seat : 0;
  hand_on(ctx, AT_FORK, seat);
  return 0;
}

int at_exec(struct exec_args *ctx) {
  u32 tgid = bpf_get_current_pid_tgid() >> 32;
  u8 *owner = owner_of(tgid);
  if (owner) hand_on(ctx, AT_EXEC, *owner);
  return 0;
}

int at_task_exit(void *ctx) {
  u64 who = bpf_get_current_pid_tgid();
  u32 zero = 0;
  struct machine *m = machine.lookup(&zero);
  if (!m) return 0;
  names_have_changed(m, who);
  u8 *owner = owner_of(who >> 32);
  if (owner) hand_on(ctx, AT_TASK_EXIT, *owner);
  return 0;
}

int at_exit(struct exit_args *ctx) {
  u64 who = bpf_get_current_pid_tgid();
  u32 zero = 0;
  struct machine *m = machine.lookup(&zero);
  if (!m) return 0;
  names_have_changed(m, who);
  hand_on(ctx, AT_EXIT, seat_of(m, who >> 32));
  return 0;
}

int at_enter(struct enter_args *ctx) {
  u64 who = bpf_get_current_pid_tgid();
  u32 zero = 0, nr = ctx->nr;
  struct machine *m = machine.lookup(&zero);
  if (!m) return 0;
  if (m->changers[nr >> 6 & 7] >> (nr & 63) & 1) {                  /* of either kind of calls */
    u64 *kind = is_compat(bpf_get_current_task()) ? m->compat_changers : m->own_changers;
    if (kind[nr >> 6 & 7] >> (nr & 63) & 1) names_will_change(m, who);
  }
  hand_on(ctx, AT_ENTER, seat_of(m, who >> 32));
  return 0;
}

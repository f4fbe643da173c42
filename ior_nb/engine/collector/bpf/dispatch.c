/* One look for several traces: what hangs at the five hooks where they share one dispatcher. It looks whose the task is, and
 * goes on to that trace's own program (`seats`, by hook and seat), whose maps and rings are its own. */

BPF_PROG_ARRAY(seats, 5 * SEATS);

/* The first seat is a constant, for the kernel makes a plain jump of that; the two calls must not become one. */
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
  u32 zero = 0;
  struct machine *m = machine.lookup(&zero);
  if (m) hand_on(ctx, AT_FORK, inherited(m, ctx));
  return 0;
}

int at_exec(struct exec_args *ctx) {
  hand_on(ctx, AT_EXEC, seat_of(bpf_get_current_pid_tgid() >> 32));
  return 0;
}

int at_task_exit(void *ctx) {
  u64 who = bpf_get_current_pid_tgid();
  u32 zero = 0;
  struct machine *m = machine.lookup(&zero);
  if (!m) return 0;
  names_have_changed(m, who);
  hand_on(ctx, AT_TASK_EXIT, seat_of(who >> 32));
  return 0;
}

int at_exit(struct exit_args *ctx) {
  u64 who = bpf_get_current_pid_tgid();
  u32 zero = 0;
  struct machine *m = machine.lookup(&zero);
  if (!m) return 0;
  names_have_changed(m, who);
  hand_on(ctx, AT_EXIT, seat_of(who >> 32));
  return 0;
}

int at_enter(struct enter_args *ctx) {
  u64 who = bpf_get_current_pid_tgid();
  u32 zero = 0;
  struct machine *m = machine.lookup(&zero);
  if (!m) return 0;
  watch_names(m, ctx->nr, who);
  hand_on(ctx, AT_ENTER, seat_of(who >> 32));
  return 0;
}

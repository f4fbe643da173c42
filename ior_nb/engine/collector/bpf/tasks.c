/* Tasks that are made, change their program, and end. */

#if CLASSIC
/* The task of a number among the youngest of a list of tasks; 0 where it is not there. */
inline_ u64 youngest(u64 list, u32 link, u32 tid) {
  u64 at = rd(list + 8);                                            /* list_head.prev */
  for (u32 i = 0; i < 16; i++) {
    OPAQUE(i);
    if (!at || at == list) break;
    if (rd32(at - link + O_task_struct_pid) == tid) return at - link;
    at = rd(at + 8);
  }
  return 0;
}

/* The trace event has the child's number and no address. A new process is the last of its parent's children, a new
 * thread the last of its group. */
inline_ u64 child_of(u64 parent, u32 tid) {
  u64 child = youngest(parent + O_task_struct_children, O_task_struct_sibling, tid);
  if (!child) child = youngest(rd(parent + O_task_struct_signal) + O_signal_struct_thread_head, O_task_struct_thread_node, tid);
  if (!child) child = youngest(rd(parent + O_task_struct_real_parent) + O_task_struct_children, O_task_struct_sibling, tid);  /* CLONE_PARENT */
  return child;
}
#endif

/* What is begun in the course of a work belongs to it: its threads, and where it is the tracer's its processes too. Every
 * other process is the user's from its start, whatever its parent does at the moment. */
inline_ void born_by(struct slot *by, struct slot *slot, bool thread) {
  u8 *theirs = doing_of(by), whose = theirs ? *theirs : 0;
  slot->tells = by->tells;
  u8 *its = doing_of(slot);
  if (its) *its = thread ? whose : 0;
  if (by->ignored == WITH_ALL || (!thread && whose == W_OURS)) slot->ignored = WITH_ALL;
}

int on_fork(struct fork_args *ctx) {
#if CLASSIC
  u64 parent = bpf_get_current_task();
#else
  u64 parent = ctx->parent, child = ctx->child;
#endif
  u32 zero = 0, from = rd32(parent + O_task_struct_tgid), in = TARGET_IN;
  struct config *c = config.lookup(&zero);
  struct machine *m = machine.lookup(&zero);
  if (m && m->alone) inherited(m, ctx);
  if (!c || c->mode > M_ALL) return 0;                              /* others are decided at every enter */
  if (c->mode == M_SET) {
    u8 *t = targets.lookup(&from);
    if (!t) return 0;
    in = *t;
  }
#if CLASSIC
  u64 child = child_of(parent, ctx->child_pid);
  if (!child) { count(T_SLOTS_FULL); return 0; }
#endif
  u32 tgid = rd32(child + O_task_struct_tgid), tid = rd32(child + O_task_struct_pid);
  if (c->mode == M_SET && tgid != from) {
    u8 value = in;
    if (!c->follow) return 0;
    targets.update(&tgid, &value);
  }
  u32 me = bpf_get_current_pid_tgid();
  struct slot *by = slots.lookup(&me), *slot = new_slot(mine(BY_FORK), child, tid, tgid, c);
  if (!slot) return 0;
  if (by) born_by(by, slot, tgid == from);
  slot->state = S_BORN;
  slot->waiting = in == TARGET_AT_EXEC;
  if (c->tid && slot->tid != c->tid) slot->ignored = 1;
  if (tgid != from) {
    u64 real = rd(child + O_task_struct_real_parent);               /* with CLONE_PARENT not who called */
    send_task(N_BIRTH, slot->pid, local_number(rd(rd(real + O_task_struct_group_leader) + O_task_struct_thread_pid)));
  }
  return 0;
}

/* The kernel's copy of the name an exec was given; of one by a descriptor and a path, or no path, "/dev/fd/NUMBER/PATH". */
inline_ u64 name_of_program(struct exec_args *ctx) {
#if CLASSIC
  return (u64)ctx + (((struct exec_filename *)ctx)->place & 0xffff);
#else
  return rd(ctx->binprm + O_linux_binprm_filename);
#endif
}

/* A program begins, and nothing of the old one can be read any more. */
inline_ void send_kernel_name(struct exec_args *ctx, struct scratch *s, struct slot *slot) {
  u32 nr = slot->nr;
  struct spec *spec = specs.lookup(&nr);
  if (slot->state != S_OPEN || slot->names || slot->flags & EF_SAMPLED_OUT || !spec || spec->how1 != H_EXEC) return;
  struct chunk *head = new_head(s);
  slot->names = next_id(s, &s->last_names);
  head->id = slot->names; head->type = N_PATH1; head->base = slot->files[F_BASE1];
  if (spec->base1 && (s32)word(slot, spec->base1) != AT_FDCWD) head->flags = NF_BY_DESCRIPTOR;
  if (!send_string(s, head, read_kernel_string(s->text, 4096, (void *)name_of_program(ctx)), slot->rooted & 1))
    slot->flags |= EF_NAMES_LOST;
}

/* A program that not everybody may see leaves the scope. exec by a thread that is not the leader: it goes on under the
 * leader's number. */
int on_exec(struct exec_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid(), old = ctx->old_pid;
  struct slot *from = slots.lookup(&old);
  struct scratch *s = mine(BY_EXEC);
  if (!from || !s) return 0;
  from->tells = 0;                                                  /* the mapping has gone with the program before */
  send_kernel_name(ctx, s, from);
  u32 zero = 0, tgid = bpf_get_current_pid_tgid() >> 32;
  struct config *c = config.lookup(&zero);
  if (c && (c->mode == M_SET || c->mode == M_UID) && !from->ignored && hidden(c)) {
    from->ignored = from->unseen = 1;                               /* the end of this call is seen yet */
    targets.delete(&tgid);
    count(T_HIDDEN);
  }
  if (old == tid) return 0;
  struct slot *to = &s->blank;
  u32 number = from->pid;
  __builtin_memcpy(to, from, sizeof(*to));
  to->tid = number;
  if (c && c->tid == number && targets.lookup(&tgid)) to->ignored = 0;  /* the leader is who is traced, and this is it now */
  slots.update(&tid, to);
  slots.delete(&old);
  return 0;
}

int on_task_exit(void *ctx) {
  u64 task = bpf_get_current_task();
  u32 tid = rd32(task + O_task_struct_pid), tgid = rd32(task + O_task_struct_tgid), zero = 0;
  struct slot *slot = slots.lookup(&tid);
  struct machine *m = machine.lookup(&zero);
  if (m) names_have_changed(m, tid);
  u32 pid = 0;
  if (slot) {
    fault_is_over(ctx, slot, TAIL_TASK_EXIT);
    pid = slot->pid;
    u8 *whose = doing_of(slot);
    if (whose) *whose = 0;                                          /* its number may come again */
    u32 nr = slot->nr;
    struct spec *spec = specs.lookup(&nr);
    if (slot->state == S_OPEN && spec && spec->result != R_NEVER) {
      current_filter(slot);   /* its last call's generation is not this one's: that call has not been judged yet */
      /* Killed, or lost: a row the ring has no room for is not counted twice. */
      if (slot->flags & EF_SAMPLED_OUT || emit(BY_TASK_EXIT, slot, bpf_ktime_get_boot_ns() - slot->start, 0, slot->flags | EF_IN_FLIGHT))
        count(T_KILLED);
    }
    slots.delete(&tid);
  }
  if (rd32(rd(task + O_task_struct_signal) + O_signal_struct_live)) return 0;   /* threads left in the group */
  targets.delete(&tgid);
  if (pid) send_task(N_DEATH, pid, 0);
  return 0;
}

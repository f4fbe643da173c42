/* Whose calls are traced, and the slot each thread has. */

/* The byte that says whose work a thread does; 0 for one that says nothing. */
inline_ u8 *doing_of(struct slot *slot) {
  u32 at = slot->tid / DOING_THREADS;
  if (!slot->tells) return 0;
  struct doing *d = doing.lookup(&at);
  return d ? &d->of[slot->tid & (DOING_THREADS - 1)] : 0;
}

/* Whether what a thread does now is not the user's. */
inline_ bool left_out(struct slot *slot) {
  u8 *whose = doing_of(slot);
  return slot->ignored || (whose && *(volatile u8 *)whose);
}

inline_ struct slot *new_slot(struct scratch *s, u64 task, u32 tid, u32 tgid, struct config *c) {
  if (!s) return 0;
  struct slot *b = &s->blank;
  __builtin_memset(b, 0, sizeof(*b));
  b->tgid = tgid; b->scope_gen = c->scope_gen;
  b->tid = local_number(rd(task + O_task_struct_thread_pid));
  b->pid = local_number(rd(rd(task + O_task_struct_group_leader) + O_task_struct_thread_pid));
  if (!b->tid) { b->tid = tid; b->pid = tgid; }  /* not visible from our namespace: the kernel's own numbers */
  u64 key = b->tid, group = 1ULL << 32 | b->pid;
  b->ignored = ignored.lookup(&key) || ignored.lookup(&group);
  b->tells = b->pid == c->owner;
  if (slots.update(&tid, b)) { count(T_SLOTS_FULL); return 0; }
  return slots.lookup(&tid);
}

/* Whether the current task is in a control group (version 2) or below it. Read from its own words: the helper that tells
 * is for tracing programs only after Linux 5.10. */
inline_ bool inside(u64 wanted) {
  u64 group = rd(rd(bpf_get_current_task() + O_task_struct_cgroups) + O_css_set_dfl_cgrp);
  u32 level = rd32(group + O_cgroup_level);
  for (u32 i = 0; i < 64; i++) {
    OPAQUE(i);
    if (i > level) break;
#ifdef O_cgroup_ancestors
    u64 id = rd(rd(rd(group + O_cgroup_ancestors + 8 * (u64)i) + O_cgroup_kn) + O_kernfs_node_id);
#else
    u64 id = rd(group + O_cgroup_ancestor_ids + 8 * (u64)i);
#endif
    if (id == wanted) return true;
  }
  return false;
}

/* What the kernel lets be dumped, 1 for the task's own user: it stood in the flags of the memory (include/linux/mm_types.h,
 * MMF_DUMPABLE_MASK) before it got a place of its own. */
#if defined(O_task_exec_state_dumpable)
#define TASK_DUMPABLE rd32(rd(task + O_task_struct_exec_state) + O_task_exec_state_dumpable)
#elif defined(O_mm_struct_flags)
#define TASK_DUMPABLE (rd32(rd(task + O_task_struct_mm) + O_mm_struct_flags) & 3)
#endif

/* Whether the current task's program runs with rights that who looks has not: as another user, or, as the kernel says by
 * "not dumpable", with a group or a file that is not his, or with capabilities beyond his. He might not trace it with
 * ptrace either. What has capabilities of its file (which clears the ambient ones), and all of them he has too, may be seen:
 * Python often has those that tracing takes. A guarded trace has no such exception, and asks for every one of the ids; where
 * the kernel does not tell what is dumpable it shows nothing. */
inline_ bool hidden(struct config *c) {
  if (!c->viewer) return false;
  u64 task = bpf_get_current_task(), cred = rd(task + O_task_struct_cred);
  if (rd32(cred + O_cred_euid) != c->viewer) return true;
  if (c->guarded && (rd32(cred + O_cred_uid) != c->viewer || rd32(cred + O_cred_suid) != c->viewer)) return true;
#ifdef TASK_DUMPABLE
  if (TASK_DUMPABLE == 1) return false;
  u64 rights = rd(cred + O_cred_cap_permitted);
  return c->guarded || !rights || rights & ~c->viewer_rights || rd(cred + O_cred_cap_ambient);
#else
  return c->guarded;
#endif
}

/* The same of a thread in a guarded trace, at each of its calls: rights change at any of them (exec, set*id, prctl), and at
 * those of other threads. */
inline_ bool unseen(struct config *c, struct slot *slot) {
  if (!c->guarded || c->mode != M_SET) return false;                /* by uid it was asked for its scope */
  u8 now = hidden(c);
  if (now && !slot->unseen) count(T_HIDDEN);
  slot->unseen = now;
  return now;
}

/* The same between calls. */
inline_ bool not_shown(struct slot *slot) {
  u32 zero = 0;
  struct config *c = config.lookup(&zero);
  return left_out(slot) || (c && c->guarded && hidden(c));
}

inline_ u32 member(struct config *c, u32 tid, u32 tgid) {
  if (c->mode == M_SET) {
    u8 *t = targets.lookup(&tgid);
    return t ? *t : 0;
  }
  if (c->mode == M_ALL) return TARGET_IN;
  if (c->mode == M_UID) return (u32)bpf_get_current_uid_gid() == c->uid && !hidden(c);
  return c->mode == M_CGROUP && inside(c->cgroup);
}

/* The slot of a thread that has none, or whose scope was decided under older rules; 0 when it is out of scope. */
inline_ struct slot *admit(u32 by, struct config *c, struct live *now, struct slot *slot, u32 tid, u32 tgid) {
  u64 task = bpf_get_current_task();
  u32 in = member(c, tid, tgid);
  if (!in && c->wanted != now->found && c->mode == M_SET) {  /* a target given by its number in a nested pid namespace */
    u32 pid = local_number(rd(rd(task + O_task_struct_group_leader) + O_task_struct_thread_pid));
    u8 *t = pid ? wanted.lookup(&pid) : 0;
    if (t) {
      u8 value = *t;
      u8 *owner = owner_of(tgid);
      if (owner) *owner = FIRST_SEAT;
      targets.update(&tgid, &value);
      wanted.delete(&pid);
      __sync_fetch_and_add(&now->found, 1);
      in = value;
    }
  }
  if (!in) {
    if (slot) slots.delete(&tid);
    return 0;
  }
  if (slot) {
    if (slot->state == S_OPEN) count(T_KILLED);
    slots.delete(&tid);
  }
  slot = new_slot(mine(by), task, tid, tgid, c);
  if (!slot) return 0;
  if (c->tid && slot->tid != c->tid) slot->ignored = 1;
  slot->waiting = in == TARGET_AT_EXEC;
  return slot;
}

/* The slot of the calling thread, 0 when it is out of scope. */
inline_ struct slot *in_scope(u32 by, struct config *c, struct live *now, u32 tid, u32 tgid) {
  struct slot *slot = slots.lookup(&tid);
  if (slot && slot->scope_gen == c->scope_gen && c->mode <= M_ALL) return slot;
  if (slot && slot->scope_gen == c->scope_gen && member(c, tid, tgid)) return slot;
  return admit(by, c, now, slot, tid, tgid);
}

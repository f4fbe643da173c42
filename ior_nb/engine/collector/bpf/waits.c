/* What a call waited for while it was not running, told by three hooks that are attached only when they are asked for.
 *
 * A thread that leaves its processor notes when, on the scheduler's clock, and how long it had waited for one so far.
 * When it leaves the next time, or its call ends, it has been back: since its last arrival. Of the time between, the
 * scheduler's own count says how long it could have run; the rest it slept, for what it had noted. So nothing is done
 * where a thread comes back, or is woken, and of a thread in no call of the scope, and no fault, no more than a look for its slot. */
#ifdef WITH_on_switch
#define LCB_F_SPIN 1  /* of contention_begin: it waits running */

/* What was slept since the thread left its processor belongs to what it slept for. */
inline_ void came_back(struct slot *slot) {
  u64 arrived, task = TASK_BTF ? typed_task() : bpf_get_current_task();
#if TASK_BTF
  LOAD64(arrived, task, O_task_struct_sched_info_last_arrival);
#else
  arrived = rd(task + O_task_struct_sched_info_last_arrival);
#endif
  s64 away = arrived - slot->spent.left, queued = delayed_task() - slot->spent.left_delay;
  if (away > queued) slot->spent.slept[slot->spent.why & 3] += away - queued;
  slot->spent.left = 0;
}

inline_ void come_back(struct slot *slot) { if (slot->spent.left) came_back(slot); }

int on_switch(void *ctx) {
  u32 tid = bpf_get_current_pid_tgid();                             /* still who leaves */
  struct slot *slot = slots.lookup(&tid);
  if (!slot || (slot->state != S_OPEN && !slot->faulting)) return 0;
  come_back(slot);
  u32 word;
#if TASK_BTF
  u64 now, queue, task = typed_task();
  LOAD64(queue, task, O_task_struct_se_cfs_rq);
  LOAD64(queue, queue, O_cfs_rq_rq);
  LOAD64(now, queue, O_rq_clock);
  LOAD32(word, task, IOWAIT_WORD);
#else
  u64 task = bpf_get_current_task(), now = rd(rd(rd(task + O_task_struct_se_cfs_rq) + O_cfs_rq_rq) + O_rq_clock);
  word = rd32(task + IOWAIT_WORD);
#endif
  slot->spent.left = now;
  slot->spent.left_delay = delayed_task();
  slot->spent.why = slot->spent.lock ? FOR_LOCK : word >> IOWAIT_BIT & 1 ? FOR_DEVICE : FOR_OTHERS;
  return 0;
}
#else
inline_ void come_back(struct slot *slot) {}
#endif

#ifdef WITH_on_contended
int on_contended(struct contended_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  if (ctx->flags & LCB_F_SPIN) return 0;
  struct slot *slot = slots.lookup(&tid);
  if (slot && (slot->state == S_OPEN || slot->faulting)) slot->spent.lock = ctx->lock;
  return 0;
}

int on_uncontended(struct contended_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  if (slot && slot->spent.lock == ctx->lock) slot->spent.lock = 0;
  return 0;
}
#endif

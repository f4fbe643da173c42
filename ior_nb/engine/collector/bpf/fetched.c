/* What a call made devices read, and how long it waited for a CPU: differences of the thread's own counters; and, of cache.c,
 * the pages that came into the page cache. */

/* A number in 32 bits: 30 of them, and how often it was shifted right by nine. */
inline_ u32 packed(u64 value) {
  u32 shifts = 0;
  if (value >> PACKED_BITS) { value >>= PACKED_SHIFT; shifts += 1; }
  if (value >> PACKED_BITS) { value >>= PACKED_SHIFT; shifts += 1; }
  if (value >> PACKED_BITS) {
    value >>= PACKED_SHIFT;
    shifts += 1;
    if (value > (1 << PACKED_BITS) - 2) value = (1 << PACKED_BITS) - 2;   /* PACKED_UNKNOWN is one more */
  }
  return shifts << PACKED_BITS | value;
}

#ifdef O_task_struct_ioac_read_bytes
inline_ u64 read_by_task(void) {
#if TASK_BTF
  u64 bytes, task = typed_task();
  LOAD64(bytes, task, O_task_struct_ioac_read_bytes);
  return bytes;
#endif
  return rd(bpf_get_current_task() + O_task_struct_ioac_read_bytes);
}
#else
inline_ u64 read_by_task(void) { return 0; }
#endif

#ifdef O_task_struct_sched_info_run_delay
inline_ u64 delayed_task(void) {
#if TASK_BTF
  u64 ns, task = typed_task();
  LOAD64(ns, task, O_task_struct_sched_info_run_delay);
  return ns;
#endif
  return rd(bpf_get_current_task() + O_task_struct_sched_info_run_delay);
}
#else
inline_ u64 delayed_task(void) { return 0; }
#endif

inline_ void begin_spending(struct slot *slot) {
  slot->spent.read_bytes = read_by_task();
  slot->spent.run_delay = delayed_task();
  slot->spent.pages = 0;
  slot->spent.slept[FOR_OTHERS] = 0; slot->spent.slept[FOR_DEVICE] = 0; slot->spent.slept[FOR_LOCK] = 0;
  slot->spent.lock = 0; slot->spent.left = 0;
}

/* File systems without a disk of their own (FUSE) count no bytes, but pages do come into the cache; some (NFS) do both. */
inline_ u64 fetched_by(struct slot *slot) {
  u64 bytes = read_by_task() - slot->spent.read_bytes, added = slot->spent.pages * PAGE_BYTES;
  return bytes > added ? bytes : added;
}

inline_ u64 run_delay_of(struct slot *slot) { return delayed_task() - slot->spent.run_delay; }

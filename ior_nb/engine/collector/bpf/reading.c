/* Reading the kernel's memory, counting, ids: what all the others use. */

/* The helpers by their numbers (include/uapi/linux/bpf.h): under bcc's own names for them, bcc reads all of
 * /proc/kallsyms first, a third of the time it takes to start. */
static long (*read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*read_user_string)(void *to, u32 size, const void *from) = (void *)114;
static long (*read_kernel_string)(void *to, u32 size, const void *from) = (void *)115;

/* Where the kernel lets a program load through typed pointers (5.11), the task's own words cost a load each instead of
 * a helper call. The instruction is written out: bcc would turn a C dereference into a helper call. */
#if TASK_BTF
static u64 (*typed_task)(void) = (void *)158;
static u64 (*task_registers)(u64 task) = (void *)175;
#define LOAD64(to, at, offset) asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(to) : "r"(at), "i"(offset))
#define LOAD32(to, at, offset) asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(to) : "r"(at), "i"(offset))
#endif

/* Keeps the compiler from what it can prove of a value: it drops a bound, or ends a loop on equality with the smaller of
 * two bounds, and then the verifier (that of kernels before 6.2 above all) can prove nothing. */
#define OPAQUE(value) asm volatile("" : "+r"(value))

inline_ u64 rd(u64 at) { u64 v = 0; read_kernel(&v, 8, (void *)at); return v; }
inline_ u32 rd32(u64 at) { u32 v = 0; read_kernel(&v, 4, (void *)at); return v; }

inline_ void add(u32 what, u64 more) {
  u32 at = bpf_get_smp_processor_id() * TOTALS + what;
  u64 *n = totals.lookup(&at);
#if SHARES > 1
  if (n) __sync_fetch_and_add(n, more);
#else
  if (n) *n += more;
#endif
}

inline_ void count(u32 what) { add(what, 1); }

/* Where a program can be preempted (raw tracepoints from Linux 7.2 on) another may run in between on its CPU, but never
 * the same one: so each has a share of its own of what is per CPU. Elsewhere there is one share. */
enum { BY_ENTER, BY_EXIT, BY_FORK, BY_EXEC, BY_TASK_EXIT, BY_FAULT };

inline_ struct scratch *mine(u32 by) {
  u32 at = SHARES > 1 ? by : 0;
  struct scratch *s = scratch.lookup(&at);
  if (s) s->share = at;
  return s;
}

/* The next id of a kind. Not from a counter that all CPUs share: some compilers refuse the result of an atomic add. */
inline_ u32 next_id(struct scratch *s, u32 *last) {
  *last += 1;
  return (*last * SHARES + s->share) * NCPU + bpf_get_smp_processor_id();
}

/* The generation of the names of files. */
inline_ u32 tree_now(void) {
  u32 zero = 0;
  struct machine *m = machine.lookup(&zero);
  return m ? m->tree : 0;
}

inline_ void tree_has_changed(void) {
  u32 zero = 0;
  struct machine *m = machine.lookup(&zero);
  if (m) __sync_fetch_and_add(&m->tree, 1);
}

/* One argument, by its place among the saved registers plus one. */
inline_ u64 word(struct slot *slot, u8 at) { return slot->regs[(at - 1) & 7]; }

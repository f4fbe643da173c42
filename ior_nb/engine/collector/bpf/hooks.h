/* What the hooks are given. */

struct ring_args { u64 ring, request; };
struct cached_args { u64 folio; };
struct fault_args { u64 mapping, index; };
struct map_args { u64 mapping, first, last; };
struct dirty_args { u64 folio, mapping; };
struct bio_args { u64 bio; };
struct written_args { u64 request; };
struct contended_args { u64 lock, flags; };

#if CLASSIC  /* perf's trace events: the fields of /sys/kernel/tracing/events/.../format */
struct enter_args { u8 head[O_trace_event_raw_sys_enter_id]; u64 nr, args[6]; };
struct exit_args { u8 head[O_trace_event_raw_sys_exit_ret]; s64 ret; };
struct fork_args { u8 head[O_trace_event_raw_sched_process_fork_child_pid]; u32 child_pid; };
struct exec_args { u8 head[O_trace_event_raw_sched_process_exec_old_pid]; u32 old_pid; };
struct exec_filename { u8 head[O_trace_event_raw_sched_process_exec___data_loc_filename]; u32 place; };
_Static_assert(O_trace_event_raw_sys_enter_args == O_trace_event_raw_sys_enter_id + 8, "sys_enter");
#else  /* raw tracepoints: the arguments of TP_PROTO */
struct enter_args { u64 regs, nr; };
struct exit_args { u64 regs; s64 ret; };
struct fork_args { u64 parent, child; };
struct exec_args { u64 task, old_pid, binprm; };
#endif

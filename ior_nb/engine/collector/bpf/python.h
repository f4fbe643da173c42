/* What is known of the interpreter in a process; a slot has a copy. */
struct python {  /* python.py: PYTHON */
  u64 runtime;     /* address of _PyRuntime */
  u64 counter;     /* address of a counter of code objects made or freed; 0: where the layout says, or nowhere */
  s64 tls;         /* where the thread's state is, from its FS base; 0: by the runtime's key */
  u64 serial;      /* of this program in this process */
  u32 layout;      /* row of `layouts`; 0: none */
  u32 lowest;      /* of a thread: where in its data stack the outermost frame was that was looked at last */
};

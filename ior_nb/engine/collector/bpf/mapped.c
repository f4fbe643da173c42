/* Faults on mapped files: which file, how many pages each brought in. One that brought in some, or slept, becomes a row
 * like that of a call; the others are counted, by file.
 *
 *   mm_filemap_fault      a fault begins, and python_walk reads the stack at once: later it is another
 *   mm_filemap_map_pages  pages that were in the page cache were mapped without more ado
 *   on_cached (cache.c)   a page came into the page cache: by the fault, if it is of its file
 *   fault_ends            (tail call) nothing tells the end of a fault, so it is the thread's next hook, which is gone back to
 *   fault_walk            (tail call) names a file seen for the first time
 *
 * Without a hook for the beginning (before Linux 6.12) a fault begins with its first page, where the thread is in no call. */

struct inode_key { u64 inode; u32 dev, generation; };   /* numbers of inodes come again at once */
struct cached {  /* wire.py: CACHED_FILE */
  u64 faults, mapped, filled, dirtied, written, in_calls, first_dirty, last_dirty, last_write, inode;
  u32 file, tid, others, pad;
};
struct fault {  /* mapped.py: Fault */
  u64 mapping, time, index, sleeps, read, pages, maps;
  struct inode_key key;
  u32 file, tree, stack, call_stack, pid, tid, comm_id;
  u8 why, call_why, open, counted;
};

BPF_F_TABLE("hash", struct inode_key, struct cached, cached, CACHED_FILES, 1);
BPF_F_TABLE("hash", u32, struct fault, faults, SLOTS, 1);

inline_ void inode_of(u64 mapping, struct inode_key *key) {
  u64 inode = rd(mapping + O_address_space_host);
  key->inode = rd(inode + O_inode_i_ino);
  key->generation = rd32(inode + O_inode_i_generation);
  key->dev = rd32(rd(inode + O_inode_i_sb) + O_super_block_s_dev);
}

inline_ u64 sleeps_so_far(void) {
#if TASK_BTF
  u64 task = typed_task(), sleeps;
  LOAD64(sleeps, task, O_task_struct_nvcsw);
  return sleeps;
#else
  return rd(bpf_get_current_task() + O_task_struct_nvcsw);
#endif
}

inline_ struct fault *fault_begins(struct slot *slot, u32 tid, u64 mapping, u64 index) {
  struct fault *f = faults.lookup(&tid);
  if (!f) {
    struct fault none = {};
    faults.update(&tid, &none);
    f = faults.lookup(&tid);
    if (!f) { count(T_NOT_COUNTED); return 0; }
  }
  struct inode_key key = {};
  inode_of(mapping, &key);
  if (f->mapping != mapping || f->key.inode != key.inode || f->key.generation != key.generation || f->key.dev != key.dev) {
    f->mapping = mapping; f->key = key; f->file = 0;
  }
  f->time = bpf_ktime_get_boot_ns();
  f->index = index; f->sleeps = sleeps_so_far(); f->read = read_by_task(); f->pages = f->maps = 0;
  f->stack = 0; f->why = 0; f->open = 1;
  if (slot->state != S_OPEN) begin_spending(slot);                  /* a call's, which the fault is in, goes on */
  f->pid = slot->pid; f->tid = slot->tid; f->comm_id = slot->comm_id;   /* for who finds it open at the end of the trace */
  slot->faulting = WAITING;
  return f;
}

inline_ void fault_has_stack(struct slot *slot) {
  u32 tid = bpf_get_current_pid_tgid();
  struct fault *f = faults.lookup(&tid);
  slot->faulting = WAITING;
  if (!f) return;
  f->stack = slot->stack; f->why = slot->why;
  slot->stack = f->call_stack; slot->why = f->call_why;
}

/* Have the stack read; it is put where that of a call is, which may be open around the fault. */
inline_ void read_stack(void *ctx, struct slot *slot, struct fault *f) {
  u32 zero = 0;
  struct live *now = live.lookup(&zero);
  f->call_stack = slot->stack; f->call_why = slot->why;
  slot->stack = 0; slot->why = 0; slot->end = f->time;
  slot->faulting = WALKING;
  if (now) walk_python(ctx, slot, now);
  fault_has_stack(slot);
}

int on_fault(struct fault_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  if (!slot || slot->waiting || not_shown(slot)) return 0;
  fault_is_over(ctx, slot, TAIL_FAULT);
  struct fault *f = fault_begins(slot, tid, ctx->mapping, ctx->index);
  if (f) read_stack(ctx, slot, f);
  return 0;
}

int on_map_pages(struct map_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  if (!slot || slot->waiting || not_shown(slot)) return 0;
  fault_is_over(ctx, slot, TAIL_MAP_PAGES);
  struct inode_key key = {};
  inode_of(ctx->mapping, &key);
  u64 maps = ctx->last - ctx->first + 1;
  struct cached *file = cached.lookup(&key);
  if (file) {
    __sync_fetch_and_add(&file->faults, 1);
    __sync_fetch_and_add(&file->mapped, maps);
    return 0;
  }
  struct fault *f = fault_begins(slot, tid, ctx->mapping, ctx->first);   /* its end names the file */
  if (f) f->maps = maps;
  return 0;
}

inline_ u64 pages_of(u64 folio);
inline_ bool counts_reads(u64 mapping);

/* A page was added to the page cache: true if it is a fault's. */
inline_ bool fault_fills(void *ctx, struct slot *slot, u32 tid, u64 folio, u64 mapping) {
  struct fault *f = slot->faulting ? faults.lookup(&tid) : 0;
#if FAULTS_TOLD
  if (!f || f->mapping != mapping) return false;
  if (!f->pages) f->counted = counts_reads(mapping);
  f->pages += pages_of(folio);
  return true;
#else
  u32 nr = NR_PAGE_FAULT;
  struct spec *spec = specs.lookup(&nr);
  u64 index = rd(folio + O_folio_index), pages = pages_of(folio);
  if (f && f->mapping == mapping && f->index + f->pages == index) { f->pages += pages; return true; }
  if (!spec || !spec->enabled || slot->state != S_NONE || slot->waiting || not_shown(slot)) return false;
  if ((rd32(rd(mapping + O_address_space_host) + O_inode_i_mode) & 0170000) != 0100000) return false;
  fault_is_over(ctx, slot, TAIL_CACHED);
  f = fault_begins(slot, tid, mapping, index);
  if (!f) return true;
  f->sleeps = -1;                                                   /* when it began is not known */
  f->pages = pages;
  f->counted = counts_reads(mapping);
  read_stack(ctx, slot, f);
  return true;
#endif
}

/* ---- the end ---- */

/* Where a file is, by one of the areas that map it. */
inline_ bool where_mapped(u64 mapping, struct where *at) {
  u64 node = rd(mapping + O_address_space_i_mmap), path = node ? path_of_area(node - O_vm_area_struct_shared_rb) : 0;
  if (!path) return false;
  read_kernel(at, sizeof(*at), (void *)path);
  return at->dentry;
}

/* What devices read for it: what the file system says, as for calls, for pages of a hole in a file come from nowhere. Inside
 * a call others may have read too, before its end was known. */
inline_ void spent_by_fault(struct slot *slot, struct slot *row, struct fault *f) {
  u64 now = read_by_task(), read = now - f->read, filled = f->pages * PAGE_BYTES;
  if (slot->state == S_OPEN) {
    if (read > filled) read = filled;
    slot->spent.read_bytes += read;
    row->spent.read_bytes = now - read;
  } else {
    row->spent = slot->spent;
  }
  row->spent.pages = f->counted ? 0 : f->pages;
}

inline_ void send_fault(struct scratch *s, struct slot *slot, struct fault *f) {
  u32 nr = NR_PAGE_FAULT;
  struct spec *spec = specs.lookup(&nr);
  if (!spec || !spec->enabled) return;
  struct slot *row = &s->blank;
  __builtin_memset(row, 0, sizeof(*row));
  row->pid = slot->pid; row->tid = slot->tid; row->nr = nr;
  row->start = row->last_end = f->time;                             /* no gap: the one around it is the next call's */
  row->pos = f->index * PAGE_BYTES; row->ret = f->pages * PAGE_BYTES;
  row->files[F_FILE] = f->file; row->stack = f->stack; row->why = f->why;
  row->comm[0] = slot->comm[0]; row->comm[1] = slot->comm[1]; row->comm_id = slot->comm_id;
  spent_by_fault(slot, row, f);
  count(T_SEEN);
  struct counter *n = count_call(row);
  if (n) n->bytes += row->ret;
  if (sampled_out(spec)) { count(T_SAMPLED); return; }
  if (kept_out(row, 0, row->ret)) return;
  emit(BY_FAULT, row, 0, row->ret, row->flags);
  slot->comm[0] = row->comm[0]; slot->comm[1] = row->comm[1]; slot->comm_id = row->comm_id;
}

/* Count it, send its row, and go on with what ended it. */
inline_ void fault_is_known(void *ctx, struct scratch *s, struct slot *slot, struct fault *f) {
  struct inode_key key = f->key;
  struct cached *file = cached.lookup(&key);
  if (!file) {
    struct cached none = { .file = f->file };
    if (cached.update(&key, &none)) count(T_NOT_COUNTED);
    file = cached.lookup(&key);
  }
  if (file) {
    file->file = f->file;
    __sync_fetch_and_add(&file->faults, 1);
    __sync_fetch_and_add(&file->mapped, f->maps);
    __sync_fetch_and_add(&file->filled, f->pages);
  }
  if (f->pages || (!f->maps && f->sleeps != -1ULL && sleeps_so_far() != f->sleeps)) send_fault(s, slot, f);
  f->open = 0;
  u32 back = slot->faulting;
  slot->faulting = 0;
  tails.call(ctx, back);
}

int fault_ends(void *ctx) {
  u32 tid = bpf_get_current_pid_tgid(), zero = 0;
  struct slot *slot = slots.lookup(&tid);
  struct fault *f = faults.lookup(&tid);
  struct scratch *s = mine(BY_FAULT);
  struct live *now = live.lookup(&zero);
  if (!slot || !f || !s || !now) return 0;
  u32 tree = tree_now();
  if (!f->file || f->tree != tree) {
    struct where at = {};
    struct inode_key key = {};
    f->file = 0; f->tree = tree;
    inode_of(f->mapping, &key);
    if (key.inode == f->key.inode && key.generation == f->key.generation && where_mapped(f->mapping, &at)) {
      f->file = known_file(&at, tree, slot);
      if (!f->file) {
        s->missing[0] = at;
        s->todo = 1;
        tails.call(ctx, TAIL_FAULT_WALK);
      }
    }
  }
  fault_is_known(ctx, s, slot, f);
  return 0;
}

int fault_walk(void *ctx) {
  u32 tid = bpf_get_current_pid_tgid(), zero = 0;
  struct slot *slot = slots.lookup(&tid);
  struct fault *f = faults.lookup(&tid);
  struct scratch *s = mine(BY_FAULT);
  struct live *now = live.lookup(&zero);
  if (!slot || !f || !s || !now) return 0;
  s->blank.files[0] = 0;
  name_one(s, &s->blank, now);
  f->file = s->blank.files[0];
  fault_is_known(ctx, s, slot, f);
  return 0;
}

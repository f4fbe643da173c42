/* Which file is it: from a descriptor or a base directory to an id, and the path of a file seen for the first time. */

inline_ bool is_compat(u64 task) {
#if TASK_BTF
  u64 current = typed_task();
  u32 status;
  LOAD32(status, current, O_task_struct_status);
  return status & COMPAT_BIT;
#endif
  return rd32(task + O_task_struct_status) & COMPAT_BIT;
}

/* Whether a filter of seccomp or a tracer may answer calls of the current task before they begin. */
inline_ bool restrained(void) {
#if TASK_BTF
  u64 current = typed_task();
  u32 mode, traced;
  LOAD32(mode, current, O_task_struct_seccomp_mode);
  LOAD32(traced, current, O_task_struct_ptrace);
  return mode || traced;
#endif
  u64 task = bpf_get_current_task();
  return rd32(task + O_task_struct_seccomp_mode) || rd32(task + O_task_struct_ptrace);
}

inline_ void read_comm(u64 comm[2]) {
#if TASK_BTF
  u64 current = typed_task();
  LOAD64(comm[0], current, O_task_struct_comm);
  LOAD64(comm[1], current, O_task_struct_comm + 8);
#else
  bpf_get_current_comm(comm, 16);
#endif
}

/* One read of a dentry, from d_hash.pprev to d_inode. */
struct dentry_head { u64 pprev, parent, hash_len, name, inode; };

/* Which file a dentry stands for: its inode's number (addresses of freed inodes come again, for pipes within
 * microseconds), and whether it has lost its place in the tree. Anonymous inodes are one and the same, and their names
 * have no hash: an eventfd and a timerfd differ in the first letters alone. */
inline_ u64 identity(u64 dentry, struct dentry_head *d) {
  u64 number = rd(d->inode + O_inode_i_ino) << 1 | !d->pprev;
  if (d->parent == dentry && d->hash_len >> 32) number ^= rd(d->name) * 0x9e3779b97f4a7c15ULL;
  return number;
}

inline_ bool unchanged(struct known *k, u64 dentry, struct dentry_head *d, u32 generation) {
  return k->generation == generation && k->parent == d->parent && k->hash_len == d->hash_len &&
         k->inode == identity(dentry, d);
}

/* The id of a file already named and unchanged, else 0. A thread mostly stays with one file: its slot remembers it. */
inline_ u32 known_file(struct where *at, u32 generation, struct slot *slot) {
  struct dentry_head d = {};
  read_kernel(&d, sizeof(d), (void *)(at->dentry + O_dentry_pprev));
  if (slot->last_at.dentry == at->dentry && slot->last_at.mnt == at->mnt && unchanged(&slot->last, at->dentry, &d, generation))
    return slot->last.id;
  struct known *k = files.lookup(at);
  if (!k || !unchanged(k, at->dentry, &d, generation)) return 0;
  slot->last_at = *at;
  slot->last = *k;
  return k->id;
}

/* Turn the addresses in s->ask into file ids of the slot; what is new goes to s->missing. */
inline_ void find(struct scratch *s, struct slot *slot, u32 generation) {
  s->todo = s->addressed = s->accepted = 0;
#pragma clang loop unroll(disable)
  for (u32 i = 0; i < 4; i++) {
    struct where at = {};
    u32 k = 3 - i;                                                  /* F_FILE last: see_ends wants it */
    u64 address = s->ask[k & 3];
    if (!address) continue;
    read_kernel(&at, sizeof(at), (void *)address);
    if (!at.dentry) continue;
    u32 id = known_file(&at, generation, slot);
    slot->files[k & 3] = id;
    if (id) continue;
    s->missing[k & 3] = at;
    s->todo |= 1 << k;
  }
  see_ends(s, slot);
}

inline_ u64 file_of(u64 task, u32 fd) {
#if TASK_BTF
  u64 current = typed_task(), files, fdt, array;
  u32 max;
  LOAD64(files, current, O_task_struct_files);
  LOAD64(fdt, files, O_files_struct_fdt);
  LOAD32(max, fdt, O_fdtable_max_fds);
  LOAD64(array, fdt, O_fdtable_fd);
  return fd < max ? rd(array + 8 * (u64)fd) : 0;
#endif
  struct { u32 max, pad; u64 fd; } table = {};                      /* max_fds and fd are the first members */
  read_kernel(&table, sizeof(table), (void *)rd(rd(task + O_task_struct_files) + O_files_struct_fdt));
  return fd < table.max ? rd(table.fd + 8 * (u64)fd) : 0;
}

/* The address of the path a relative or absolute string argument starts from. */
inline_ u64 base_of(struct slot *slot, u64 task, u8 string, u8 directory, u8 bit, bool in_root) {
  char first = 0;
  s32 fd = directory ? word(slot, directory) : AT_FDCWD;
  u64 fs = rd(task + O_task_struct_fs);
  read_user(&first, 1, (void *)word(slot, string));
  if (first == '/') {
    slot->rooted |= bit;
    if (!in_root) return fs + O_fs_struct_root;
  }
  if (fd == AT_FDCWD) return fs + O_fs_struct_pwd;
  u64 f = file_of(task, fd);
  return f ? f + O_file_f_path : 0;
}

/* Name one missing file: walk its dentries up to the root of its mount namespace, send the path. */
inline_ void name_one(struct scratch *s, struct slot *slot, struct live *now) {
  *(volatile u32 *)&s->current = s->todo & 1 ? 0 : s->todo & 2 ? 1 : s->todo & 4 ? 2 : 3;
  u32 n = *(volatile u32 *)&s->current;   /* through memory, so that the walk is verified once, not for each value */
  struct dentry_head d = {};
  struct where key = s->missing[n & 3];
  s->todo &= ~(1 << n);
  u32 generation = tree_now();
  read_kernel(&d, sizeof(d), (void *)(key.dentry + O_dentry_pprev));
  s->mnt = key.mnt; s->dentry = key.dentry; s->pos = TEXT_END; s->path = 0; s->flags = 0;
  if (!d.pprev && d.parent != key.dentry) s->flags = NF_DELETED;
  u32 i;
  for (i = 0; i < 256; i++) {
    u64 mnt = *(volatile u64 *)&s->mnt, dentry = *(volatile u64 *)&s->dentry;
    struct { u64 parent, hash_len, name; } c = {};
    read_kernel(&c, sizeof(c), (void *)(dentry + O_dentry_d_parent));
    u64 root = rd(mnt + O_vfsmount_mnt_root);
    u32 detached = 0;
    if (dentry == root || c.parent == dentry) {
      u64 mount = mnt - O_mount_mnt, over = rd(mount + O_mount_mnt_parent);
      if (dentry == root) {
        if (over == mount) break;
        *(volatile u64 *)&s->dentry = rd(mount + O_mount_mnt_mountpoint);
        *(volatile u64 *)&s->mnt = over + O_mount_mnt;
        continue;
      }
      detached = 1;  /* pipe, socket, anonymous inode, memfd: no place in the tree */
    }
    u32 pos = *(volatile u32 *)&s->pos, length = (c.hash_len >> 32) & 255;
    if (TEXT_END - pos + length + 1 > 4095) { s->flags |= NF_CUT; break; }
    pos -= length;
    read_kernel(&s->text[pos & 8191], length, (void *)c.name);
    s->path = (s->path ^ c.hash_len ^ dentry) * 0x100000001b3ULL;
    if (detached) { *(volatile u32 *)&s->pos = pos; s->flags |= NF_DETACHED; break; }
    pos -= 1;
    s->text[pos & 8191] = '/';
    *(volatile u32 *)&s->pos = pos;
    *(volatile u64 *)&s->dentry = c.parent;
  }
  if (i == 256) s->flags |= NF_CUT;
  u64 sb = rd(d.inode + O_inode_i_sb), sock = 0;
  u32 magic = rd(sb + O_super_block_s_magic);
  if (magic == SOCKFS_MAGIC) sock = rd(d.inode - O_socket_alloc_vfs_inode + O_socket_sk);
  struct known *fresh = &s->fresh, *old = files.lookup(&key);
  struct voice *voice = &s->voice;
  fresh->parent = d.parent; fresh->hash_len = d.hash_len; fresh->inode = identity(key.dentry, &d);
  fresh->path = s->path; fresh->generation = generation; fresh->sock = sock; fresh->ends = 0;
  fresh->stream = sock && (rd32(sock + O_sock_sk_type) & 0xffff) == SOCK_STREAM; fresh->stays = 0;
  voice->inode = fresh->inode;
  u64 *heard = 0;
  if (sock) {
    fresh->ends = ends_of(sock, old && old->inode == fresh->inode ? old->ends : 0);
    voice->ends = with_address(s, fresh->ends);
    heard = voices.lookup(voice);
  }
  if (heard) {
    fresh->id = *heard;
  } else if (!sock && old && old->path == fresh->path && old->inode == fresh->inode) {
    fresh->id = old->id;
  } else {
    fresh->id = next_id(s, &s->last_file);
    struct chunk *head = new_head(s);
    head->id = fresh->id; head->type = N_FILE; head->flags = s->flags;
    head->dev = rd32(sb + O_super_block_s_dev); head->magic = magic;
    head->mode = rd32(d.inode + O_inode_i_mode) & 0xffff; head->inode = rd(d.inode + O_inode_i_ino);
    if (sock) {
      u32 family = rd32(sock + O_sock_common_skc_family) & 0xffff;
      u32 type = rd32(sock + O_sock_sk_type) & 0xffff, protocol = rd32(sock + O_sock_sk_protocol) & 0xffff;
      head->socket = SOCKET_KNOWN | (family & 0xff) << SOCKET_FAMILY | (type & 0xf) << SOCKET_TYPE | protocol;
    }
#ifdef O_ns_common_ops
    if (head->magic == NSFS_MAGIC)                                   /* "net", "mnt", ...: its dentry has no name */
      read_kernel(&head->time, 8, (void *)rd(rd(rd(d.inode + O_inode_i_private) + O_ns_common_ops) + O_proc_ns_operations_name));
#endif
    u32 pos = *(volatile u32 *)&s->pos;
    if (!send_text(s, pos, (TEXT_END - pos) & 4095, head)) return;
    if (sock) {
      u64 id = fresh->id;
      if (!send_ends(s, id, s->accepted ? s->accepted : sock)) return;
      voices.update(voice, &id);
    }
  }
  /* Only now: another CPU must not meet an id whose name is not in the ring yet. */
  if (!s->addressed && !s->accepted) files.update(&key, fresh);
  slot->files[n & 3] = fresh->id;
}

/* ---- calls that change names ---- */

#ifdef WITH_on_ring
/* An operation of io_uring has ended, before the one who waits for it can know: no call may have been made for it. */
int on_ring(struct ring_args *ctx) {
  u8 operation = 0;
  read_kernel(&operation, 1, (void *)(ctx->request + O_io_kiocb_opcode));
  if (operation == IORING_OP_RENAMEAT) tree_has_changed();
  return 0;
}
#endif

inline_ bool may_change_names(struct spec *spec, u64 task) {
  u8 flags = spec->flags & (SF_CHANGES_NAMES | SF_COMPAT_CHANGES_NAMES);
  return flags && flags & (is_compat(task) ? SF_COMPAT_CHANGES_NAMES : SF_CHANGES_NAMES);
}

/* A task begins a call after which a path known before may be another. */
inline_ void names_will_change(struct machine *m, u32 tid) {
  u8 one = 1;
  if (changers.lookup(&tid)) return;                                /* the trace and the dispatcher both tell */
  if (!changers.update(&tid, &one)) __sync_fetch_and_add(&m->changing, 1);
  else __sync_fetch_and_add(&m->tree, 1);
}

/* It has ended one, or has died in it. */
inline_ void names_have_changed(struct machine *m, u32 tid) {
  if (!m->changing || changers.delete(&tid)) return;
  __sync_fetch_and_add(&m->changing, -1);
  __sync_fetch_and_add(&m->tree, 1);
}

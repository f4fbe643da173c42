/* Calls with an address of their own: those that connect or bind, and datagrams that say where they go or came from. */

#define EINPROGRESS 115


inline_ void finish(struct slot *slot);

struct message { u64 name; u32 length, pad; };  /* the head of struct msghdr */

/* Whether such a call may have one, or may have changed the ends. */
inline_ bool may_address(struct slot *slot, struct spec *spec) {
  u64 name = 0;
  if (!spec->address_how || !slot->file_at) return false;
  if (spec->address_how == A_FILLED && slot->ret < 0) return false;
  if (spec->address_how == A_ACCEPTS) return slot->ret >= 0;
  if (spec->address) return word(slot, spec->address);
  read_user(&name, sizeof(name), (void *)word(slot, spec->extra_arg));
  return name;
}

/* Where that is, and how long. */
inline_ void find_address(struct message *m, struct slot *slot, struct spec *spec) {
  if (!spec->address) { read_user(m, sizeof(*m), (void *)word(slot, spec->extra_arg)); return; }
  m->name = word(slot, spec->address);
  m->length = word(slot, spec->address_size);
  if (spec->address_how == A_FILLED) read_user(&m->length, sizeof(m->length), (void *)word(slot, spec->address_size));
}

inline_ struct heard *heard_as(struct slot *slot, struct spec *spec) { return &slot->heard[spec->address_how == A_FILLED]; }

/* Whether it is the one its thread had with this socket before: then the id of both is known. */
inline_ bool heard_again(struct slot *slot, struct spec *spec) {
  struct heard *h = heard_as(slot, spec);
  struct message m = {};
  u64 address[HEARD_WORDS] = {};
  if (!h->length || h->socket != slot->files[F_FILE]) return false;
  if (spec->address_how != A_GIVEN && spec->address_how != A_FILLED) return false;
  find_address(&m, slot, spec);
  if (m.length != h->length) return false;
  u32 length = m.length;
  OPAQUE(length);
  length &= 8 * HEARD_WORDS - 1;
  if (read_user(address, length, (void *)m.name)) return false;
  for (u32 i = 0; i < HEARD_WORDS; i++) if (address[i] != h->address[i]) return false;
  slot->files[F_FILE] = h->id;
  return true;
}

inline_ void remember(struct scratch *s, struct slot *slot, struct spec *spec, u32 socket, u32 id) {
  struct heard *h = heard_as(slot, spec);
  h->length = 0;
  if (s->addressed >= 8 * HEARD_WORDS) return;
  for (u32 i = 0; i < HEARD_WORDS; i++) h->address[i] = s->address[i];
  h->socket = socket; h->id = id; h->length = s->addressed;
}

/* Copy the address the program gave, or was given. That of a connect counts where it failed, else the socket has it: one
 * that goes on `has_peer`, if it was not refused meanwhile. */
inline_ void take_address(struct scratch *s, struct slot *slot, struct spec *spec, bool has_peer) {
  struct message m = {};
  s->addressed = s->accepted = 0;
  if (spec->address_how == A_BINDS) return;
  if (spec->address_how == A_ACCEPTS) {
    struct dentry_head d = {};
    u64 f = file_of(bpf_get_current_task(), slot->ret);
    read_kernel(&d, sizeof(d), (void *)(rd(f + O_file_f_path + 8) + O_dentry_pprev));
    if (f) s->accepted = rd(d.inode - O_socket_alloc_vfs_inode + O_socket_sk);
    return;
  }
  if (spec->address_how == A_CONNECTS && (!failed(slot->ret) || (slot->ret == -EINPROGRESS && has_peer))) return;
  find_address(&m, slot, spec);
  u32 length = m.length;
  OPAQUE(length);
  if (length > SOCKADDR_UN) length = SOCKADDR_UN;
  OPAQUE(length);
  length &= 127;
  if (length < 2 || length > SOCKADDR_UN) return;
  __builtin_memset(s->address, 0, sizeof(s->address));
  if (!read_user(s->address, length, (void *)m.name)) s->addressed = length;
}

/* What is known of a socket that is not the file its thread has seen last, else 0. */
inline_ struct known *known_socket(struct where *at, u64 file) {
  struct dentry_head d = {};
  read_kernel(at, sizeof(*at), (void *)(file + O_file_f_path));
  struct known *k = files.lookup(at);
  read_kernel(&d, sizeof(d), (void *)(at->dentry + O_dentry_pprev));
  return k && k->sock && k->inode == identity(at->dentry, &d) ? k : 0;
}

int exit_address(struct exit_args *ctx) {
  struct walk w = {};
  if (!walk_on(&w, BY_EXIT)) return 0;
  struct where at = w.slot->last_at;
  struct known *k = &w.slot->last;
  if (!k->sock || k->id != w.slot->files[F_FILE]) k = known_socket(&at, w.slot->file_at);
  if (k) {
    u64 now = ends_of(k->sock, k->ends);
    take_address(w.s, w.slot, w.spec, now != k->ends);
    if (now != k->ends && k->stays) tree_has_changed();             /* so that every thread looks again */
    struct voice v = {.inode = k->inode, .ends = with_address(w.s, now)};
    u64 *heard = now == v.ends ? 0 : voices.lookup(&v);
    if (heard) {
      if (now == k->ends) remember(w.s, w.slot, w.spec, k->id, *heard);
      w.slot->files[F_FILE] = *heard;
    } else if (v.ends == k->ends) {
      w.slot->files[F_FILE] = k->id;
    } else {
      w.s->missing[F_FILE] = at;
      w.s->todo = 1 << F_FILE;
      tails.call(ctx, TAIL_EXIT_WALK);
    }
  }
  walk_python(ctx, w.slot, w.now);
  finish(w.slot);
  return 0;
}

/* Names and births and deaths, on a ring of their own: sent before the records that use them. */

/* The number of a pid structure in the pid namespace the collector lives in; 0 where it has none. */
inline_ u32 local_number(u64 pid) {
  u32 zero = 0, level = rd32(pid + O_pid_level), found = 0;
  struct config *c = config.lookup(&zero);
  if (!c) return 0;
  for (u32 i = 0; i < 8; i++) {
    OPAQUE(i);
    if (i > level) break;
    u64 number = pid + O_pid_numbers + i * SIZE_upid;
    if (rd32(rd(number + O_upid_ns) + O_pid_namespace_ns + O_ns_common_inum) == c->namespace) found = rd32(number + O_upid_nr);
  }
  return found;
}

inline_ int send_task(u32 type, u32 pid, u32 parent) {
  struct chunk *c = names.ringbuf_reserve(sizeof(struct chunk));
  if (!c) { count(T_LOST_NAMES); return 0; }
  c->id = pid; c->type = type; c->part = 0; c->parts = 1; c->flags = 0; c->length = 0; c->bytes = 0;
  c->base = parent; c->dev = 0; c->mode = 0; c->socket = 0; c->magic = 0; c->inode = 0; c->time = bpf_ktime_get_boot_ns();
  names.ringbuf_submit(c, BPF_RB_NO_WAKEUP);
  return 1;
}

inline_ u32 send_comm(struct slot *slot, struct scratch *s) {
  if (!s) return 0;
  struct chunk *c = names.ringbuf_reserve(sizeof(struct chunk));
  if (!c) { count(T_LOST_NAMES); return 0; }
  u32 id = next_id(s, &s->last_comm);
  c->id = id; c->type = N_COMM; c->part = 0; c->parts = 1; c->flags = 0; c->length = 16; c->bytes = 16;
  c->base = 0; c->dev = 0; c->mode = 0; c->socket = 0; c->magic = 0; c->inode = 0; c->time = 0;
  __builtin_memcpy(c->text, slot->comm, 16);
  names.ringbuf_submit(c, BPF_RB_NO_WAKEUP);
  return id;
}

/* An empty head of a chunk: there is one at a time. */
inline_ struct chunk *new_head(struct scratch *s) {
  __builtin_memset(&s->head, 0, HEAD_BYTES);
  return &s->head;
}

/* Send `length` bytes from s->text[from] as chunks; the first carries everything in `head`. */
inline_ int send_text(struct scratch *s, u32 from, u32 length, struct chunk *head) {
  u32 parts = (length + CHUNK_TEXT - 1) / CHUNK_TEXT;
  if (!parts) parts = 1;
  OPAQUE(parts);
  for (u32 i = 0; i < 20; i++) {
    OPAQUE(i);
    if (i >= parts) break;
    struct chunk *c = names.ringbuf_reserve(sizeof(struct chunk));
    if (!c) { count(T_LOST_NAMES); return 0; }
    u32 left = length - i * CHUNK_TEXT;
    if (left > CHUNK_TEXT) left = CHUNK_TEXT;
    OPAQUE(left);
    left &= 255;
    if (left > CHUNK_TEXT) left = CHUNK_TEXT;
    __builtin_memcpy(c, head, HEAD_BYTES);
    c->part = i; c->parts = parts; c->length = length; c->bytes = left;
    read_kernel(c->text, left, &s->text[(from + i * CHUNK_TEXT) & 8191]);
    names.ringbuf_submit(c, BPF_RB_NO_WAKEUP);
  }
  return 1;
}

/* Send the string in s->text, of which `got` bytes were copied, its end included; negative: it could not be read. */
inline_ int send_string(struct scratch *s, struct chunk *head, long got, u32 rooted) {
  if (got < 0) { head->flags |= NF_UNREADABLE; got = 0; }
  else {
    if (got > 0) got -= 1;
    /* The base was chosen at enter, when the string may not have been readable yet. */
    if (!(head->flags & NF_BY_DESCRIPTOR) && (s->text[0] == '/') != !!rooted) head->base = 0;
  }
  return send_text(s, 0, got & 4095, head);
}

/* Copy a user string and send it. Of a refused call the kernel has not read it either: where its page is not there, it is
 * lost. */
inline_ void send_user_text(struct scratch *s, struct slot *slot, u64 user, u32 type, u32 base, u32 rooted) {
  struct chunk *head = new_head(s);
  int sent;
  head->id = slot->names; head->type = type; head->base = base;
  if (slot->rooted & ROOTED_IN_ROOT) head->flags = NF_IN_ROOT;
  if (!user) {
    head->flags |= NF_NULL;
    sent = send_text(s, 0, 0, head);
  } else {
    long got = read_user_string(s->text, 4096, (void *)user);
    if (got < 0 && slot->flags & EF_REFUSED) count(T_LOST_NAMES);
    sent = send_string(s, head, got, rooted);
  }
  if (!sent) slot->flags |= EF_NAMES_LOST;
}

inline_ void send_first_path(struct scratch *s, struct slot *slot, struct spec *spec) {
  slot->names = next_id(s, &s->last_names);
  send_user_text(s, slot, word(slot, spec->str1), N_PATH1, slot->files[F_BASE1], slot->rooted & 1);
}

inline_ void send_second_path(struct scratch *s, struct slot *slot, struct spec *spec) {
  if (!slot->names) slot->names = next_id(s, &s->last_names);
  send_user_text(s, slot, word(slot, spec->str2), N_PATH2, slot->files[F_BASE2], slot->rooted & 2);
}

/* The program an exec is to run: at enter, for a success replaces the memory its name is in. In a child just forked that
 * is often not there yet: then on_exec sends what the kernel has copied, or, where the call failed, its end does. */
inline_ void send_program(struct scratch *s, struct slot *slot, struct spec *spec) {
  u64 user = word(slot, spec->str1);
  if (!user || read_user_string(s->text, 4096, (void *)user) >= 0) send_first_path(s, slot, spec);
}

/* The ends of a socket: whom it talks with, and its own address. They go with the id of its file: when they change the
 * socket gets another id, so that every record has those of its own time and is not longer for it. An address that a call
 * has for itself (that of a datagram) makes an id as well; `voices` has those of all that a socket was heard with. */

#define TCP_ESTABLISHED 1  /* of an inet socket; a connected one of netlink has the same number */
#define TCP_CLOSE 7
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_VSOCK 40
#define SOCK_STREAM 1
#define SOCK_RAW 3
#define SOCKADDR_UN 110

/* The head of struct sock_common in one read. */
struct ends { u64 words[3]; };
#define END(type, ends, member) (*(type *)((char *)(ends)->words + O_sock_common_##member - O_sock_common_skc_daddr))

inline_ u64 mixed(u64 sum, u64 word) {
  sum = (sum ^ word) * 0x9e3779b97f4a7c15ULL;
  return sum ^ sum >> 29;
}

/* A number that is another one when the ends of a socket are; `before` is what it was. A connection that has ended has
 * lost its own port, and is the one it was. */
inline_ u64 ends_in(struct ends *e, u64 sock, u64 before) {
  read_kernel(e, sizeof(*e), (void *)(sock + O_sock_common_skc_daddr));
  u32 family = END(u16, e, skc_family);
  u64 sum = family;
  if (family == AF_INET || family == AF_INET6) {
    u32 ports = END(u32, e, skc_dport);
    if (before && END(u8, e, skc_state) == TCP_CLOSE && END(u16, e, skc_dport)) return before;
    sum = mixed(mixed(sum, e->words[0]), ports);
#ifdef O_sock_common_skc_v6_daddr
    if (family == AF_INET6) {
      u64 address[2] = {};
      read_kernel(address, sizeof(address), (void *)(sock + O_sock_common_skc_v6_daddr));
      sum = mixed(mixed(sum, address[0]), address[1]);
    }
#endif
  }
#ifdef O_unix_sock_peer
  if (family == AF_UNIX) sum = mixed(mixed(sum, rd(sock + O_unix_sock_addr)), rd(sock + O_unix_sock_peer));
#endif
#ifdef O_netlink_sock_portid
  if (family == AF_NETLINK) {
    u64 to = (u64)END(u8, e, skc_state) << 32 | rd32(sock + O_netlink_sock_dst_portid);
    sum = mixed(mixed(mixed(sum, rd32(sock + O_netlink_sock_portid)), to), rd32(sock + O_netlink_sock_dst_group));
  }
#endif
#ifdef O_vsock_sock_remote_addr
  if (family == AF_VSOCK)
    sum = mixed(mixed(sum, rd(sock + O_vsock_sock_remote_addr + 4)), rd(sock + O_vsock_sock_local_addr + 4));
#endif
  return sum | 1;
}

inline_ u64 ends_of(u64 sock, u64 before) {
  struct ends e = {};
  return ends_in(&e, sock, before);
}

/* The same for a call with an address of its own, or with the ends of the socket it has accepted. */
inline_ u64 with_address(struct scratch *s, u64 sum) {
  if (s->accepted) return mixed(sum, ends_of(s->accepted, 0)) | 1;
  if (!s->addressed) return sum;
  sum = mixed(mixed(sum, s->address[0]), s->address[1]);
  if (s->addressed > 16)                                            /* the rest is zero */
    for (u32 i = 2; i < ADDRESS_WORDS; i++) sum = mixed(sum, s->address[i]);
  return sum | 1;
}

/* A socket that was named already may have got other ends: then it is named again. Those of a connected stream are not
 * looked at again: but for a call that binds or connects it anew (see exit_address) they stay. */
inline_ void see_ends(struct scratch *s, struct slot *slot) {
  struct known *last = &slot->last;
  if (!last->sock || last->stays || slot->files[F_FILE] != last->id) return;
  struct ends e = {};
  u64 now = ends_in(&e, last->sock, last->ends);
  bool same = now == last->ends;
  if (same && !(last->stream && END(u8, &e, skc_state) == TCP_ESTABLISHED)) return;
  struct where at = slot->last_at;
  struct known *k = files.lookup(&at);
  if (same) {
    last->stays = 1;
    if (k && k->id == last->id) k->stays = 1;
    return;
  }
  if (k && k->ends == now && k->inode == last->inode) {             /* another thread has seen it first */
    *last = *k;
    slot->files[F_FILE] = last->id;
    return;
  }
  slot->files[F_FILE] = 0;
  s->missing[F_FILE] = at;
  s->todo |= 1 << F_FILE;
}

#ifdef O_unix_sock_peer
/* The address a Unix socket is bound to, at most 127 bytes of it; returns how long it is. */
inline_ u32 unix_address(char *to, u32 most, u64 sock) {
  u64 address = sock ? rd(sock + O_unix_sock_addr) : 0;
  u32 length = address ? rd32(address + O_unix_address_len) : 0;
  if (length > most) length = most;
  OPAQUE(length);
  length &= 127;
  read_kernel(to, length, (void *)(address + O_unix_address_name));
  return length;
}
#endif

/* Addresses as getpeername and getsockname give them; `length` is that of the peer, `bytes` that of its own. They are made
 * where there is room for any length a verifier can think of, old ones know only that of a mask. */
inline_ void put_ends(struct scratch *s, struct chunk *c, u64 sock) {
  char *peer = s->text, *local = s->text + 128;
  __builtin_memset(s->text, 0, 256);
  struct ends e = {};
  read_kernel(&e, sizeof(e), (void *)(sock + O_sock_common_skc_daddr));
  u32 family = END(u16, &e, skc_family), type = rd32(sock + O_sock_sk_type) & 0xffff;
  if (family == AF_INET || family == AF_INET6) {
    u32 port = END(u16, &e, skc_dport), own = rd32(sock + O_inet_sock_inet_sport) & 0xffff;
    if (type == SOCK_RAW) own = 0;                                  /* there it is the protocol */
    bool to = port || (type != SOCK_STREAM && END(u8, &e, skc_state) == TCP_ESTABLISHED);
    *(u16 *)peer = *(u16 *)local = family;
    *(u16 *)(peer + 2) = port;
    *(u16 *)(local + 2) = own;
    if (family == AF_INET) {
      *(u32 *)(peer + 4) = END(u32, &e, skc_daddr);
      *(u32 *)(local + 4) = END(u32, &e, skc_rcv_saddr);
      c->length = to ? 16 : 0;
      c->bytes = own || *(u32 *)(local + 4) ? 16 : 0;
    }
#ifdef O_sock_common_skc_v6_daddr
    if (family == AF_INET6) {
      read_kernel(peer + 8, 16, (void *)(sock + O_sock_common_skc_v6_daddr));
      read_kernel(local + 8, 16, (void *)(sock + O_sock_common_skc_v6_rcv_saddr));
      *(u32 *)(peer + 24) = *(u32 *)(local + 24) = END(u32, &e, skc_bound_dev_if);
      c->length = to ? 28 : 0;
      c->bytes = own ? 28 : 0;
    }
#endif
  }
#ifdef O_unix_sock_peer
  if (family == AF_UNIX) {
    u64 other = rd(sock + O_unix_sock_peer), file = other ? rd(other + O_sock_sk_socket) : 0;
    c->length = unix_address(peer, SOCKADDR_UN, other);
    c->bytes = unix_address(local, LOCAL_ROOM, sock);
    if (file) c->inode = rd(file - O_socket_alloc_socket + O_socket_alloc_vfs_inode + O_inode_i_ino);
    *(u16 *)peer = *(u16 *)local = family;
  }
#endif
#ifdef O_netlink_sock_portid
  if (family == AF_NETLINK) {
    u32 group = rd32(sock + O_netlink_sock_dst_group);
    u64 groups = rd(sock + O_netlink_sock_groups);
    *(u16 *)peer = *(u16 *)local = family;
    *(u32 *)(peer + 4) = rd32(sock + O_netlink_sock_dst_portid);
    *(u32 *)(peer + 8) = group && group <= 32 ? 1U << ((group - 1) & 31) : 0;
    *(u32 *)(local + 4) = rd32(sock + O_netlink_sock_portid);
    *(u32 *)(local + 8) = groups ? rd32(groups) : 0;
    c->length = END(u8, &e, skc_state) == TCP_ESTABLISHED ? 12 : 0;
    c->bytes = *(u32 *)(local + 4) ? 12 : 0;
  }
#endif
#ifdef O_vsock_sock_remote_addr
  if (family == AF_VSOCK) {
    read_kernel(peer, 16, (void *)(sock + O_vsock_sock_remote_addr));
    read_kernel(local, 16, (void *)(sock + O_vsock_sock_local_addr));
    c->length = *(s32 *)(peer + 4) == -1 ? 0 : 16;                   /* VMADDR_PORT_ANY */
    c->bytes = *(s32 *)(local + 4) == -1 ? 0 : 16;
  }
#endif
  __builtin_memcpy(c->text, peer, PEER_ROOM);
  __builtin_memcpy(c->text + PEER_ROOM, local, LOCAL_ROOM);
}

/* Say which ends the file of an id has; false when there was no room. */
inline_ bool send_ends(struct scratch *s, u32 id, u64 sock) {
  struct chunk *c = names.ringbuf_reserve(sizeof(struct chunk));
  if (!c) { count(T_LOST_NAMES); return false; }
  __builtin_memset(c, 0, sizeof(*c));
  c->id = id; c->type = N_ENDS; c->parts = 1;
  put_ends(s, c, sock);
  if (s->addressed) {
    c->inode = 0;
    c->length = s->addressed;
    __builtin_memcpy(c->text, s->address, sizeof(s->address));
  }
  names.ringbuf_submit(c, BPF_RB_NO_WAKEUP);
  return true;
}

/* What becomes of bytes written to files of the scope: pages made dirty, by whom and when, and blocks written later, by
 * whoever it is. Counted by file, in `cached` of mapped.c; no rows. */

#define REQ_OP_WRITE 1
#define REGULAR 0100000

struct on_its_way { struct inode_key key; u32 bytes, in_call; };
BPF_F_TABLE("hash", u64, struct on_its_way, bios, 16384, 1);

#define OVERLAYFS_MAGIC 0x794c7630

/* Which file it is: that of the call, if its pages are; of a fault the end will tell. What is written to a file of an
 * overlay goes to pages of a layer's. */
inline_ u32 file_dirtied(struct slot *slot, u64 mapping) {
  if (slot->state != S_OPEN || !slot->file_at) return 0;
  u64 own = rd(slot->file_at + O_file_f_mapping);
  if (own == mapping) return slot->files[F_FILE];
  u32 nr = slot->nr;
  struct spec *spec = specs.lookup(&nr);
  u64 block = rd(rd(own + O_address_space_host) + O_inode_i_sb);
  return spec && spec->flags & SF_WRITES && rd(block + O_super_block_s_magic) == OVERLAYFS_MAGIC ? slot->files[F_FILE] : 0;
}

int on_dirty(struct dirty_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  u64 mapping = ctx->mapping;
  if (!slot || !mapping || slot->waiting || not_shown(slot)) return 0;
  if ((rd32(rd(mapping + O_address_space_host) + O_inode_i_mode) & 0170000) != REGULAR) return 0;
  struct inode_key key = {};
  inode_of(mapping, &key);
  struct cached *file = cached.lookup(&key);
  if (!file) {
    struct cached none = {};
    if (cached.update(&key, &none)) count(T_NOT_COUNTED);
    file = cached.lookup(&key);
    if (!file) return 0;
  }
  if (!file->file) file->file = file_dirtied(slot, mapping);
  u64 now = bpf_ktime_get_boot_ns();
  if (!file->first_dirty) { file->first_dirty = now; file->tid = slot->tid; file->inode = key.inode; }
  if (file->tid != slot->tid) file->others = 1;
  file->last_dirty = now;
  __sync_fetch_and_add(&file->dirtied, pages_of(ctx->folio));
  return 0;
}

/* Blocks are handed to a device: of which file, the first page of them says. */
int on_bio(struct bio_args *ctx) {
  u64 bio = ctx->bio, pages = rd(bio + O_bio_bi_io_vec);
  if ((rd32(bio + O_bio_bi_opf) & 0xff) != REQ_OP_WRITE || !pages) return 0;
  u64 page = rd(pages), head = rd(page + 8);
  if (head & 1) page = head - 1;                                    /* of a folio the first */
  u64 mapping = rd(page + O_folio_mapping);
  if (!mapping || mapping & 3) return 0;
  struct on_its_way way = {};
  inode_of(mapping, &way.key);
  struct inode_key key = way.key;
  struct cached *file = cached.lookup(&key);
  if (!file || !file->dirtied) return 0;
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  way.in_call = slot && slot->state == S_OPEN;
  way.bytes = rd32(bio + O_bio_bi_iter_bi_size);
  bios.update(&bio, &way);
  return 0;
}

/* A device is done with a request, in which blocks of several may have been put together. */
int on_written(struct written_args *ctx) {
  u64 bio = rd(ctx->request + O_request_bio);
#pragma clang loop unroll(disable)
  for (u32 i = 0; i < 64; i++) {
    OPAQUE(i);
    if (!bio) break;
    struct on_its_way *way = bios.lookup(&bio);
    if (way) {
      struct inode_key key = way->key;
      struct cached *file = cached.lookup(&key);
      if (file) {
        __sync_fetch_and_add(&file->written, way->bytes);
        if (way->in_call) __sync_fetch_and_add(&file->in_calls, way->bytes);
        file->last_write = bpf_ktime_get_boot_ns();
      }
      bios.delete(&bio);
    }
    bio = rd(bio + O_bio_bi_next);
  }
  return 0;
}

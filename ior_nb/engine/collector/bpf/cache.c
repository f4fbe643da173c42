/* Pages that come into the page cache, by the thread that has them read: for a fault on a mapped file, or for a call. */

#ifdef WITH_on_cached
#ifndef O_folio_mapping  /* before Linux 5.16 */
#define O_folio_mapping O_page_mapping
#endif
#ifndef O_folio_flags
#define O_folio_flags O_page_flags
#endif
/* File systems without a block device of their own that count what they read all the same, or have nothing to read from. */
#define BDEVFS_MAGIC 0x62646576
#define BTRFS_MAGIC 0x9123683e
#define RAMFS_MAGIC 0x858458f6
#define HUGETLBFS_MAGIC 0x958458f6

inline_ u64 pages_of(u64 folio) {
  if (!(rd(folio + O_folio_flags) >> PG_head & 1)) return 1;
#if defined(O_folio__folio_order)
  return 1 << (rd32(folio + O_folio__folio_order) & 15);
#elif defined(O_folio__flags_1)
  return 1 << (rd32(folio + O_folio__flags_1) & 15);
#endif
  return 1;
}

/* Whether a file system reads a disk: then the bytes it reads are counted already. */
inline_ bool counts_reads(u64 mapping) {
  u64 block = rd(rd(mapping + O_address_space_host) + O_inode_i_sb), magic = rd(block + O_super_block_s_magic);
  return rd(block + O_super_block_s_bdev) || magic == BDEVFS_MAGIC || magic == BTRFS_MAGIC || magic == RAMFS_MAGIC ||
         magic == HUGETLBFS_MAGIC;
}

/* A page, or several in one folio, comes into the page cache. The thread that adds it is the one that asked for it or
 * for what lies before it. */
int on_cached(struct cached_args *ctx) {
  u32 tid = bpf_get_current_pid_tgid();
  struct slot *slot = slots.lookup(&tid);
  if (!slot) return 0;
  u64 folio = ctx->folio, mapping = rd(folio + O_folio_mapping);
#if MAPPED
  if (fault_fills(ctx, slot, tid, folio, mapping)) return 0;
#endif
  if (slot->state != S_OPEN) return 0;
  u32 nr = slot->nr;
  struct spec *spec = specs.lookup(&nr);
  if (counts_reads(mapping)) return 0;
  if (spec && spec->flags & SF_WRITES && slot->file_at && rd(slot->file_at + O_file_f_mapping) == mapping) return 0;  /* what it writes */
  slot->spent.pages += pages_of(folio);
  return 0;
}
#endif

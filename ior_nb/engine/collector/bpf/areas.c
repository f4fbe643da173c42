/* Which file is mapped at an address: through the tree in which a process keeps the areas of its memory. */

#if defined(O_mm_struct_mm_mt)  /* Linux 6.1: a maple tree, lib/maple_tree.c */
#define LEVELS 8
#define ENTRIES 16         /* of a node; one with gaps has 10 */
#define NODE 256
enum { DENSE, LEAF, RANGE, GAPS };

inline_ u64 area_at(struct scratch *s, u64 task, u64 address) {
  volatile u64 *entry = &s->mnt, *limits = (u64 *)s->text;
  *entry = rd(rd(task + O_task_struct_mm) + O_mm_struct_mm_mt + O_maple_tree_ma_root);
  if (!(*entry & 2)) return *entry;                                 /* one area alone, or none */
#pragma clang loop unroll(disable)
  for (u32 level = 0; level < LEVELS; level++) {
    OPAQUE(level);
    u64 node = *entry, kind = node >> 3 & 15;
    u32 most = kind == GAPS ? 10 : ENTRIES, at = 0;
    if (read_kernel(s->text, NODE, (void *)(node & ~255ULL)) || !kind || kind > GAPS) return 0;
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < ENTRIES - 1; i++) {
      OPAQUE(i);
      at = i;
      u64 limit = limits[(1 + i) & 31];
      if (i + 1 >= most || limit >= address || (!limit && i)) break;
      at = i + 1;
    }
    *entry = limits[(most + at) & 31];                              /* the head, one limit less than entries, entries */
    if (kind == LEAF) return *entry;
  }
  return 0;
}
#elif defined(O_mm_struct_mm_rb)
inline_ u64 area_at(struct scratch *s, u64 task, u64 address) {
  volatile u64 *node = &s->mnt;
  *node = rd(rd(task + O_task_struct_mm) + O_mm_struct_mm_rb);
#pragma clang loop unroll(disable)
  for (u32 level = 0; level < 48; level++) {
    OPAQUE(level);
    u64 at = *node;
    if (!at) return 0;
    u64 area = at - O_vm_area_struct_vm_rb;
    if (address < rd(area + O_vm_area_struct_vm_start)) *node = rd(at + 16);       /* rb_left */
    else if (address >= rd(area + O_vm_area_struct_vm_end)) *node = rd(at + 8);
    else return area;
  }
  return 0;
}
#else
inline_ u64 area_at(struct scratch *s, u64 task, u64 address) { return 0; }
#endif

/* The address of the path of an area's file, 0 where it has none; of a file below an overlay, where its user found it. */
inline_ u64 path_of_area(u64 area) {
  u64 file = area ? rd(area + O_vm_area_struct_vm_file) : 0;
  if (!file) return 0;
#ifdef O_backing_file_user_path
  u64 dentry = rd(file + O_backing_file_user_path + 8);
  if (dentry && rd(rd(rd(dentry + O_dentry_d_inode) + O_inode_i_sb) + O_super_block_s_magic) == OVERLAYFS_MAGIC)
    return file + O_backing_file_user_path;
#endif
  return file + O_file_f_path;
}

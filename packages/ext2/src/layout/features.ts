// Names and values of the kernel's Documentation/filesystems/ext4, "The Super Block".

/** s_feature_compat: who does not know them may still write. */
export const Compat = {
  hasJournal: 0x4,
  extAttr: 0x8,
  resizeInode: 0x10,
  dirIndex: 0x20,
} as const;

/** s_feature_incompat: who does not know them must not mount. */
export const Incompat = {
  filetype: 0x2,
  extents: 0x40,
  is64Bit: 0x80,
  flexBg: 0x200,
} as const;

/** s_feature_ro_compat: who does not know them must not write. */
export const RoCompat = {
  sparseSuper: 0x1,
  largeFile: 0x2,
  hugeFile: 0x8,
  dirNlink: 0x20,
  extraIsize: 0x40,
  metadataCsum: 0x400,
} as const;

/** The two file systems that are made, which differ in their features: those that mke2fs 1.47 gives each. */
export type FilesystemType = 'ext2' | 'ext4';

export interface Features {
  readonly compat: number;
  readonly incompat: number;
  readonly roCompat: number;
}

export function featuresOf(
  type: FilesystemType,
  { journal, resizeInode }: { readonly journal: boolean; readonly resizeInode: boolean },
): Features {
  const compat =
    Compat.extAttr |
    Compat.dirIndex |
    (resizeInode ? Compat.resizeInode : 0) |
    (journal ? Compat.hasJournal : 0);
  const roCompat = RoCompat.sparseSuper | RoCompat.largeFile;
  if (type === 'ext2') return { compat, incompat: Incompat.filetype, roCompat };
  return {
    compat,
    incompat: Incompat.filetype | Incompat.extents | Incompat.is64Bit | Incompat.flexBg,
    roCompat: roCompat | RoCompat.hugeFile | RoCompat.dirNlink | RoCompat.extraIsize | RoCompat.metadataCsum,
  };
}

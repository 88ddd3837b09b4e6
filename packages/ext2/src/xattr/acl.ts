// An access list is one thing in an attribute as programs see it (linux/posix_acl_xattr.h) and another on the disk
// (fs/ext4/acl.h), where entries that name nobody have no room for a name.

const XATTR_VERSION = 2;
const DISK_VERSION = 1;
const HEADER_LENGTH = 4;
const XATTR_ENTRY_LENGTH = 8;

/** e_tag: whom an entry is about. */
export const AclTag = {
  userObject: 0x01,
  user: 0x02,
  groupObject: 0x04,
  group: 0x08,
  mask: 0x10,
  other: 0x20,
} as const;

const TAGS: ReadonlySet<number> = new Set(Object.values(AclTag));
/** e_id of entries that name nobody. */
export const NO_ID = 0xffff_ffff;

/** One line of an access list. */
export interface AclEntry {
  readonly tag: number;
  /** Read 4, write 2, execute 1. */
  readonly permissions: number;
  readonly id: number;
}

/** An access list as getxattr(2) gives it. */
export function encodeAcl(entries: readonly AclEntry[]): Buffer {
  const bytes = Buffer.alloc(HEADER_LENGTH + entries.length * XATTR_ENTRY_LENGTH);
  bytes.writeUInt32LE(XATTR_VERSION, 0);
  entries.forEach(({ tag, permissions, id }, i) => {
    const at = HEADER_LENGTH + i * XATTR_ENTRY_LENGTH;
    bytes.writeUInt16LE(tag, at);
    bytes.writeUInt16LE(permissions, at + 2);
    bytes.writeUInt32LE(id, at + 4);
  });
  return bytes;
}

/** An access list as it is on the disk, from one as getxattr(2) gives it; undefined when it is not well formed. */
export function aclForDisk(value: Uint8Array): Buffer | undefined {
  const source = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (source.length < HEADER_LENGTH || (source.length - HEADER_LENGTH) % XATTR_ENTRY_LENGTH !== 0) {
    return undefined;
  }
  if (source.readUInt32LE(0) !== XATTR_VERSION) return undefined;
  const bytes = Buffer.alloc(source.length);
  bytes.writeUInt32LE(DISK_VERSION, 0);
  let length = HEADER_LENGTH;
  for (let at = HEADER_LENGTH; at < source.length; at += XATTR_ENTRY_LENGTH) {
    const tag = source.readUInt16LE(at);
    const permissions = source.readUInt16LE(at + 2);
    if (!TAGS.has(tag) || permissions > 7) return undefined;
    bytes.writeUInt16LE(tag, length);
    bytes.writeUInt16LE(permissions, length + 2);
    length += 4;
    if (tag !== AclTag.user && tag !== AclTag.group) continue;
    bytes.writeUInt32LE(source.readUInt32LE(at + 4), length);
    length += 4;
  }
  return bytes.subarray(0, length);
}

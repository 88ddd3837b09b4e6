import { native } from './native.ts';

/**
 * Reads consecutive bytes of a file into several places of a memory, without an allocation. The thread blocks.
 * @param position byte offset in the file
 * @param memory what the segments lie in: usually the whole guest memory
 * @param segments pairs of byte offset and byte length in `memory`
 * @param count how many pairs are meant
 * @returns the bytes read: fewer than asked for only at the end of the file
 * @throws {SystemError} EINVAL before anything is read when a segment lies outside; EIO and the like from the device
 */
export function preadv(
  fd: number,
  position: number,
  memory: Uint8Array,
  segments: Float64Array,
  count: number,
): number {
  return native.readSegments(fd, position, memory, segments, count);
}

/**
 * Writes several places of a memory to consecutive bytes of a file; like {@link preadv}, but it writes everything or
 * throws.
 */
export function pwritev(
  fd: number,
  position: number,
  memory: Uint8Array,
  segments: Float64Array,
  count: number,
): number {
  return native.writeSegments(fd, position, memory, segments, count);
}

const ALLOCATION_MODES = { allocate: 0, punchHole: 1, zeroRange: 2 } as const;

/**
 * Changes how a file occupies its disk. `allocate` reserves the range (and extends the file), `punchHole` frees it and
 * `zeroRange` zeroes it quickly; both leave the file's size alone, and the range reads as zero.
 * @throws {SystemError} ENOTSUP when the file system cannot
 */
export function fallocate(
  fd: number,
  mode: keyof typeof ALLOCATION_MODES,
  offset: number,
  length: number,
): void {
  native.allocateFile(fd, ALLOCATION_MODES[mode], offset, length);
}

/**
 * The first byte of data from `offset` on; undefined where only a hole follows, or nothing. It moves the position of the
 * open file, which positional reads and writes do not use.
 * @throws {SystemError} EINVAL when the file is of a kind without positions
 */
export function seekData(fd: number, offset: number): number | undefined {
  const found = native.seekFile(fd, false, offset);
  return found < 0 ? undefined : found;
}

/** The first byte of a hole from `offset` on: the end of the file is one; undefined past it. Like {@link seekData}. */
export function seekHole(fd: number, offset: number): number | undefined {
  const found = native.seekFile(fd, true, offset);
  return found < 0 ? undefined : found;
}

/**
 * The extended attributes of a file, in the order of the file system; of a symbolic link itself. None where the file
 * system has no attributes.
 * @param path with the bytes of the file system, or as UTF-8
 * @throws {SystemError} ENOENT, EACCES and the like
 */
export function extendedAttributes(path: string | Uint8Array): ReadonlyMap<string, Uint8Array> {
  const list = native.fileAttributes(typeof path === 'string' ? Buffer.from(path) : path);
  const attributes = new Map<string, Uint8Array>();
  for (let i = 0; i + 1 < list.length; i += 2) {
    const [name, value] = [list[i], list[i + 1]];
    if (name && value) attributes.set(name.toString(), value);
  }
  return attributes;
}

/** Brings a file's data, and what is needed to find it, to stable storage. */
export function fdatasync(fd: number): void {
  native.syncFile(fd, true);
}

/** Brings a file's data and all of its attributes to stable storage. */
export function fsync(fd: number): void {
  native.syncFile(fd, false);
}

const LOCK_KINDS = { unlock: 0, shared: 1, exclusive: 2 } as const;

/** What is asked of a lock. */
export type LockKind = keyof typeof LOCK_KINDS;

/**
 * Locks bytes of a file for this open file (open file description lock), without waiting. Other opens of the file, here
 * or in other programs, see it; the last close of the open file drops it.
 * @param length 0 reaches to the end of the file, however far that moves
 * @returns false when somebody else holds a lock that excludes it
 */
export function lockRange(fd: number, kind: LockKind, start = 0, length = 0): boolean {
  return native.lockRange(fd, LOCK_KINDS[kind], start, length);
}

/**
 * Whether a lock that somebody else holds keeps {@link lockRange} from succeeding. Unlike that it takes no lock, and an
 * `exclusive` one can be asked about with a descriptor that is open for reading only.
 */
export function isRangeLocked(fd: number, kind: 'shared' | 'exclusive', start = 0, length = 0): boolean {
  return native.isRangeLocked(fd, LOCK_KINDS[kind], start, length);
}

/** Locks a whole file (flock), without waiting; false when somebody else holds a lock that excludes it. */
export function flock(fd: number, kind: LockKind): boolean {
  return native.lockFile(fd, LOCK_KINDS[kind]);
}

/**
 * The size of a block device in bytes.
 * @throws {SystemError} ENOTTY when it is none
 */
export function blockDeviceSize(fd: number): number {
  return native.blockDeviceSize(fd);
}

/** Tells a block device that a range of bytes is not needed; what it reads as afterwards is the device's business. */
export function discardBlocks(fd: number, offset: number, length: number): void {
  native.discardBlocks(fd, false, offset, length);
}

/** Zeroes a range of bytes of a block device, by unmapping it where the device can. */
export function zeroBlocks(fd: number, offset: number, length: number): void {
  native.discardBlocks(fd, true, offset, length);
}

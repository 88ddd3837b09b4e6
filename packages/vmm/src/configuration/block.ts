import { checkPath, checkWord, quote } from './checks.ts';
import { checkBlockSize, guestDiskName } from './disks.ts';
import { ConfigurationError, type ConfigurationErrorCode } from './error.ts';

export const ASYNC_EXECUTORS = ['auto', 'uring', 'epoll'] as const;

/** Longest disk serial number in bytes (virtio 1.3, section 5.2.6.1, VIRTIO_BLK_T_GET_ID). */
export const MAX_BLOCK_ID_BYTES = 20;

/** For a disk without the path of its image. */
export const DISK_NEEDS_PATH = 'a disk needs the path of a file';

/** A virtio-blk disk. The first one is /dev/vda in the guest, the next /dev/vdb, and so on. */
export interface BlockConfiguration {
  /** Image file or block device on the host. */
  readonly path: string;
  /** Refuse the guest's writes; default false. */
  readonly readOnly?: boolean;
  /** Mount this disk as the root file system: adds `root=/dev/vdX ro|rw` to the kernel's parameters. At most one. */
  readonly root?: boolean;
  /** Give what the guest discards back to the host; default true. */
  readonly sparse?: boolean;
  /** Serial number that the guest can read, up to 20 bytes of UTF-8; it appears in /dev/disk/by-id. */
  readonly id?: string;
  /** Logical block size told to the guest, in bytes; a power of two of at least 512; default 512. */
  readonly blockSize?: number;
  /** Bypass the host's page cache; default false. */
  readonly direct?: boolean;
  /** Refuse an image that another program uses; default true. */
  readonly lock?: boolean;
  /** Offer packed virtqueues; default false. */
  readonly packedQueue?: boolean;
  /** What its I/O runs on; default `asyncExecutor` of the machine. */
  readonly asyncExecutor?: AsyncExecutor;
}

/** What disks' I/O runs on: Linux's io_uring, threads with epoll, or the first of these that the host has. */
export type AsyncExecutor = (typeof ASYNC_EXECUTORS)[number];

/** A disk with nothing left open. */
export interface ResolvedBlock {
  readonly path: string;
  readonly readOnly: boolean;
  readonly root: boolean;
  readonly sparse: boolean;
  readonly id: string | undefined;
  readonly blockSize: number;
  readonly direct: boolean;
  readonly lock: boolean;
  readonly packedQueue: boolean;
  readonly asyncExecutor: AsyncExecutor;
  /** The guest's name of it: vda, vdb, … vdz, vdaa. */
  readonly guestName: string;
}

/**
 * Checks what a configuration says of a disk.
 *
 * @param executor the machine's
 * @throws ConfigurationError
 */
export function resolveBlock(
  block: BlockConfiguration,
  index: number,
  executor: AsyncExecutor,
): ResolvedBlock {
  const fail = (code: ConfigurationErrorCode, message: string): never => {
    throw new ConfigurationError(code, 'blocks', message, { index });
  };
  const path = checkPath('blocks', block.path, DISK_NEEDS_PATH, index);
  if (block.id !== undefined) {
    const bytes = Buffer.byteLength(block.id);
    if (bytes > MAX_BLOCK_ID_BYTES) {
      fail(
        'OUT_OF_RANGE',
        `the id ${quote(block.id)} has ${bytes} bytes; at most ${MAX_BLOCK_ID_BYTES} are possible`,
      );
    }
    if (block.id.includes('\0')) fail('INVALID_VALUE', 'the id must not contain a NUL character');
  }
  return {
    path,
    readOnly: block.readOnly ?? false,
    root: block.root ?? false,
    sparse: block.sparse ?? true,
    id: block.id,
    blockSize: checkBlockSize('blocks', block.blockSize, index),
    direct: block.direct ?? false,
    lock: block.lock ?? true,
    packedQueue: block.packedQueue ?? false,
    asyncExecutor: checkWord(
      'blocks',
      block.asyncExecutor ?? executor,
      ASYNC_EXECUTORS,
      'the async executor',
      index,
    ),
    guestName: guestDiskName('vd', index),
  };
}

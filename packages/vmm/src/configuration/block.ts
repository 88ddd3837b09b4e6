import { checkPath, checkWord, quote } from './checks.ts';
import { ConfigurationError, type ConfigurationErrorCode } from './error.ts';

export const ASYNC_EXECUTORS = ['auto', 'uring', 'epoll'] as const;

/** Longest disk serial number in bytes (virtio 1.3, section 5.2.6.1, VIRTIO_BLK_T_GET_ID). */
export const MAX_BLOCK_ID_BYTES = 20;

const SECTOR_BYTES = 512;
const MAX_BLOCK_SIZE = 64 * 1024;

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

/** The guest's name of the virtio-blk disk at `index`: vda to vdz, then vdaa, vdab, and so on. */
export function blockDeviceName(index: number): string {
  let letters = '';
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1) {
    letters = String.fromCharCode(97 + (rest % 26)) + letters;
  }
  return `vd${letters}`;
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
  const path = checkPath('blocks', block.path, 'a disk needs the path of a file', index);
  const blockSize = block.blockSize ?? SECTOR_BYTES;
  if (!Number.isSafeInteger(blockSize) || blockSize <= 0 || blockSize % SECTOR_BYTES !== 0) {
    fail(
      'INVALID_VALUE',
      `the block size has to be a multiple of ${SECTOR_BYTES} bytes, which ${blockSize} is not`,
    );
  }
  if (blockSize > MAX_BLOCK_SIZE || !isPowerOfTwo(blockSize)) {
    fail(
      'OUT_OF_RANGE',
      `the block size has to be a power of two from 512 to ${MAX_BLOCK_SIZE}, not ${blockSize}`,
    );
  }
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
    blockSize,
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
    guestName: blockDeviceName(index),
  };
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && 2 ** Math.round(Math.log2(value)) === value;
}

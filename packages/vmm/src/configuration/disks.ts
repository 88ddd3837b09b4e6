import type { ConfigurationOption } from './configuration.ts';
import { ConfigurationError, type ConfigurationErrorCode } from './error.ts';

// What the kinds of disks have in common.

const SECTOR_BYTES = 512;
const MAX_BLOCK_SIZE = 64 * 1024;

/**
 * The guest's name of the disk at `index` of those with the same prefix: vda to vdz, then vdaa, vdab, and so on.
 *
 * @param prefix `vd` of virtio-blk disks, `sd` of SCSI disks
 */
export function guestDiskName(prefix: string, index: number): string {
  let letters = '';
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1) {
    letters = String.fromCharCode(97 + (rest % 26)) + letters;
  }
  return prefix + letters;
}

/**
 * Checks the logical block size of a disk, in bytes; 512 unless given.
 *
 * @throws ConfigurationError
 */
export function checkBlockSize(
  option: ConfigurationOption,
  blockSize: number | undefined,
  index: number,
): number {
  const size = blockSize ?? SECTOR_BYTES;
  const fail = (code: ConfigurationErrorCode, message: string): never => {
    throw new ConfigurationError(code, option, message, { index });
  };
  if (!Number.isSafeInteger(size) || size <= 0 || size % SECTOR_BYTES !== 0) {
    fail(
      'INVALID_VALUE',
      `the block size has to be a multiple of ${SECTOR_BYTES} bytes, which ${size} is not`,
    );
  }
  if (size > MAX_BLOCK_SIZE || 2 ** Math.round(Math.log2(size)) !== size) {
    fail(
      'OUT_OF_RANGE',
      `the block size has to be a power of two from ${SECTOR_BYTES} to ${MAX_BLOCK_SIZE}, not ${size}`,
    );
  }
  return size;
}

/** A disk that may be the root. */
export interface RootCandidate {
  readonly root: boolean;
  readonly readOnly: boolean;
  /** In /dev. */
  readonly guestName: string;
}

/**
 * The kernel's parameters for the root disk, if there is one.
 *
 * @param disks of every kind, by the field of the configuration
 * @throws ConfigurationError DUPLICATE, for the second root
 */
export function rootParameters(
  disks: readonly (readonly [option: ConfigurationOption, disks: readonly RootCandidate[]])[],
): readonly string[] {
  const roots = disks.flatMap(([option, list]) =>
    list.flatMap((disk, index) => (disk.root ? [{ disk, option, index }] : [])),
  );
  const [root, second] = roots;
  if (second !== undefined) {
    throw new ConfigurationError(
      'DUPLICATE',
      second.option,
      'only one disk can be the root: remove root from the others',
      { index: second.index },
    );
  }
  return root === undefined ? [] : [`root=/dev/${root.disk.guestName} ${root.disk.readOnly ? 'ro' : 'rw'}`];
}

import { type AsyncExecutor, DISK_NEEDS_PATH } from './block.ts';
import { checkPath } from './checks.ts';
import { checkBlockSize, guestDiskName } from './disks.ts';

/**
 * A SCSI disk: logical unit 0 of a target of its own. The first one is /dev/sda in the guest, the next /dev/sdb: as long as the
 * guest looks at them in order, which Linux does not promise. Its /dev/disk/by-path and by-id tell them apart.
 */
export interface ScsiDiskConfiguration {
  /** Image file or block device on the host. */
  readonly path: string;
  /** Refuse the guest's writes; default false. */
  readonly readOnly?: boolean;
  /** Mount this disk as the root file system: adds `root=/dev/sdX ro|rw` to the kernel's parameters. At most one. */
  readonly root?: boolean;
  /** Logical block size told to the guest, in bytes; a power of two of at least 512; default 512. */
  readonly blockSize?: number;
  /** Refuse an image that another program uses; default true. */
  readonly lock?: boolean;
}

/** A SCSI disk with nothing left open. */
export interface ResolvedScsiDisk extends Required<ScsiDiskConfiguration> {
  /** What its I/O runs on: the same for all. */
  readonly asyncExecutor: AsyncExecutor;
  /** The guest's name of it, when it looks at them in order: sda, sdb, … sdz, sdaa. */
  readonly guestName: string;
}

/**
 * Checks what a configuration says of a SCSI disk.
 *
 * @throws ConfigurationError
 */
export function resolveScsiDisk(
  disk: ScsiDiskConfiguration,
  index: number,
  asyncExecutor: AsyncExecutor,
): ResolvedScsiDisk {
  return {
    path: checkPath('scsiDisks', disk.path, DISK_NEEDS_PATH, index),
    readOnly: disk.readOnly ?? false,
    root: disk.root ?? false,
    blockSize: checkBlockSize('scsiDisks', disk.blockSize, index),
    lock: disk.lock ?? true,
    asyncExecutor,
    guestName: guestDiskName('sd', index),
  };
}

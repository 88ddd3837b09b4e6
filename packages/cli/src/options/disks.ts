import {
  BUILT,
  deprecated,
  type KeyDefinition,
  key,
  type OptionDefinition,
  unbuiltKeys,
} from './definition.ts';

const PATH_KEY = key('path', 'PATH', 'image file or block device of the host');
const RO_KEY = key('ro', undefined, 'refuse writes');
const ROOT_KEY = key('root', undefined, 'mount it as the root file system');
const BLOCK_SIZE_KEY = key('block-size', 'BYTES', 'logical block size, a power of two; default 512');
const LOCK_KEY = key('lock', undefined, 'refuse an image that another program uses; default true');

const BLOCK_KEYS: readonly KeyDefinition[] = [
  PATH_KEY,
  RO_KEY,
  ROOT_KEY,
  key('sparse', undefined, 'give back to the host what the guest discards; default true'),
  key('id', 'TEXT', 'serial number, up to 20 bytes'),
  BLOCK_SIZE_KEY,
  key('direct', undefined, "bypass the host's page cache"),
  LOCK_KEY,
  key('async-executor', 'KIND', 'what I/O runs on, epoll or uring; default --async-executor'),
  key('packed-queue', undefined, 'offer packed virtqueues'),
  ...unbuiltKeys("Leave it out: write direct to bypass the host's page cache.", ['dontcache']),
  ...unbuiltKeys('Leave it out: one thread serves all queues and waits for none of their requests.', [
    'multiple-workers',
  ]),
  ...unbuiltKeys('Leave it out: there is no firmware that would look for it.', ['bootindex']),
  ...unbuiltKeys('Leave it out: disks get their addresses in the order they are given.', ['pci-address']),
];

const PMEM_KEYS: readonly KeyDefinition[] = [
  key('path', 'PATH', 'file of the host, of a multiple of 4096 bytes'),
  RO_KEY,
  ROOT_KEY,
  ...unbuiltKeys('Leave it out: a sparse file of that size, made by truncate, does the same.', [
    'vma-size',
    'swap-interval-ms',
  ]),
];

/** One of the spellings from before --block, for which the option itself says what `ro` and `root` now say. */
function oldSpelling(name: string, short: string | undefined, use: string, help: string): OptionDefinition {
  return {
    name,
    ...(short !== undefined && { short }),
    group: 'Disks',
    value: 'PATH[,KEY=VALUE…]',
    repeatable: true,
    help,
    keys: BLOCK_KEYS,
    availability: deprecated(use),
  };
}

/** Disks. */
export const DISK_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'block',
    short: 'b',
    group: 'Disks',
    value: '[path=]PATH[,KEY=VALUE…]',
    repeatable: true,
    help: 'Attach a disk image; the first one is /dev/vda, the next /dev/vdb',
    keys: BLOCK_KEYS,
    example: '-b disk.img,root -b data.img,ro,id=data',
    availability: BUILT,
  },
  {
    name: 'scsi-block',
    group: 'Disks',
    value: '[path=]PATH[,KEY=VALUE…]',
    repeatable: true,
    help: 'Attach a disk image by SCSI; the first one is /dev/sda, the next /dev/sdb',
    keys: [PATH_KEY, RO_KEY, ROOT_KEY, BLOCK_SIZE_KEY, LOCK_KEY],
    example: '--scsi-block disk.img,root --scsi-block cd.iso,ro,block-size=2048',
    availability: BUILT,
  },
  {
    name: 'pmem',
    group: 'Disks',
    value: '[path=]PATH[,KEY=VALUE…]',
    repeatable: true,
    help: "Put a file into the guest's memory; the first one is /dev/pmem0, the next /dev/pmem1",
    keys: PMEM_KEYS,
    example: '--pmem data.img --pmem root.img,ro,root',
    availability: BUILT,
  },
  {
    name: 'pmem-device',
    group: 'Disks',
    value: 'PATH',
    repeatable: true,
    help: 'Put a file that cannot be written into the memory',
    keys: PMEM_KEYS,
    availability: deprecated('--pmem PATH,ro'),
  },
  {
    name: 'rw-pmem-device',
    group: 'Disks',
    value: 'PATH',
    repeatable: true,
    help: 'Put a file into the memory',
    keys: PMEM_KEYS,
    availability: deprecated('--pmem PATH'),
  },
  {
    name: 'async-executor',
    group: 'Disks',
    value: 'KIND',
    help: 'What I/O of disks runs on: epoll or uring; the better one that the host has if not given',
    availability: BUILT,
  },
  oldSpelling('disk', 'd', '--block PATH,ro', 'Attach a disk that cannot be written'),
  oldSpelling('rwdisk', undefined, '--block PATH', 'Attach a disk'),
  oldSpelling('root', 'r', '--block PATH,root,ro', 'Attach the root disk, which cannot be written'),
  oldSpelling('rwroot', undefined, '--block PATH,root', 'Attach the root disk'),
];

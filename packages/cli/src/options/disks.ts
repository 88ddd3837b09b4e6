import {
  BUILT,
  deprecated,
  type KeyDefinition,
  key,
  type OptionDefinition,
  unbuiltKeys,
} from './definition.ts';

const BLOCK_KEYS: readonly KeyDefinition[] = [
  key('path', 'PATH', 'image file or block device of the host'),
  key('ro', undefined, 'refuse writes'),
  key('root', undefined, 'mount it as the root file system'),
  key('sparse', undefined, 'give back to the host what the guest discards; default true'),
  key('id', 'TEXT', 'serial number, up to 20 bytes'),
  key('block-size', 'BYTES', 'logical block size, a power of two; default 512'),
  ...unbuiltKeys('Leave it out: the image is read and written through the page cache of the host.', [
    'direct',
    'dontcache',
  ]),
  ...unbuiltKeys('Leave it out: images are always locked against other programs.', ['lock']),
  ...unbuiltKeys('Leave it out: the disk has one worker and split queues.', [
    'multiple-workers',
    'async-executor',
    'packed-queue',
  ]),
  ...unbuiltKeys('Leave it out: there is no firmware that would look for it.', ['bootindex']),
  ...unbuiltKeys('Leave it out: disks get their addresses in the order they are given.', ['pci-address']),
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
  oldSpelling('disk', 'd', '--block PATH,ro', 'Attach a disk that cannot be written'),
  oldSpelling('rwdisk', undefined, '--block PATH', 'Attach a disk'),
  oldSpelling('root', 'r', '--block PATH,root,ro', 'Attach the root disk, which cannot be written'),
  oldSpelling('rwroot', undefined, '--block PATH,root', 'Attach the root disk'),
];

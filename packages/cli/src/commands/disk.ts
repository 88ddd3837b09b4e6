import { BUILT, key, type OptionDefinition } from '../options/definition.ts';
import { JSON_OPTION } from '../options/json.ts';
import type { BuiltCommand } from './definition.ts';

const FORMATS = 'raw, qcow2, composite, android-sparse, zstd, vmdk, vhdx or vhd';

/** -f of the commands that look at an image. */
const FORMAT_OPTION: OptionDefinition = {
  name: 'format',
  short: 'f',
  group: 'Image',
  value: 'FORMAT',
  help: `What FILE is: ${FORMATS}; found out by its contents unless given, but for fixed vhd`,
  availability: BUILT,
};

/** -o of the commands that make an image. */
const CREATION_OPTION: OptionDefinition = {
  name: 'options',
  short: 'o',
  group: 'Image',
  value: 'KEY=VALUE[,…]',
  help: 'What a qcow2 image is to be like',
  keys: [
    key('cluster_size', 'BYTES', 'a power of two from 512 to 2M; default 64K'),
    key('compat', 'VERSION', '1.1 or v3, or 0.10 or v2 for very old programs; default 1.1'),
    key('compression_type', 'TYPE', 'zlib or zstd; default zlib'),
    key('data_file', 'PATH', 'the file that holds the data, seen from the folder of the image'),
    key('data_file_raw', 'on|off', 'keep that file readable as a raw image; default off'),
    key('extended_l2', 'on|off', 'allocate in units of a 32nd of a cluster; default off'),
    key('lazy_refcounts', 'on|off', 'count clusters late: repaired after a crash; default off'),
    key('refcount_bits', 'NUMBER', 'a power of two from 1 to 64; default 16'),
  ],
  example: '-o cluster_size=1M,compression_type=zstd',
  availability: BUILT,
};

/** What from-tar and from-dir make. */
const FILESYSTEM_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'format',
    short: 'f',
    group: 'Image',
    value: 'FORMAT',
    help: 'What IMAGE is to be: raw or qcow2; default raw',
    availability: BUILT,
  },
  CREATION_OPTION,
  {
    name: 'type',
    short: 't',
    group: 'File system',
    value: 'TYPE',
    help: 'ext4 or ext2; default ext4',
    availability: BUILT,
  },
  {
    name: 'size',
    short: 's',
    group: 'File system',
    value: 'SIZE',
    help: 'Bytes, or with K, M, G or T; as much as is needed unless given',
    availability: BUILT,
  },
  {
    name: 'free',
    group: 'File system',
    value: 'SIZE',
    help: 'What is to be free; default a tenth of the contents, 16M at least',
    availability: BUILT,
  },
  {
    name: 'label',
    short: 'L',
    group: 'File system',
    value: 'NAME',
    help: 'Its name, by which root=LABEL=NAME finds it: up to 16 bytes',
    availability: BUILT,
  },
  {
    name: 'block-size',
    group: 'File system',
    value: 'BYTES',
    help: '1K, 2K or 4K; default 4K',
    availability: BUILT,
  },
  {
    name: 'inode-ratio',
    group: 'File system',
    value: 'BYTES',
    help: 'Room for one file for each so many bytes; default 16K',
    availability: BUILT,
  },
  {
    name: 'no-journal',
    group: 'File system',
    help: 'Leave out the journal of ext4',
    availability: BUILT,
  },
  {
    name: 'uuid',
    group: 'File system',
    value: 'UUID',
    help: 'What identifies it; random unless given',
    availability: BUILT,
  },
  {
    name: 'time',
    group: 'File system',
    value: 'SECONDS',
    help: 'When it was made, in seconds since 1970; now unless given',
    availability: BUILT,
  },
];

/** Commands about disk images, in the spirit of qemu-img, and crosvm's own two. */
export const DISK_COMMANDS: readonly BuiltCommand[] = [
  {
    name: 'disk create',
    operands: 'FILE [SIZE]',
    minOperands: 1,
    maxOperands: 2,
    summary: 'Make an empty disk image',
    description: [
      'Makes FILE, in place of a file that may be there. SIZE is in bytes, or in K, M, G or T; an image with a backing image has its size unless SIZE is given.',
    ],
    examples: [
      'tsvmm disk create -f qcow2 disk.qcow2 20G',
      'tsvmm disk create -f qcow2 -b base.img -F raw disk.qcow2',
    ],
    options: [
      {
        name: 'format',
        short: 'f',
        group: 'Image',
        value: 'FORMAT',
        help: 'What to make: raw or qcow2; default raw',
        availability: BUILT,
      },
      {
        name: 'backing',
        short: 'b',
        group: 'Image',
        value: 'PATH',
        help: 'The image that is read where the new one has nothing, seen from the folder of FILE',
        availability: BUILT,
      },
      {
        name: 'backing-format',
        short: 'F',
        group: 'Image',
        value: 'FORMAT',
        help: `What the backing image is: ${FORMATS}; found out by its contents unless given`,
        availability: BUILT,
      },
      CREATION_OPTION,
    ],
    availability: BUILT,
    load: async () => (await import('../disk/create.ts')).create,
  },
  {
    name: 'disk info',
    operands: 'FILE',
    minOperands: 1,
    maxOperands: 1,
    summary: 'Describe a disk image',
    description: ['Prints what FILE is, without changing it. --json prints what qemu-img info does.'],
    examples: ['tsvmm disk info disk.qcow2', 'tsvmm disk info --backing-chain --json disk.qcow2'],
    options: [
      FORMAT_OPTION,
      {
        name: 'backing-chain',
        group: 'Image',
        help: 'Describe the backing images too',
        availability: BUILT,
      },
      JSON_OPTION,
    ],
    availability: BUILT,
    load: async () => (await import('../disk/info.ts')).info,
  },
  {
    name: 'disk check',
    operands: 'FILE',
    minOperands: 1,
    maxOperands: 1,
    summary: 'Look for damage in a qcow2 image, and repair it',
    description: [
      'Compares the tables of FILE with its reference counts. The exit status is 0 for an image without errors, 2 for one that is corrupt, 3 for one that only has clusters which nobody uses, 63 for a format that cannot be checked, and 1 when the check failed. --json prints what qemu-img check does.',
    ],
    examples: ['tsvmm disk check disk.qcow2', 'tsvmm disk check -r all disk.qcow2'],
    options: [
      FORMAT_OPTION,
      {
        name: 'repair',
        short: 'r',
        group: 'Image',
        value: 'WHAT',
        help: 'leaks: free what nobody uses; all: make all reference counts right. Keep a copy of a corrupt image before',
        availability: BUILT,
      },
      JSON_OPTION,
    ],
    availability: BUILT,
    load: async () => (await import('../disk/check.ts')).check,
  },
  {
    name: 'disk convert',
    operands: 'SRC DST',
    minOperands: 2,
    maxOperands: 2,
    summary: 'Copy a disk image into another format',
    description: [
      'Writes what SRC reads as, its backing images included, to DST. What is zero takes no space. DST gets its name when it is whole: what is interrupted leaves what was there before. (What is killed at once, by SIGKILL or a loss of power, also leaves a hidden file beside DST, .DST. and twelve digits, which may be deleted.) A block device is written in place.',
    ],
    examples: [
      'tsvmm disk convert -O qcow2 disk.img disk.qcow2',
      'tsvmm disk convert -O qcow2 -c -o compression_type=zstd disk.img small.qcow2',
    ],
    options: [
      { ...FORMAT_OPTION, help: `What SRC is: ${FORMATS}; found out by its contents unless given` },
      {
        name: 'output-format',
        short: 'O',
        group: 'Image',
        value: 'FORMAT',
        help: 'What DST is to be: raw or qcow2; default raw',
        availability: BUILT,
      },
      CREATION_OPTION,
      {
        name: 'compress',
        short: 'c',
        group: 'Image',
        help: 'Compress what is copied; DST has to be qcow2',
        availability: BUILT,
      },
    ],
    availability: BUILT,
    load: async () => (await import('../disk/convert.ts')).convert,
  },
  {
    name: 'disk resize',
    operands: 'FILE SIZE',
    minOperands: 2,
    maxOperands: 3,
    summary: 'Make a disk image larger or smaller',
    description: [
      'Gives FILE a size of SIZE bytes, or changes its size by +SIZE or -SIZE; K, M, G and T may follow the number. Partitions and file systems inside stay as they are: shrink those before the image, and grow them after it.',
    ],
    examples: ['tsvmm disk resize disk.qcow2 +10G', 'tsvmm disk resize --shrink disk.qcow2 5G'],
    options: [
      FORMAT_OPTION,
      {
        name: 'shrink',
        group: 'Image',
        help: 'Allow to cut off what lies past the new end',
        availability: BUILT,
      },
    ],
    availability: BUILT,
    load: async () => (await import('../disk/resize.ts')).resize,
  },
  {
    name: 'disk map',
    operands: 'FILE',
    minOperands: 1,
    maxOperands: 1,
    summary: 'List which parts of a disk image hold data, and where',
    description: [
      'Prints the parts of the disk that hold data, with the file and the place that has them. --json lists all parts, as qemu-img map does: depth counts how many images below FILE has them.',
    ],
    examples: ['tsvmm disk map disk.qcow2', 'tsvmm disk map --json disk.qcow2'],
    options: [FORMAT_OPTION, JSON_OPTION],
    availability: BUILT,
    load: async () => (await import('../disk/map.ts')).map,
  },
  {
    name: 'disk from-tar',
    operands: 'ARCHIVE IMAGE',
    minOperands: 2,
    maxOperands: 2,
    summary: 'Make a disk with a file system out of a tar archive',
    description: [
      'Makes IMAGE, a disk without partitions whose ext4 file system holds what ARCHIVE does: owners, permissions, devices, links, extended attributes, access lists and holes, without being root. ARCHIVE may be compressed by gzip or zstd. With -, it comes from standard input, and --size has to be given; else the disk is as large as it needs to be.',
      'It turns the root of a container into the disk of a guest. Layers of an image have to be flattened before, as docker export does. IMAGE gets its name when it is whole.',
    ],
    examples: [
      'tsvmm disk from-tar rootfs.tar.zst root.img',
      'docker export NAME | tsvmm disk from-tar -s 8G -f qcow2 - root.qcow2',
      'tsvmm run -b root.img,root',
    ],
    options: FILESYSTEM_OPTIONS,
    availability: BUILT,
    load: async () => (await import('../disk/filesystem.ts')).fromTar,
  },
  {
    name: 'disk from-dir',
    operands: 'DIRECTORY IMAGE',
    minOperands: 2,
    maxOperands: 2,
    summary: 'Make a disk with a file system out of a directory',
    description: [
      'Makes IMAGE, a disk without partitions whose ext4 file system holds what DIRECTORY does: owners, permissions, devices, links, extended attributes, access lists and holes. IMAGE gets its name when it is whole.',
      'The same directory gives the same bytes with --uuid and --time.',
    ],
    examples: [
      'tsvmm disk from-dir --owner 0:0 root root.img',
      'tsvmm disk from-dir --type ext2 --size 64M --label data files data.img',
    ],
    options: [
      ...FILESYSTEM_OPTIONS,
      {
        name: 'owner',
        group: 'File system',
        value: 'UID:GID',
        help: 'Who owns everything; as in DIRECTORY unless given',
        availability: BUILT,
      },
      {
        name: 'no-xattrs',
        group: 'File system',
        help: 'Leave extended attributes and access lists out',
        availability: BUILT,
      },
      {
        name: 'one-file-system',
        group: 'File system',
        help: 'Leave out what is mounted inside DIRECTORY',
        availability: BUILT,
      },
    ],
    availability: BUILT,
    load: async () => (await import('../disk/filesystem.ts')).fromDirectory,
  },
  {
    name: 'create_qcow2',
    operands: 'PATH [SIZE]',
    minOperands: 1,
    maxOperands: 2,
    summary: 'Make an empty qcow2 image, as crosvm spells it',
    description: [
      'Makes PATH, in place of a file that may be there, with either SIZE bytes or the size of a backing image. tsvmm disk create knows more options.',
    ],
    examples: ['tsvmm create_qcow2 disk.qcow2 20G', 'tsvmm create_qcow2 --backing-file base.img disk.qcow2'],
    options: [
      {
        name: 'backing-file',
        group: 'Image',
        value: 'PATH',
        help: 'The image that is read where the new one has nothing, and whose size the new one gets',
        availability: BUILT,
      },
    ],
    availability: BUILT,
    load: async () => (await import('../disk/create.ts')).createQcow2,
  },
  {
    name: 'create_composite',
    operands: 'PATH LABEL:PARTITION[:writable][:GUID]…',
    minOperands: 2,
    maxOperands: Number.POSITIVE_INFINITY,
    summary: 'Make a disk with a partition table out of images',
    description: [
      'Makes PATH, a disk with a GUID partition table whose partitions are the images PARTITION, which stay where they are. Beside it lie PATH.header, PATH.footer and PATH.filler. The guest may write those partitions that say so; their sizes are multiples of 4096 bytes.',
    ],
    examples: ['tsvmm create_composite disk boot:boot.img root:root.qcow2:writable'],
    options: [],
    availability: BUILT,
    load: async () => (await import('../disk/create-composite.ts')).createComposite,
  },
];

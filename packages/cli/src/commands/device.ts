import { BUILT, type OptionDefinition } from '../options/definition.ts';
import { ISOLATION_OPTIONS } from '../options/isolation.ts';
import type { BuiltCommand } from './definition.ts';

/** How a front end reaches a device, and what the device reaches of the host. */
const SERVING_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'socket-path',
    group: 'Connection',
    value: 'PATH',
    help: 'Wait at this Unix socket for a front end',
    availability: BUILT,
  },
  {
    name: 'fd',
    group: 'Connection',
    value: 'N',
    help: 'Use this open descriptor, which is connected to a front end',
    availability: BUILT,
  },
  ...ISOLATION_OPTIONS,
];

const FILE_OPTION = {
  name: 'file',
  group: 'Disks',
  value: 'PATH[:read-only]',
  availability: BUILT,
} as const;

const EXECUTOR_OPTION: OptionDefinition = {
  name: 'async-executor',
  group: 'Disks',
  value: 'KIND',
  help: 'What its I/O runs on: epoll or uring; the better one that the host has if not given',
  availability: BUILT,
};

const SERVING =
  'Speaks vhost-user, so that QEMU, crosvm or another program runs the guest. Serves one front end from a process that has nothing else of the host, and ends when that front end goes. The guest must have memory that can be shared, such as QEMU makes with -object memory-backend-memfd,share=on.';

/** The commands that serve a single device to another program. */
export const DEVICE_COMMANDS: readonly BuiltCommand[] = [
  {
    name: 'device block',
    operands: '',
    minOperands: 0,
    maxOperands: 0,
    summary: 'Serve a disk to another virtual machine monitor',
    description: ['Serves the image of a disk, of any format, as a virtio block device.', SERVING],
    examples: [
      'tsvmm device block --socket-path disk.sock --file debian.qcow2',
      'tsvmm device block --socket-path disk.sock --file cd.iso:read-only',
    ],
    options: [{ ...FILE_OPTION, help: 'The image of the disk' }, EXECUTOR_OPTION, ...SERVING_OPTIONS],
    availability: BUILT,
    load: async () => (await import('../device/block.ts')).deviceBlock,
  },
  {
    name: 'device console',
    operands: '',
    minOperands: 0,
    maxOperands: 0,
    summary: 'Serve a console to another virtual machine monitor',
    description: ['Serves a virtio console with one port.', SERVING],
    examples: ['tsvmm device console --socket-path console.sock --output-file guest.log'],
    options: [
      {
        name: 'output-file',
        group: 'Consoles',
        value: 'PATH',
        help: 'Append what the guest writes to this file; standard output if not given',
        availability: BUILT,
      },
      {
        name: 'input-file',
        group: 'Consoles',
        value: 'PATH',
        help: 'Give the guest what is in this file, or comes out of this pipe',
        availability: BUILT,
      },
      {
        name: 'syslog',
        group: 'Consoles',
        help: 'Send what the guest writes to the system log',
        availability: BUILT,
      },
      ...SERVING_OPTIONS,
    ],
    availability: BUILT,
    load: async () => (await import('../device/console.ts')).deviceConsole,
  },
  {
    name: 'device rng',
    operands: '',
    minOperands: 0,
    maxOperands: 0,
    summary: 'Serve random numbers to another virtual machine monitor',
    description: ["Serves the host's random numbers as a virtio entropy device.", SERVING],
    examples: ['tsvmm device rng --socket-path rng.sock'],
    options: SERVING_OPTIONS,
    availability: BUILT,
    load: async () => (await import('../device/rng.ts')).deviceRng,
  },
  {
    name: 'device scsi',
    operands: '',
    minOperands: 0,
    maxOperands: 0,
    summary: 'Serve SCSI disks to another virtual machine monitor',
    description: ['Serves images of disks, of any format, as the targets of a virtio SCSI adapter.', SERVING],
    examples: ['tsvmm device scsi --socket-path scsi.sock --file debian.qcow2 --file b.img'],
    options: [
      { ...FILE_OPTION, repeatable: true, help: 'The image of a disk; the first is target 0' },
      EXECUTOR_OPTION,
      ...SERVING_OPTIONS,
    ],
    availability: BUILT,
    load: async () => (await import('../device/scsi.ts')).deviceScsi,
  },
];

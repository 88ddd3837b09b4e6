import { BUILT, type OptionDefinition } from '../options/definition.ts';
import type { BuiltCommand } from './definition.ts';

/** How a front end reaches a device. */
const CONNECTION_OPTIONS: readonly OptionDefinition[] = [
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
];

const SERVING =
  'Speaks vhost-user, so that QEMU, crosvm or another program runs the guest. Serves one front end, and ends when that goes. The guest must have memory that can be shared, such as QEMU makes with -object memory-backend-memfd,share=on.';

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
    options: [
      {
        name: 'file',
        group: 'Disks',
        value: 'PATH[:read-only]',
        help: 'The image of the disk',
        availability: BUILT,
      },
      ...CONNECTION_OPTIONS,
    ],
    availability: BUILT,
    load: async () => (await import('../device/block.ts')).deviceBlock,
  },
  {
    name: 'device rng',
    operands: '',
    minOperands: 0,
    maxOperands: 0,
    summary: 'Serve random numbers to another virtual machine monitor',
    description: ["Serves the host's random numbers as a virtio entropy device.", SERVING],
    examples: ['tsvmm device rng --socket-path rng.sock'],
    options: CONNECTION_OPTIONS,
    availability: BUILT,
    load: async () => (await import('../device/rng.ts')).deviceRng,
  },
];

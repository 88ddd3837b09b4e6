import { BUILT, type OptionDefinition } from '../options/definition.ts';
import { JSON_OPTION } from '../options/json.ts';
import type { BuiltCommand } from './definition.ts';

const ARCH_OPTION: OptionDefinition = {
  name: 'arch',
  group: 'Guest',
  value: 'ARCH',
  help: 'riscv64, amd64 or arm64; default riscv64, which this version can run',
  availability: BUILT,
};

/** The guests that `run` boots without a kernel. */
export const GUEST_COMMANDS: readonly BuiltCommand[] = [
  {
    name: 'guest fetch',
    operands: '',
    minOperands: 0,
    maxOperands: 0,
    summary: 'Make the default guest, downloading what is missing',
    description: [
      'Makes the guest that tsvmm run boots without KERNEL: a Debian kernel and an initrd, from packages whose signatures are checked. What was made before is kept and used again.',
    ],
    examples: ['tsvmm guest fetch', 'tsvmm guest fetch --arch riscv64 --json'],
    options: [ARCH_OPTION, JSON_OPTION],
    availability: BUILT,
    load: async () => (await import('../guest/commands.ts')).fetch,
  },
  {
    name: 'guest list',
    operands: '',
    minOperands: 0,
    maxOperands: 0,
    summary: 'List the guests that are on this machine',
    description: ['Lists the guests that guest fetch has made, with the paths of their files.'],
    examples: ['tsvmm guest list', 'tsvmm guest list --json'],
    options: [JSON_OPTION],
    availability: BUILT,
    load: async () => (await import('../guest/commands.ts')).list,
  },
  {
    name: 'guest rm',
    operands: '',
    minOperands: 0,
    maxOperands: 0,
    summary: 'Remove the guests that are on this machine',
    description: ['Removes the guests that guest fetch has made: all of them, or those of one architecture.'],
    examples: ['tsvmm guest rm', 'tsvmm guest rm --arch amd64'],
    options: [
      { ...ARCH_OPTION, help: 'Only guests of this architecture: riscv64, amd64 or arm64' },
      JSON_OPTION,
    ],
    availability: BUILT,
    load: async () => (await import('../guest/commands.ts')).remove,
  },
];

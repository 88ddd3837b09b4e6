import { BUILT } from '../options/definition.ts';
import { RUN_OPTIONS } from '../options/run.ts';
import type { BuiltCommand, CommandDefinition } from './definition.ts';
import { DEVICE_COMMANDS } from './device.ts';
import { DISK_COMMANDS } from './disk.ts';
import { GUEST_COMMANDS } from './guest.ts';
import { UNBUILT_COMMANDS } from './unbuilt.ts';

const RUN: BuiltCommand = {
  name: 'run',
  operands: '[KERNEL]',
  minOperands: 0,
  maxOperands: 1,
  summary: 'Boot a Linux guest; without KERNEL, a small Debian',
  description: [
    'Boots KERNEL, an unmodified Linux kernel image, in a virtual machine whose console is the terminal. Without KERNEL it boots the default guest, which it makes from Debian packages the first time.',
    'The guest ends when it powers off. On a terminal, Ctrl-A x ends it at once and Ctrl-A h lists the other keys. Input from a pipe reaches the guest as it is, and the end of that input does not end the guest. What the guest prints goes to standard output, messages of tsvmm to standard error.',
  ],
  examples: [
    'tsvmm run',
    'tsvmm run -m 512 -c 2 -i initrd.img -p "rdinit=/bin/sh" Image',
    'tsvmm run -b debian.img,root Image',
    'echo "uname -a; poweroff -f" | tsvmm run',
  ],
  options: RUN_OPTIONS,
  availability: BUILT,
  load: async () => (await import('../run/run.ts')).run,
};

const INFORMATION_COMMANDS: readonly BuiltCommand[] = [
  {
    name: 'version',
    operands: '',
    minOperands: 0,
    maxOperands: 0,
    summary: 'Print the version',
    description: ['Prints the name and version.'],
    examples: ['tsvmm version'],
    options: [],
    availability: BUILT,
    load: async () => (await import('../information.ts')).printVersion,
  },
  {
    name: 'help',
    operands: '[TOPIC…]',
    minOperands: 0,
    maxOperands: 2,
    summary: 'Explain a command or a topic',
    description: [
      'Explains a command, or one of the topics values (how structured values are written), exit-status, and not-built (options and commands of crosvm that this version does not have).',
    ],
    examples: ['tsvmm help run', 'tsvmm help values'],
    options: [],
    availability: BUILT,
    load: async () => (await import('../information.ts')).printHelp,
  },
];

/** The commands that this version has, in the order of the help. */
export const BUILT_COMMANDS: readonly BuiltCommand[] = [
  RUN,
  ...GUEST_COMMANDS,
  ...DISK_COMMANDS,
  ...DEVICE_COMMANDS,
  ...INFORMATION_COMMANDS,
];

/** Every command, the working ones first. */
export const COMMANDS: readonly CommandDefinition[] = [...BUILT_COMMANDS, ...UNBUILT_COMMANDS];

import { BUILT, notBuilt, type OptionDefinition } from '../options/definition.ts';
import { RUN_OPTIONS } from '../options/run.ts';
import type { CommandDefinition } from './definition.ts';

const ARCH_OPTION: OptionDefinition = {
  name: 'arch',
  group: 'Guest',
  value: 'ARCH',
  help: 'riscv64, amd64 or arm64; default riscv64, which this version can run',
  availability: BUILT,
};

const JSON_OPTION: OptionDefinition = {
  name: 'json',
  group: 'Messages',
  help: 'Print JSON on standard output',
  availability: BUILT,
};

const BUILT_COMMANDS: readonly CommandDefinition[] = [
  {
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
  },
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
  },
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
  },
];

const NO_SOCKET = 'There is no control socket yet.';
const NO_BALLOON = 'The machine has no memory balloon yet; choose the size with tsvmm run --mem.';

/** crosvm's other commands, each with what to do instead. */
const NOT_BUILT_COMMANDS: readonly CommandDefinition[] = Object.entries({
  balloon: NO_BALLOON,
  balloon_stats: NO_BALLOON,
  balloon_ws: NO_BALLOON,
  battery: 'The machine has no battery yet; it runs on mains power.',
  create_composite:
    'Make one image with a partition table with sfdisk and attach it: tsvmm run --block PATH.',
  create_qcow2: 'Make a raw image with truncate -s SIZE PATH and attach it: tsvmm run --block PATH.',
  device: 'Devices are served by tsvmm run itself; leave it out.',
  devices: 'Devices are served by tsvmm run itself; leave it out.',
  disk: `${NO_SOCKET} Resize the image while the guest is off, with truncate -s SIZE PATH.`,
  gpe: 'It is for x86 machines, which are not built yet.',
  gpu: 'The machine has no screen yet; work with the guest on its console.',
  make_rt: 'Set the scheduling of the whole process with chrt.',
  powerbtn: 'Type poweroff on the console of the guest.',
  resume: `${NO_SOCKET} A guest cannot be suspended, so that it need not be resumed.`,
  sleepbtn: 'The machine does not sleep yet.',
  snapshot: 'Keep the state of the guest on a disk and copy its image while the guest is off.',
  snd: 'The machine has no sound yet.',
  stop: `${NO_SOCKET} End the guest with Ctrl-A x on its terminal, or send SIGTERM to tsvmm.`,
  suspend: `${NO_SOCKET} Stop the whole process with SIGSTOP.`,
  swap: "Use the host's swap space.",
  usb: 'The machine has no USB controller yet; only disks and consoles can be attached.',
  vfio: 'Host devices cannot be handed to the guest yet; only disks and consoles can.',
  'virtio-net': 'The machine has no network yet; exchange files on a disk: tsvmm run --block PATH.',
  'run-mp': 'It is for Windows hosts; use tsvmm run.',
  'run-main': 'It is for Windows hosts; use tsvmm run.',
  'run-metrics': 'It is for Windows hosts; use tsvmm run.',
  'run-slirp': 'It is for Windows hosts; use tsvmm run.',
}).map(([name, instead]) => ({
  name,
  operands: '',
  minOperands: 0,
  maxOperands: Number.POSITIVE_INFINITY,
  summary: '',
  description: [],
  examples: [],
  options: [],
  availability: notBuilt(instead),
}));

/** Every command, the working ones first. */
export const COMMANDS: readonly CommandDefinition[] = [...BUILT_COMMANDS, ...NOT_BUILT_COMMANDS];

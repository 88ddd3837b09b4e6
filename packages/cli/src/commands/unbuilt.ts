import { notBuilt } from '../options/definition.ts';
import type { CommandDefinition } from './definition.ts';

const NO_SOCKET = 'There is no control socket yet.';
const NO_BALLOON = 'The machine has no memory balloon yet; choose the size with tsvmm run --mem.';

/** crosvm's other commands, each with what to do instead. */
export const UNBUILT_COMMANDS: readonly CommandDefinition[] = Object.entries({
  balloon: NO_BALLOON,
  balloon_stats: NO_BALLOON,
  balloon_ws: NO_BALLOON,
  battery: 'The machine has no battery yet; it runs on mains power.',
  devices:
    'Serve each device with a command of its own: tsvmm device block, tsvmm device console, tsvmm device rng, tsvmm device scsi.',
  'device fs': 'Shared folders are not built yet; put the files on a disk: tsvmm disk from-dir.',
  'device gpu': 'There are no screens yet; work with the guest on its console.',
  'device net': 'There is no network yet; exchange files on a disk.',
  'device snd': 'There is no sound yet.',
  'device vsock': 'There are no vsock sockets yet; use a console.',
  'device wl': 'There is no Wayland yet; work with the guest on its console.',
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

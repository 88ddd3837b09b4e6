import { BUILT, type OptionDefinition } from './definition.ts';

/** How devices are kept apart from the host. */
export const ISOLATION_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'disable-sandbox',
    group: 'Isolation',
    help: 'Do not confine devices: each is otherwise a process without files, network and privileges',
    availability: BUILT,
  },
  {
    name: 'pivot-root',
    group: 'Isolation',
    value: 'DIRECTORY',
    help: 'What devices see as their root directory, by its absolute path; an empty, read-only one if not given',
    availability: BUILT,
  },
  {
    name: 'seccomp-policy-dir',
    group: 'Isolation',
    value: 'DIRECTORY',
    help: 'Take the policies of system calls from here where it has them, such as block_device.policy',
    availability: BUILT,
  },
  {
    name: 'seccomp-log-failures',
    group: 'Isolation',
    help: 'Report system calls that a policy does not allow, and make them; otherwise they end the machine',
    availability: BUILT,
  },
];

import { BUILT, key, type OptionDefinition, unbuiltKeys } from './definition.ts';

/** Memory, CPUs and the devices that every machine has. */
export const MACHINE_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'mem',
    short: 'm',
    group: 'Machine',
    value: '[size=]MIB',
    help: 'Size of the memory in MiB; default 256',
    keys: [key('size', 'MIB', 'the size in MiB')],
    example: '-m 512',
    availability: BUILT,
  },
  {
    name: 'init-mem',
    group: 'Machine',
    value: 'MIB',
    help: 'How much of the memory the guest has at first; the balloon holds the rest',
    availability: BUILT,
  },
  {
    name: 'cpus',
    short: 'c',
    group: 'Machine',
    value: '[num-cores=]N',
    help: 'Number of CPUs; default 1',
    keys: [
      key('num-cores', 'N', 'the number of CPUs'),
      ...unbuiltKeys('Leave it out: the CPUs are alike, form one cluster, and CPU 0 boots.', [
        'clusters',
        'core-types',
        'boot-cpu',
        'freq-domains',
      ]),
      ...unbuiltKeys('Leave it out: it is for aarch64 machines.', ['mte', 'sve']),
    ],
    example: '-c 2',
    availability: BUILT,
  },
  {
    name: 'no-rng',
    group: 'Machine',
    help: 'Leave out the source of random numbers (virtio-rng)',
    availability: BUILT,
  },
  {
    name: 'no-balloon',
    group: 'Machine',
    help: 'Leave out the memory balloon (virtio-balloon)',
    availability: BUILT,
  },
  {
    name: 'balloon-page-reporting',
    group: 'Machine',
    help: 'Let the guest report free memory, which the host uses meanwhile',
    availability: BUILT,
  },
  {
    name: 'no-usb',
    group: 'Machine',
    help: 'Leave out the USB controller (xHCI)',
    availability: BUILT,
  },
];

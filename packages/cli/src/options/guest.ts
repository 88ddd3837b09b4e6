import { BUILT, type OptionDefinition } from './definition.ts';

/** What runs inside the machine. */
export const GUEST_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'initrd',
    short: 'i',
    group: 'Guest',
    value: 'PATH',
    help: 'Initial RAM disk that the kernel starts from',
    availability: BUILT,
  },
  {
    name: 'params',
    short: 'p',
    group: 'Guest',
    value: 'TEXT',
    repeatable: true,
    help: 'Text to append to the kernel command line',
    example: '-p "loglevel=4 panic=1"',
    availability: BUILT,
  },
  {
    name: 'name',
    group: 'Guest',
    value: 'NAME',
    help: 'A name for the machine, which messages mention',
    availability: BUILT,
  },
];

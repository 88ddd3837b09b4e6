import { BUILT, type OptionDefinition } from './definition.ts';

/** Options that every command takes, before or after its name. */
export const GLOBAL_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'extended-status',
    group: 'Messages',
    help: 'Tell by the exit status how the guest ended (tsvmm help exit-status)',
    availability: BUILT,
  },
  {
    name: 'log-level',
    group: 'Messages',
    value: 'FILTER',
    help: 'Least level to report, for all or per part: off, error, warn, info, debug, trace; default info',
    example: '--log-level warn,devices=debug',
    availability: BUILT,
  },
  {
    name: 'no-syslog',
    group: 'Messages',
    help: 'Report on standard error only, not to the system log',
    availability: BUILT,
  },
  {
    name: 'syslog-tag',
    group: 'Messages',
    value: 'TAG',
    help: 'The name of this process in the system log; default tsvmm',
    availability: BUILT,
  },
  {
    name: 'help',
    short: 'h',
    group: 'Messages',
    help: 'Print this and exit',
    availability: BUILT,
  },
];

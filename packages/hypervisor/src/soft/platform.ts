import type { Riscv64Platform } from '../platform.ts';
import { TIMEBASE_FREQUENCY } from './timebase.ts';

/** Machines of software harts: what `@tsvmm/softcpu` implements. */
export const SOFT_PLATFORM: Riscv64Platform = {
  architecture: 'riscv64',
  timebaseFrequency: TIMEBASE_FREQUENCY,
  isaExtensions: [
    ...['i', 'm', 'a', 'f', 'd', 'c'],
    ...['zicntr', 'zicsr', 'zifencei', 'zba', 'zbb', 'zbs', 'ssaia', 'sstc'],
  ],
  mmuType: 'sv48',
};

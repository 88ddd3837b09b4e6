import type { Capability, Hypervisor } from '../hypervisor.ts';

/** One promise of the contract, and the program that shows whether a back end keeps it. */
export interface ConformanceCase {
  readonly name: string;
  /** The promise is made by hypervisors that have this. */
  readonly requires?: Capability;
  /** What of a machine it is about, where back ends have more than one kind of that. */
  readonly about?: 'interrupts';
  run(hypervisor: Hypervisor): Promise<void>;
}

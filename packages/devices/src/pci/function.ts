import { type BusAccess, readAllOnes } from '../bus.ts';
import type { PciBridgeHeader } from './bridge-header.ts';
import type { PciBus } from './bus.ts';
import type { PciConfigurationSpace } from './configuration-space.ts';

/** The register half of a PCI function, on the thread of whoever accesses it. */
export interface PciFunction {
  readonly space: PciConfigurationSpace;
  /** What is behind the function, if it is a bridge. */
  readonly bridge?: PciBridge;
  /** Reads inside a BAR; `access.offset` counts from the BAR's start. */
  readBar(bar: number, access: BusAccess): void;
  writeBar(bar: number, access: BusAccess): void;
  /** Called before the guest reads the configuration word at `offset`: for registers whose reading has an effect. */
  beforeConfigRead?(offset: number, size: number): void;
  /** Called after the guest wrote to the configuration word at `offset`. */
  afterConfigWrite?(offset: number, size: number): void;
}

/** The way from one bus to another. */
export interface PciBridge {
  /** Which buses and addresses it forwards. */
  readonly header: PciBridgeHeader;
  readonly secondary: PciBus;
  /** Whether what is on the secondary bus can be reached: false while its slot is empty. */
  readonly isConnected: boolean;
}

/** A function that only has configuration space, like the host bridge. */
export class ConfigurationOnlyFunction implements PciFunction {
  readonly space: PciConfigurationSpace;
  constructor(space: PciConfigurationSpace) {
    this.space = space;
  }
  readBar(_bar: number, access: BusAccess): void {
    readAllOnes(access);
  }
  writeBar(): void {}
}

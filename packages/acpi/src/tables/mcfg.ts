import { little } from '../bytes.ts';
import { type AcpiTable, createTable, type OemIdentity } from './header.ts';

/** Where the configuration space of some PCI buses is mapped (ECAM). */
export interface PciConfigurationRange {
  /** Address of the configuration space of bus 0, whether or not it is one of the buses. */
  readonly address: number;
  /** PCI segment group; 0 unless given. */
  readonly segment?: number;
  readonly firstBus: number;
  readonly lastBus: number;
}

/** The MCFG table, PCI Firmware Specification 3.3 section 4.1.2. */
export function createMcfg(oem: OemIdentity, ranges: readonly PciConfigurationRange[]): AcpiTable {
  const body = ranges.flatMap(({ address, segment = 0, firstBus, lastBus }) => [
    little(address, 8, 'address of ECAM'),
    little(segment, 2, 'PCI segment group'),
    little(firstBus, 1, 'first bus of ECAM'),
    little(lastBus, 1, 'last bus of ECAM'),
    new Uint8Array(4),
  ]);
  return createTable('MCFG', 1, oem, [new Uint8Array(8), ...body]);
}

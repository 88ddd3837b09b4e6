import type { Architecture } from '@tsvmm/hypervisor';
import type { BoardOptions } from './board.ts';
import { MachineError } from './errors.ts';

/** What only some boards have, and how it is asked for. */
const OPTIONS = {
  firmwareSize: { name: 'firmware', option: '--bios' },
  pci: { name: 'PCI that can be moved', option: '--pci' },
  acpiTables: { name: 'ACPI', option: '--acpi-table' },
  smbios: { name: 'SMBIOS', option: '--smbios' },
} as const;

/**
 * Refuses what a board does not have.
 *
 * @param missing the options that are about it
 * @throws MachineError UNSUPPORTED for the first that is given
 */
export function refuseOptions(
  architecture: Architecture,
  options: BoardOptions,
  missing: readonly (keyof typeof OPTIONS)[],
): void {
  for (const key of missing) {
    const value = options[key];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    const { name, option } = OPTIONS[key];
    throw new MachineError('UNSUPPORTED', `${architecture} machines have no ${name}: leave ${option} out`);
  }
}

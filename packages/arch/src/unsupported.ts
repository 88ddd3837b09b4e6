import type { BoardOptions } from './board.ts';
import { MachineError } from './errors.ts';

/** What only some boards have, and how it is asked for. */
const OPTIONS = {
  firmwareSize: { name: 'firmware', option: '--bios' },
  flashSize: { name: 'flash memory', option: '--pflash' },
  fwCfgFiles: { name: 'fw_cfg', option: '--fw-cfg' },
  pci: { name: 'PCI that can be moved', option: '--pci' },
  acpiTables: { name: 'ACPI', option: '--acpi-table' },
  smbios: { name: 'SMBIOS', option: '--smbios' },
  splitIrqchip: { name: 'split interrupt controllers', option: '--irqchip split' },
  its: { name: 'interrupt translation service', option: '--irqchip kernel[allow-vgic-its]' },
} as const;

/**
 * Refuses what a board does not have.
 *
 * @param machines which ones these are, such as `aarch64`
 * @param missing the options that are about it
 * @throws MachineError UNSUPPORTED for the first that is given
 */
export function refuseOptions(
  machines: string,
  options: BoardOptions,
  missing: readonly (keyof typeof OPTIONS)[],
): void {
  for (const key of missing) {
    if (options[key] === undefined) continue;
    const { name, option } = OPTIONS[key];
    throw new MachineError('UNSUPPORTED', `${machines} machines have no ${name}: leave ${option} out`);
  }
}

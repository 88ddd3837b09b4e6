import { DeviceError } from '../errors.ts';

/** Where a function is: bus, device and function number. */
export interface PciAddress {
  /** 0…255 */
  readonly bus: number;
  /** 0…31 */
  readonly device: number;
  /** 0…7 */
  readonly function: number;
}

/** The 16-bit routing id: bus in bits 15…8, device in 7…3, function in 2…0. */
export function routingId(address: PciAddress): number {
  return (address.bus << 8) | (address.device << 3) | address.function;
}

/** As lspci writes it: `00:1f.7`. */
export function formatPciAddress(address: PciAddress): string {
  const hex = (value: number) => value.toString(16).padStart(2, '0');
  return `${hex(address.bus)}:${hex(address.device)}.${address.function}`;
}

/**
 * Reads `[DDDD:]BB:DD.F` (hexadecimal); the domain can only be 0.
 * @throws DeviceError BAD_PCI_FUNCTION
 */
export function parsePciAddress(text: string): PciAddress {
  const match = /^(?:0{1,4}:)?([0-9a-f]{1,2}):([01]?[0-9a-f])\.([0-7])$/i.exec(text);
  if (!match) {
    throw new DeviceError('BAD_PCI_FUNCTION', `'${text}' is not a PCI address: write it like 00:05.0.`);
  }
  const [bus = 0, device = 0, fn = 0] = match.slice(1).map((digits) => Number.parseInt(digits, 16));
  return { bus, device, function: fn };
}

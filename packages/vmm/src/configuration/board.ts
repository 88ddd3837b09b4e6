import type { BoardOptions, PlatformOptions, SmbiosOptions } from '@tsvmm/arch';
import { checkPath } from './checks.ts';
import type { VirtualMachineConfiguration } from './configuration.ts';
import { ConfigurationError } from './error.ts';

/** An address range of the guest, as its user gives it. */
export interface RangeConfiguration {
  readonly start: number;
  /** Bytes. */
  readonly size: number;
}

/** What a board may have besides what all machines have. A board refuses what it has not. */
export interface BoardConfiguration {
  /** Path of a BIOS or UEFI image to start from, instead of a kernel. */
  readonly bios?: string;
  /** Paths of ACPI tables: a DSDT or FACP replaces the machine's, the others are added. */
  readonly acpiTables?: readonly string[];
  /** What SMBIOS says of the machine. */
  readonly smbios?: SmbiosOptions;
  /** Where PCI has its 32-bit memory and its configuration space, if not where the board puts them. */
  readonly pci?: { readonly memory?: RangeConfiguration; readonly configuration?: RangeConfiguration };
  /** Have a PC's keyboard controller, which resets the machine; default true. */
  readonly i8042?: boolean;
  /** Have a real time clock; default true. */
  readonly rtc?: boolean;
}

/** The same with nothing left open. */
export interface ResolvedBoard {
  readonly bios: string | undefined;
  readonly acpiTables: readonly string[];
  readonly smbios: SmbiosOptions | undefined;
  readonly pci: BoardOptions['pci'];
  readonly platform: PlatformOptions;
}

/**
 * Checks what a configuration asks of the board.
 *
 * @throws ConfigurationError
 */
export function resolveBoard(configuration: VirtualMachineConfiguration): ResolvedBoard {
  const { bios, kernel, initrd, acpiTables = [], smbios, pci, i8042 = true, rtc = true } = configuration;
  if (bios === undefined && kernel === undefined) {
    throw new ConfigurationError('INVALID_VALUE', 'kernel', 'a machine needs a kernel, or firmware (bios)');
  }
  if (bios !== undefined && kernel !== undefined) {
    throw new ConfigurationError('CONFLICT', 'bios', 'firmware finds its own kernel: give one of the two');
  }
  if (bios !== undefined && initrd !== undefined) {
    throw new ConfigurationError('CONFLICT', 'initrd', 'firmware takes no initrd: put it on a disk');
  }
  return {
    bios: bios === undefined ? undefined : checkPath('bios', bios, 'it needs the path of a file'),
    acpiTables: acpiTables.map((path) => checkPath('acpiTables', path, 'it needs the path of a file')),
    smbios,
    pci: pci && {
      ...(pci.memory && { memory: range(pci.memory) }),
      ...(pci.configuration && { configuration: range(pci.configuration) }),
    },
    platform: { i8042, rtc },
  };
}

function range({ start, size }: RangeConfiguration): { readonly start: number; readonly end: number } {
  const end = start + size;
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && size > 0)
    return { start, end };
  throw new ConfigurationError(
    'OUT_OF_RANGE',
    'pci',
    `${size} bytes from ${start} are no address range: both have to be whole numbers, and the size above 0`,
  );
}

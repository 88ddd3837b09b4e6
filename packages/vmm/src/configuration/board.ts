import type { BoardOptions, PlatformOptions, SmbiosOptions } from '@tsvmm/arch';
import { checkPath, checkWord } from './checks.ts';
import type { VirtualMachineConfiguration } from './configuration.ts';
import { ConfigurationError } from './error.ts';

/** An address range of the guest, as its user gives it. */
export interface RangeConfiguration {
  readonly start: number;
  /** Bytes. */
  readonly size: number;
}

/** Flash memory, in which firmware keeps its variables. */
export interface PflashConfiguration {
  /** Path of the file with its contents, which is written as the guest writes. */
  readonly path: string;
  /** Bytes that are erased together, a power of two; the board's usual ones unless given. */
  readonly blockSize?: number;
}

/** A file for firmware, in QEMU's fw_cfg. */
export type FwCfgConfiguration =
  /** With the contents of a file of the host. */
  | { readonly name: string; readonly path: string }
  /** With this text. */
  | { readonly name: string; readonly string: string };

/** Where a machine's interrupt controllers are. */
export type IrqchipConfiguration =
  /** All in the kernel; on aarch64 with an interrupt translation service unless `allowVgicIts` is false. */
  | { readonly kind: 'kernel'; readonly allowVgicIts?: boolean }
  /** x86_64: only the local APICs in the kernel, the others and the interval timer in this process. */
  | { readonly kind: 'split' }
  /** All in this process, as those of software CPUs are. */
  | { readonly kind: 'userspace' };

const IRQCHIPS = ['kernel', 'split', 'userspace'] as const;
const NESTED = ['off', 'auto', 'on'] as const;

/** Whether a guest may be a hypervisor: `auto` where the host allows it. */
export type Nested = (typeof NESTED)[number];

/** What a board may have besides what all machines have. A board refuses what it has not. */
export interface BoardConfiguration {
  /** Path of a BIOS or UEFI image to start from, instead of a kernel. */
  readonly bios?: string;
  /** Only with {@link bios}. */
  readonly pflash?: PflashConfiguration;
  /** What firmware finds in fw_cfg, a device that is there when this is, even if it is empty. */
  readonly fwCfg?: readonly FwCfgConfiguration[];
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
  /** Where interrupt controllers are; the hypervisor's default when left out. */
  readonly irqchip?: IrqchipConfiguration;
  /** Whether the guest may be a hypervisor; default `auto` on x86_64, `off` elsewhere. */
  readonly nested?: Nested;
}

/** The same with nothing left open. */
export interface ResolvedBoard {
  readonly bios: string | undefined;
  readonly pflash: PflashConfiguration | undefined;
  readonly fwCfg: readonly FwCfgConfiguration[] | undefined;
  readonly acpiTables: readonly string[];
  readonly smbios: SmbiosOptions | undefined;
  readonly pci: BoardOptions['pci'];
  readonly platform: PlatformOptions;
  readonly irqchip: IrqchipConfiguration | undefined;
  readonly nested: Nested | undefined;
}

/**
 * Checks what a configuration asks of the board.
 *
 * @throws ConfigurationError
 */
export function resolveBoard(configuration: VirtualMachineConfiguration): ResolvedBoard {
  const {
    bios,
    kernel,
    initrd,
    pflash,
    acpiTables = [],
    smbios,
    pci,
    i8042 = true,
    rtc = true,
    irqchip,
    nested,
  } = configuration;
  if (bios === undefined && kernel === undefined) {
    throw new ConfigurationError('INVALID_VALUE', 'kernel', 'a machine needs a kernel, or firmware (bios)');
  }
  if (bios !== undefined && kernel !== undefined) {
    throw new ConfigurationError('CONFLICT', 'bios', 'firmware finds its own kernel: give one of the two');
  }
  if (bios !== undefined && initrd !== undefined) {
    throw new ConfigurationError('CONFLICT', 'initrd', 'firmware takes no initrd: put it on a disk');
  }
  if (bios === undefined && pflash !== undefined) {
    throw new ConfigurationError('CONFLICT', 'pflash', "it keeps firmware's variables: give firmware, too");
  }
  return {
    bios: bios === undefined ? undefined : checkPath('bios', bios, 'it needs the path of a file'),
    pflash: pflash && { ...pflash, path: checkPath('pflash', pflash.path, 'it needs the path of a file') },
    fwCfg: configuration.fwCfg?.map((file, index) => {
      if ('path' in file) checkPath('fwCfg', file.path, 'it needs the path of a file', index);
      return file;
    }),
    acpiTables: acpiTables.map((path) => checkPath('acpiTables', path, 'it needs the path of a file')),
    smbios,
    pci: pci && {
      ...(pci.memory && { memory: range(pci.memory) }),
      ...(pci.configuration && { configuration: range(pci.configuration) }),
    },
    platform: { i8042, rtc },
    irqchip: irqchip && resolveIrqchip(irqchip),
    nested: nested && checkWord('nested', nested, NESTED, 'nesting'),
  };
}

function resolveIrqchip(irqchip: IrqchipConfiguration): IrqchipConfiguration {
  checkWord('irqchip', irqchip.kind, IRQCHIPS, 'the place of interrupt controllers');
  return irqchip;
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

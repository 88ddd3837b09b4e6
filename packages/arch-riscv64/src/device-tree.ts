import {
  type AddressRange,
  hex,
  type PciInterrupt,
  type PciPlacement,
  type SerialPlacement,
} from '@tsvmm/arch';
import { DeviceTree, type FdtNode } from '@tsvmm/fdt';
import {
  APLIC_ADDRESS,
  APLIC_SIZE,
  APLIC_SOURCES,
  IMSIC_ADDRESS,
  IMSIC_FILE_SIZE,
  IMSIC_IDENTITIES,
  RAM_START,
  SERIAL_SIZE,
  TIMEBASE_FREQUENCY,
} from './layout.ts';

/** Supervisor external interrupt (privileged manual, scause): what an interrupt file raises. */
const SUPERVISOR_EXTERNAL = 9;
/** Interrupt types of the APLIC's second cell, as Linux numbers them. */
const LEVEL_HIGH = 4;
/** UART input clock of a PC: 115,200 baud times 16. */
const UART_CLOCK = 1_843_200;

/** Flags in the first cell of a PCI address (IEEE 1275 PCI binding, 2.2.1.1). */
const PCI_MEMORY_32 = 0x0200_0000;
const PCI_MEMORY_64_PREFETCHABLE = 0x4300_0000;

/** Single-letter and named extensions of a hart, as `riscv,isa-extensions` lists them. */
const ISA_EXTENSIONS = [
  'i',
  'm',
  'a',
  'f',
  'd',
  'c',
  'zicntr',
  'zicsr',
  'zifencei',
  'zba',
  'zbb',
  'zbs',
  'ssaia',
  'sstc',
] as const;

export interface DeviceTreeOptions {
  readonly vcpuCount: number;
  /** Bytes. */
  readonly ramSize: number;
  readonly commandLine: string;
  readonly initrd: AddressRange | undefined;
  readonly serialPorts: readonly SerialPlacement[];
  /** Index of the port that is `stdout-path`. */
  readonly standardOutput: number | undefined;
  readonly pci: PciPlacement;
  readonly pciInterrupts: readonly PciInterrupt[];
  /** 8 bytes of randomness for KASLR and 32 or more for the kernel's pool. */
  readonly kaslrSeed: Uint8Array;
  readonly rngSeed: Uint8Array;
}

/** The machine as the guest is told of it. */
export function machineDeviceTree(options: DeviceTreeOptions): DeviceTree {
  const tree = new DeviceTree();
  const { root } = tree;
  root.u32('#address-cells', 2).u32('#size-cells', 2).string('compatible', 'linux,dummy-virt');
  root.string('model', 'tsvmm riscv64');

  const chosen = root.node('chosen');
  const harts = addCpus(root, options.vcpuCount);
  root
    .node(`memory@${RAM_START.toString(16)}`)
    .string('device_type', 'memory')
    .u64('reg', RAM_START, options.ramSize);

  const soc = root
    .node('soc')
    .u32('#address-cells', 2)
    .u32('#size-cells', 2)
    .string('compatible', 'simple-bus');
  soc.empty('ranges');
  const imsic = addImsic(soc, harts);
  const aplic = addAplic(soc, imsic);
  const serials = options.serialPorts.map((port) => addSerial(soc, aplic, port));
  const pci = addPci(soc, imsic, options.pci);
  addInterruptMap(pci, aplic, options.pciInterrupts);

  chosen.string('bootargs', options.commandLine);
  chosen.bytes('kaslr-seed', options.kaslrSeed).bytes('rng-seed', options.rngSeed);
  // BARs are assigned already: the guest keeps them.
  chosen.u32('linux,pci-probe-only', 1);
  if (options.initrd !== undefined) {
    chosen.u64('linux,initrd-start', options.initrd.start).u64('linux,initrd-end', options.initrd.end);
  }
  const output = options.standardOutput === undefined ? undefined : serials[options.standardOutput];
  if (output !== undefined) {
    chosen.string('stdout-path', output.path);
  }
  return tree;
}

/** @returns the interrupt controller of each hart */
function addCpus(root: FdtNode, count: number): FdtNode[] {
  const cpus = root.node('cpus').u32('#address-cells', 1).u32('#size-cells', 0);
  cpus.u32('timebase-frequency', TIMEBASE_FREQUENCY);
  return Array.from({ length: count }, (_, id) => {
    const cpu = cpus
      .node(`cpu@${id.toString(16)}`)
      .string('device_type', 'cpu')
      .string('compatible', 'riscv')
      .u32('reg', id)
      .string('status', 'okay')
      .string('mmu-type', 'riscv,sv48')
      .string('riscv,isa-base', 'rv64i')
      .string('riscv,isa-extensions', ...ISA_EXTENSIONS)
      .string('riscv,isa', isaString());
    return cpu
      .node('interrupt-controller')
      .u32('#address-cells', 0)
      .u32('#interrupt-cells', 1)
      .empty('interrupt-controller')
      .string('compatible', 'riscv,cpu-intc');
  });
}

/** The older form of the extensions: single letters together, the others after underscores. */
function isaString(): string {
  const letters = ISA_EXTENSIONS.filter((name) => name.length === 1).join('');
  return [`rv64${letters}`, ...ISA_EXTENSIONS.filter((name) => name.length > 1)].join('_');
}

function addImsic(soc: FdtNode, harts: readonly FdtNode[]): FdtNode {
  return soc
    .node(`interrupt-controller@${IMSIC_ADDRESS.toString(16)}`)
    .string('compatible', 'riscv,imsics')
    .u64('reg', IMSIC_ADDRESS, harts.length * IMSIC_FILE_SIZE)
    .u32('#address-cells', 0)
    .u32('#interrupt-cells', 0)
    .empty('interrupt-controller')
    .u32('#msi-cells', 0)
    .empty('msi-controller')
    .cells('interrupts-extended', ...harts.flatMap((hart) => [hart, SUPERVISOR_EXTERNAL]))
    .u32('riscv,num-ids', IMSIC_IDENTITIES);
}

function addAplic(soc: FdtNode, imsic: FdtNode): FdtNode {
  return soc
    .node(`interrupt-controller@${APLIC_ADDRESS.toString(16)}`)
    .string('compatible', 'riscv,aplic')
    .u64('reg', APLIC_ADDRESS, APLIC_SIZE)
    .u32('#address-cells', 0)
    .u32('#interrupt-cells', 2)
    .empty('interrupt-controller')
    .cells('msi-parent', imsic)
    .u32('riscv,num-sources', APLIC_SOURCES);
}

function addSerial(soc: FdtNode, aplic: FdtNode, port: SerialPlacement): FdtNode {
  return soc
    .node(`serial@${port.address.toString(16)}`)
    .string('compatible', 'ns16550a')
    .u64('reg', port.address, SERIAL_SIZE)
    .u32('clock-frequency', UART_CLOCK)
    .u32('current-speed', 115_200)
    .cells('interrupts-extended', aplic, port.source, LEVEL_HIGH);
}

function addPci(soc: FdtNode, imsic: FdtNode, pci: PciPlacement): FdtNode {
  const { configuration, lowWindow, highWindow } = pci;
  return soc
    .node(`pci@${configuration.address.toString(16)}`)
    .string('compatible', `pci-host-${configuration.kind}-generic`)
    .string('device_type', 'pci')
    .u64('reg', configuration.address, configuration.size)
    .u32('bus-range', 0, 0)
    .u32('#address-cells', 3)
    .u32('#size-cells', 2)
    .u32('#interrupt-cells', 1)
    .empty('dma-coherent')
    .u32('linux,pci-probe-only', 1)
    .u32('ranges', ...range(PCI_MEMORY_32, lowWindow), ...range(PCI_MEMORY_64_PREFETCHABLE, highWindow))
    .cells('msi-parent', imsic);
}

/** An entry of `ranges` with PCI and CPU addresses equal. */
function range(flags: number, window: AddressRange): number[] {
  const start = words(window.start);
  return [flags, ...start, ...start, ...words(window.end - window.start)];
}

/** A row for each pin: device and function as the first cell of a PCI address has them, pin, source. */
function addInterruptMap(pci: FdtNode, aplic: FdtNode, interrupts: readonly PciInterrupt[]): void {
  if (interrupts.length > 0) {
    pci
      .u32('interrupt-map-mask', 0xff00, 0, 0, 7)
      .cells(
        'interrupt-map',
        ...interrupts.flatMap(({ device, function: fn, pin, source }) => [
          (device << 11) | (fn << 8),
          0,
          0,
          pin,
          aplic,
          source,
          LEVEL_HIGH,
        ]),
      );
  }
}

function words(value: number): [number, number] {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${hex(value)} is not an address`);
  }
  return [Math.floor(value / 2 ** 32), value % 2 ** 32];
}

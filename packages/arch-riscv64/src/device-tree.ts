import {
  type AddressRange,
  addChosen,
  addMemory,
  addPciHost,
  addUart,
  type PciInterrupt,
  type PciPlacement,
  type Seeds,
  type SerialPlacement,
  type WiredInterrupts,
} from '@tsvmm/arch';
import { DeviceTree, type FdtNode } from '@tsvmm/fdt';
import { APLIC_SIZE, IMSIC_FILE_SIZE, type Riscv64Platform } from '@tsvmm/hypervisor';
import { APLIC_ADDRESS, APLIC_SOURCES, IMSIC_ADDRESS, IMSIC_IDENTITIES, RAM_START } from './layout.ts';

/** Supervisor external interrupt (privileged manual, scause): what an interrupt file raises. */
const SUPERVISOR_EXTERNAL = 9;
/** Interrupt types of the APLIC's second cell, as Linux numbers them. */
const LEVEL_HIGH = 4;

export interface DeviceTreeOptions {
  /** What the hypervisor has made of the machine. */
  readonly platform: Riscv64Platform;
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
  readonly seeds: Seeds;
}

/** The machine as the guest is told of it. */
export function machineDeviceTree(options: DeviceTreeOptions): DeviceTree {
  const tree = new DeviceTree();
  const { root } = tree;
  root.u32('#address-cells', 2).u32('#size-cells', 2).string('compatible', 'linux,dummy-virt');
  root.string('model', 'tsvmm riscv64');

  const harts = addCpus(root, options.vcpuCount, options.platform);
  addMemory(root, RAM_START, options.ramSize);
  const soc = root
    .node('soc')
    .u32('#address-cells', 2)
    .u32('#size-cells', 2)
    .string('compatible', 'simple-bus')
    .empty('ranges');
  const imsic = addImsic(soc, harts);
  const interrupts = addAplic(soc, imsic);
  const serials = options.serialPorts.map((port) => addUart(soc, port, interrupts));
  addPciHost(soc, options.pci, options.pciInterrupts, interrupts).cells('msi-parent', imsic);
  addChosen(root, {
    commandLine: options.commandLine,
    initrd: options.initrd,
    standardOutput: options.standardOutput === undefined ? undefined : serials[options.standardOutput],
    seeds: options.seeds,
  });
  return tree;
}

/** @returns the interrupt controller of each hart */
function addCpus(root: FdtNode, count: number, platform: Riscv64Platform): FdtNode[] {
  const { timebaseFrequency, mmuType, isaExtensions, cbomBlockSize, cbozBlockSize } = platform;
  const cpus = root.node('cpus').u32('#address-cells', 1).u32('#size-cells', 0);
  cpus.u32('timebase-frequency', timebaseFrequency);
  return Array.from({ length: count }, (_, id) => {
    const cpu = cpus
      .node(`cpu@${id.toString(16)}`)
      .string('device_type', 'cpu')
      .string('compatible', 'riscv')
      .u32('reg', id)
      .string('status', 'okay')
      .string('mmu-type', `riscv,${mmuType}`)
      .string('riscv,isa-base', 'rv64i')
      .string('riscv,isa-extensions', ...isaExtensions)
      .string('riscv,isa', isaString(isaExtensions));
    if (cbomBlockSize !== undefined) cpu.u32('riscv,cbom-block-size', cbomBlockSize);
    if (cbozBlockSize !== undefined) cpu.u32('riscv,cboz-block-size', cbozBlockSize);
    return cpu
      .node('interrupt-controller')
      .u32('#address-cells', 0)
      .u32('#interrupt-cells', 1)
      .empty('interrupt-controller')
      .string('compatible', 'riscv,cpu-intc');
  });
}

/** The older form of the extensions: single letters together, the others after underscores. */
function isaString(extensions: readonly string[]): string {
  const letters = extensions.filter((name) => name.length === 1).join('');
  return [`rv64${letters}`, ...extensions.filter((name) => name.length > 1)].join('_');
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

function addAplic(soc: FdtNode, imsic: FdtNode): WiredInterrupts {
  const aplic = soc
    .node(`interrupt-controller@${APLIC_ADDRESS.toString(16)}`)
    .string('compatible', 'riscv,aplic')
    .u64('reg', APLIC_ADDRESS, APLIC_SIZE)
    .u32('#address-cells', 0)
    .u32('#interrupt-cells', 2)
    .empty('interrupt-controller')
    .cells('msi-parent', imsic)
    .u32('riscv,num-sources', APLIC_SOURCES);
  return { controller: aplic, addressCells: 0, levelHigh: (source) => [source, LEVEL_HIGH] };
}

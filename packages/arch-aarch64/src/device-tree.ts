import {
  type AddressRange,
  addChosen,
  addMemory,
  addPciHost,
  addUart,
  type FlashPlacement,
  type PciInterrupt,
  type PciPlacement,
  type Seeds,
} from '@tsvmm/arch';
import { FW_CFG_LENGTH } from '@tsvmm/devices';
import { DeviceTree, type FdtNode } from '@tsvmm/fdt';
import type { Aarch64Platform } from '@tsvmm/hypervisor';
import { GicInterrupts, LEVEL_HIGH, LEVEL_LOW } from './interrupts.ts';
import {
  type AddressMap,
  GIC_DISTRIBUTOR_SIZE,
  GIC_ITS_SIZE,
  GIC_MAINTENANCE_PPI,
  GIC_REDISTRIBUTOR_SIZE,
  RTC_SIZE,
  RTC_SOURCE,
  TIMER_PPIS,
  VIRTUAL_EL2_TIMER_PPI,
} from './layout.ts';

/** INTID of PPI 0. */
const FIRST_PPI = 16;
/** PrimeCell identification, which is what drivers go by. */
const PRIMECELL_IDS = { pl030: 0x0004_1030, pl031: 0x0004_1031 } as const;
/** The clock of the clock's bus, in Hz: its driver asks for one, and nothing depends on it. */
const RTC_BUS_CLOCK = 3_141_592;
/** Requester ids that may send MSIs: all of a PCI segment's. */
const REQUESTER_IDS = 0x1_0000;

export interface DeviceTreeOptions {
  /** What is where. */
  readonly map: AddressMap;
  /** What the hypervisor has made of the machine. */
  readonly platform: Aarch64Platform;
  /** Bytes. */
  readonly ramSize: number;
  readonly commandLine: string;
  /** Where kernel or firmware are. */
  readonly image: AddressRange;
  readonly initrd: AddressRange | undefined;
  /** Index of the port that is `stdout-path`. */
  readonly standardOutput: number | undefined;
  readonly pci: PciPlacement;
  readonly pciInterrupts: readonly PciInterrupt[];
  /** Whether there is a real-time clock. */
  readonly rtc: boolean;
  readonly flash: { readonly placement: FlashPlacement; readonly size: number } | undefined;
  readonly seeds: Seeds;
}

/** The machine as the guest is told of it. */
export function machineDeviceTree(options: DeviceTreeOptions): DeviceTree {
  const { platform, image, map } = options;
  const tree = new DeviceTree();
  const { root } = tree;
  root.u32('#address-cells', 2).u32('#size-cells', 2).string('compatible', 'linux,dummy-virt');
  root.string('model', 'tsvmm aarch64');

  const gic = addGic(root, map, platform);
  root.cells('interrupt-parent', gic);
  const interrupts = new GicInterrupts(gic, platform.gicVersion, platform.affinities.length);
  addMaintenanceInterrupt(gic, platform, interrupts);
  addMemory(root, map.ramStart, options.ramSize);
  // For firmware that verifies what it starts.
  root
    .node('config')
    .u32('kernel-address', image.start)
    .u32('kernel-size', image.end - image.start);
  addPsci(root, platform);
  addCpus(root, platform.affinities);
  addTimer(root, platform, interrupts);
  addPmu(root, platform, interrupts);
  const serials = map.serialPorts.map((port) => addUart(root, port, interrupts));
  if (options.rtc) addRtc(root, map.rtc, interrupts);
  if (options.flash) addFlash(root, options.flash);
  if (map.fwCfgAddress !== undefined) addFwCfg(root, map.fwCfgAddress);
  const pci = addPciHost(root, options.pci, options.pciInterrupts, interrupts);
  addIts(gic, pci, map, platform);
  addChosen(root, {
    commandLine: options.commandLine,
    initrd: options.initrd,
    standardOutput: options.standardOutput === undefined ? undefined : serials[options.standardOutput],
    seeds: options.seeds,
  });
  return tree;
}

function addGic(root: FdtNode, { gic }: AddressMap, { gicVersion, affinities }: Aarch64Platform): FdtNode {
  const vcpuCount = affinities.length;
  const [compatible, address, size] =
    gicVersion === 3
      ? (['arm,gic-v3', gic.redistributorAddress(vcpuCount), vcpuCount * GIC_REDISTRIBUTOR_SIZE] as const)
      : (['arm,cortex-a15-gic', gic.cpuInterface.address, gic.cpuInterface.size] as const);
  return root
    .node(`interrupt-controller@${gic.distributorAddress.toString(16)}`)
    .string('compatible', compatible)
    .u64('reg', gic.distributorAddress, GIC_DISTRIBUTOR_SIZE, address, size)
    .empty('interrupt-controller')
    .u32('#interrupt-cells', 3)
    .u32('#address-cells', 2)
    .u32('#size-cells', 2)
    .empty('ranges');
}

/** A guest that is a hypervisor needs it for its own guests. */
function addMaintenanceInterrupt(gic: FdtNode, { hasEl2 }: Aarch64Platform, interrupts: GicInterrupts): void {
  if (hasEl2) gic.u32('interrupts', ...interrupts.privatePeripheral(GIC_MAINTENANCE_PPI, LEVEL_HIGH));
}

/** The device id that the ITS looks an MSI up by is the PCI function's requester id. */
function addIts(
  gic: FdtNode,
  pci: FdtNode,
  { gic: { itsAddress } }: AddressMap,
  { hasIts }: Aarch64Platform,
): void {
  if (!hasIts) return;
  const its = gic
    .node(`msi-controller@${itsAddress.toString(16)}`)
    .string('compatible', 'arm,gic-v3-its')
    .u64('reg', itsAddress, GIC_ITS_SIZE)
    .empty('msi-controller')
    .u32('#msi-cells', 1);
  pci.cells('msi-map', 0, its, 0, REQUESTER_IDS);
}

/** Linux, Documentation/devicetree/bindings/arm/psci.yaml. */
function addPsci(root: FdtNode, { psci, psciConduit }: Aarch64Platform): void {
  const versions = psci.major >= 1 ? ['arm,psci-1.0', 'arm,psci-0.2'] : ['arm,psci-0.2'];
  root
    .node('psci')
    .string('compatible', ...versions)
    .string('method', psciConduit);
}

function addCpus(root: FdtNode, affinities: readonly number[]): void {
  const cells = affinities.some((affinity) => affinity >= 2 ** 32) ? 2 : 1;
  const cpus = root.node('cpus').u32('#address-cells', cells).u32('#size-cells', 0);
  for (const affinity of affinities) {
    const cpu = cpus
      .node(`cpu@${affinity.toString(16)}`)
      .string('device_type', 'cpu')
      .string('compatible', 'arm,armv8')
      .string('enable-method', 'psci');
    if (cells === 2) cpu.u64('reg', affinity);
    else cpu.u32('reg', affinity);
  }
}

/** Linux, Documentation/devicetree/bindings/timer/arm,arch_timer.yaml. */
function addTimer(root: FdtNode, { hasEl2 }: Aarch64Platform, interrupts: GicInterrupts): void {
  const ppis = hasEl2 ? [...TIMER_PPIS, VIRTUAL_EL2_TIMER_PPI] : TIMER_PPIS;
  root
    .node('timer')
    .string('compatible', 'arm,armv8-timer')
    .u32('interrupts', ...ppis.flatMap((ppi) => interrupts.privatePeripheral(ppi, LEVEL_LOW)))
    .empty('always-on');
}

function addPmu(root: FdtNode, { pmuInterrupt }: Aarch64Platform, interrupts: GicInterrupts): void {
  if (pmuInterrupt === undefined) return;
  root
    .node('pmu')
    .string('compatible', 'arm,armv8-pmuv3')
    .u32('interrupts', ...interrupts.privatePeripheral(pmuInterrupt - FIRST_PPI, LEVEL_HIGH));
}

function addRtc(root: FdtNode, { part, address }: AddressMap['rtc'], interrupts: GicInterrupts): void {
  const clock = root
    .node('apb-pclk')
    .string('compatible', 'fixed-clock')
    .u32('#clock-cells', 0)
    .u32('clock-frequency', RTC_BUS_CLOCK)
    .string('clock-output-names', 'apb_pclk');
  root
    .node(`rtc@${address.toString(16)}`)
    .string('compatible', `arm,${part}`, 'arm,primecell')
    .u32('arm,primecell-periphid', PRIMECELL_IDS[part])
    .u64('reg', address, RTC_SIZE)
    .u32('interrupts', ...interrupts.levelHigh(RTC_SOURCE))
    .cells('clocks', clock)
    .string('clock-names', 'apb_pclk');
}

/** Linux, Documentation/devicetree/bindings/mtd/mtd-physmap.yaml. */
function addFlash(root: FdtNode, { placement, size }: NonNullable<DeviceTreeOptions['flash']>): void {
  const { address, bankWidth } = placement;
  root
    .node(`flash@${address.toString(16)}`)
    .string('compatible', 'cfi-flash')
    .u64('reg', address, size)
    .u32('bank-width', bankWidth);
}

/** Linux, Documentation/devicetree/bindings/firmware/qemu,fw-cfg-mmio.yaml. */
function addFwCfg(root: FdtNode, address: number): void {
  root
    .node(`fw-cfg@${address.toString(16)}`)
    .string('compatible', 'qemu,fw-cfg-mmio')
    .u64('reg', address, FW_CFG_LENGTH.memory)
    .empty('dma-coherent');
}

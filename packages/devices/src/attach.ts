import { EventFd } from '@tsvmm/base';
import { Bus, type BusDevice } from './bus.ts';
import type { DeviceEnvironment } from './environment.ts';
import { DeviceError } from './errors.ts';
import { type IntxDescriptor, UNCONNECTED_LINE, WiredOrLine } from './interrupt.ts';
import { routingId } from './pci/address.ts';
import { PciBus } from './pci/bus.ts';
import { PciConfigurationSpace } from './pci/configuration-space.ts';
import { ConfigurationOnlyFunction, type PciFunction } from './pci/function.ts';
import { Msi } from './pci/msi.ts';
import { type PcieRootPortDescriptor, PcieRootPortFunction } from './pci/pcie/root-port.ts';
import { PcieSlot } from './pci/pcie/slot.ts';
import { PvpanicFunction } from './pci/pvpanic.ts';
import { PciMemoryConfig, PciMemoryWindow, PciPortIo, PciRoot } from './pci/root.ts';
import type { PciFunctionDescriptor, PciRootDescriptor } from './pci/topology.ts';
import { AcpiPm, type AcpiPmDescriptor } from './platform/acpi-pm.ts';
import { CmosRtc, type CmosRtcDescriptor } from './platform/cmos-rtc.ts';
import { Debugcon, type DebugconDescriptor } from './platform/debugcon.ts';
import { FwCfg, type FwCfgDescriptor } from './platform/fw-cfg.ts';
import { I8042, type I8042Descriptor } from './platform/i8042.ts';
import {
  I8254,
  type I8254Descriptor,
  type SystemControlDescriptor,
  SystemControlPort,
} from './platform/i8254.ts';
import { Pflash, type PflashDescriptor } from './platform/pflash.ts';
import { PrimeCellRtc, type PrimeCellRtcDescriptor } from './platform/primecell-rtc.ts';
import { Pl011, type Pl011Descriptor } from './serial/pl011.ts';
import { Uart16550, type Uart16550Descriptor } from './serial/uart16550.ts';
import type { XhciDescriptor } from './usb/xhci/device.ts';
import { XhciFunction } from './usb/xhci/registers.ts';
import type { VirtioPciDescriptor } from './virtio/device.ts';
import { VirtioPciFunction } from './virtio/transport/virtio-pci.ts';

/** A device on a bus, as plain data that can be posted to a worker. */
export type DeviceDescriptor =
  | Uart16550Descriptor
  | AcpiPmDescriptor
  | CmosRtcDescriptor
  | DebugconDescriptor
  | FwCfgDescriptor
  | I8042Descriptor
  | I8254Descriptor
  | PflashDescriptor
  | Pl011Descriptor
  | PrimeCellRtcDescriptor
  | SystemControlDescriptor
  /** Configuration space: in memory as ECAM or CAM, or at ports 0xCF8 to 0xCFF. */
  | {
      readonly kind: 'pci-config';
      readonly mechanism: 'ecam' | 'cam' | 'port-io';
      readonly root: PciRootDescriptor;
    }
  /** A window in which the functions' BARs can be mapped. */
  | { readonly kind: 'pci-window'; readonly root: PciRootDescriptor }
  /** A device of another package: `DeviceEnvironment.attachCustom` makes it. */
  | { readonly kind: 'custom'; readonly type: string; readonly data: unknown };

/** A device and the addresses it claims. */
export interface BusEntry {
  readonly start: number;
  /** Bytes. */
  readonly length: number;
  readonly device: DeviceDescriptor;
}

/** A whole bus as plain data. */
export interface BusDescriptor {
  readonly entries: readonly BusEntry[];
}

const PLACEHOLDER: BusDevice = { read() {}, write() {} };

/**
 * Checks what is on a bus and makes it plain data.
 * @throws DeviceError RANGE_OVERLAP, BAD_RANGE
 */
export function describeBus(entries: readonly BusEntry[]): BusDescriptor {
  const bus = new Bus();
  for (const { start, length } of entries) bus.insert(start, length, PLACEHOLDER);
  return { entries: [...entries] };
}

/**
 * Makes the register halves of all devices on a bus, on the thread that calls it. Any number of threads can do so from
 * the same descriptor: the registers themselves are shared.
 * @throws DeviceError UNKNOWN_KIND
 */
export function attachBus(descriptor: BusDescriptor, environment: DeviceEnvironment): Bus {
  const bus = new Bus();
  // All entries of one root complex share its view, and with that its table of BARs.
  const roots = new Map<SharedArrayBuffer, PciRoot>();
  const rootOf = (root: PciRootDescriptor): PciRoot => {
    const known = roots.get(root.state) ?? attachPciRoot(root, environment);
    roots.set(root.state, known);
    return known;
  };
  for (const { start, length, device } of descriptor.entries) {
    bus.insert(start, length, attachDevice(device, start, environment, rootOf));
  }
  return bus;
}

function attachDevice(
  descriptor: DeviceDescriptor,
  start: number,
  environment: DeviceEnvironment,
  rootOf: (root: PciRootDescriptor) => PciRoot,
): BusDevice {
  switch (descriptor.kind) {
    case 'uart16550':
      return attachUart16550(descriptor, environment);
    case 'acpi-pm':
      return attachAcpiPm(descriptor, environment);
    case 'cmos-rtc':
      return attachCmosRtc(descriptor, environment);
    case 'debugcon':
      return new Debugcon(descriptor);
    case 'fw-cfg':
      return attachFwCfg(descriptor, environment);
    case 'i8042':
      return new I8042(environment.reset);
    case 'i8254':
      return attachI8254(descriptor, environment);
    case 'pflash':
      return attachPflash(descriptor, environment);
    case 'pl011':
      return attachPl011(descriptor, environment);
    case 'primecell-rtc':
      return attachPrimeCellRtc(descriptor, environment);
    case 'system-control':
      return new SystemControlPort(attachI8254(descriptor.timer, environment));
    case 'pci-config': {
      const root = rootOf(descriptor.root);
      if (descriptor.mechanism === 'port-io') return new PciPortIo(root, environment.reset);
      return new PciMemoryConfig(root, descriptor.mechanism);
    }
    case 'pci-window':
      return new PciMemoryWindow(rootOf(descriptor.root), start);
    case 'custom': {
      const device = environment.attachCustom?.(descriptor.type, descriptor.data);
      if (device) return device;
      throw new DeviceError(
        'UNKNOWN_KIND',
        `Nothing here can attach a device of type '${descriptor.type}': teach it to the environment's attachCustom.`,
      );
    }
  }
}

/** Makes the register half of a UART. */
export function attachUart16550(descriptor: Uart16550Descriptor, environment: DeviceEnvironment): Uart16550 {
  const { interrupt, wire } = descriptor;
  const line = interrupt === undefined ? UNCONNECTED_LINE : environment.interrupts.line(interrupt);
  return new Uart16550(descriptor, wire === undefined ? line : new WiredOrLine(wire, line));
}

/** Makes the register half of a PL011. */
export function attachPl011(descriptor: Pl011Descriptor, environment: DeviceEnvironment): Pl011 {
  return new Pl011(descriptor, environment.interrupts.line(descriptor.interrupt));
}

function attachFwCfg(descriptor: FwCfgDescriptor, { memory }: DeviceEnvironment): FwCfg {
  if (memory !== undefined) return new FwCfg(descriptor, memory);
  throw new DeviceError(
    'UNKNOWN_KIND',
    'Firmware configuration writes to guest memory: give it to the environment.',
  );
}

function attachPflash(descriptor: PflashDescriptor, { attachRegion }: DeviceEnvironment): Pflash {
  const { region } = descriptor;
  return new Pflash(descriptor, region === undefined ? undefined : attachRegion?.(region));
}

/** Makes the registers of power management, or the buttons of the thread that runs the machine. */
export function attachAcpiPm(descriptor: AcpiPmDescriptor, environment: DeviceEnvironment): AcpiPm {
  return new AcpiPm(descriptor, environment.interrupts.line(descriptor.interrupt), environment);
}

/** Makes the register half of a real time clock; the one that a `DeviceClock` gets is made the same way. */
export function attachCmosRtc(descriptor: CmosRtcDescriptor, environment: DeviceEnvironment): CmosRtc {
  const { powerManagement } = descriptor;
  const pm = powerManagement && attachAcpiPm(powerManagement, environment);
  return new CmosRtc(descriptor, environment.interrupts.line(descriptor.interrupt), {
    onAlarm: () => pm?.raiseRtcAlarm(),
  });
}

/** Makes the register half of an interval timer; the one that a `DeviceClock` gets is made the same way. */
export function attachI8254(descriptor: I8254Descriptor, environment: DeviceEnvironment): I8254 {
  return new I8254(descriptor, environment.interrupts.line(descriptor.interrupt));
}

/** Makes the register half of an Arm clock; the one that a `DeviceClock` gets is made the same way. */
export function attachPrimeCellRtc(
  descriptor: PrimeCellRtcDescriptor,
  environment: DeviceEnvironment,
): PrimeCellRtc {
  return new PrimeCellRtc(descriptor, environment.interrupts.line(descriptor.interrupt));
}

/** Makes a root complex with the register halves of all its functions. */
export function attachPciRoot(descriptor: PciRootDescriptor, environment: DeviceEnvironment): PciRoot {
  const bus = attachPciBus(descriptor.functions, environment);
  return new PciRoot(descriptor.state, bus, environment.pciDecodingChanged);
}

function attachPciBus(functions: readonly PciFunctionDescriptor[], environment: DeviceEnvironment): PciBus {
  const bus = new PciBus();
  for (const fn of functions) {
    bus.insert(routingId(fn.address) & 0xff, attachPciFunction(fn, environment));
  }
  return bus;
}

function attachPciFunction(descriptor: PciFunctionDescriptor, environment: DeviceEnvironment): PciFunction {
  switch (descriptor.kind) {
    case 'virtio-pci':
      return attachVirtioPci(descriptor, environment);
    case 'pvpanic':
      return new PvpanicFunction(new PciConfigurationSpace(descriptor.space), descriptor.state);
    case 'xhci':
      return attachXhci(descriptor, environment);
    case 'pcie-root-port':
      return new PcieRootPortFunction(
        new PciConfigurationSpace(descriptor.space),
        attachPcieSlot(descriptor, environment),
        descriptor.capability,
        attachPciBus(descriptor.functions, environment),
      );
    case 'configuration-only':
      return new ConfigurationOnlyFunction(new PciConfigurationSpace(descriptor.space));
  }
}

/** Makes the slot of a root port, for its registers, or for who puts cards in and takes them out. */
export function attachPcieSlot(descriptor: PcieRootPortDescriptor, environment: DeviceEnvironment): PcieSlot {
  const { address, intx, space: state, slot, msi, capability } = descriptor;
  const space = new PciConfigurationSpace(state);
  return new PcieSlot(space, slot, capability, {
    msi: new Msi(space, msi, environment.interrupts.msi, routingId(address)),
    line: attachIntx(intx, environment),
  });
}

/** The end of an INTx wire that one function drives. */
export function attachIntx(intx: IntxDescriptor | undefined, environment: DeviceEnvironment) {
  return intx ? new WiredOrLine(intx.wire, environment.interrupts.line(intx.source)) : UNCONNECTED_LINE;
}

function attachXhci(descriptor: XhciDescriptor, environment: DeviceEnvironment): XhciFunction {
  return new XhciFunction(descriptor.space, descriptor.state, {
    line: attachIntx(descriptor.intx, environment),
    control: EventFd.fromDescriptor(descriptor.control),
  });
}

function attachVirtioPci(descriptor: VirtioPciDescriptor, environment: DeviceEnvironment): VirtioPciFunction {
  return new VirtioPciFunction(descriptor.parts, {
    msi: environment.interrupts.msi,
    requesterId: routingId(descriptor.address),
    line: attachIntx(descriptor.intx, environment),
    kicks: descriptor.kicks.map((fd) => EventFd.fromDescriptor(fd)),
    control: EventFd.fromDescriptor(descriptor.control),
    calls: descriptor.calls,
    msiEvents: environment.interrupts.msiEvents,
  });
}

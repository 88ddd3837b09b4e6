import { DeviceError } from '../errors.ts';
import { createWiredOrState, type IntxDescriptor } from '../interrupt.ts';
import type { XhciDescriptor } from '../usb/xhci/device.ts';
import type { VirtioPciDescriptor } from '../virtio/device.ts';
import type { Doorbell } from '../virtio/transport/virtio-pci.ts';
import { formatPciAddress, type PciAddress, routingId } from './address.ts';
import { assignBars, type PopulatedBus } from './assign-bars.ts';
import type { PciBridgeHeader } from './bridge-header.ts';
import {
  type PciConfigurationSpace,
  PciConfigurationSpaceBuilder,
  type PciIdentity,
} from './configuration-space.ts';
import type { PcieRootPortDescriptor } from './pcie/root-port.ts';
import type { PvpanicDescriptor } from './pvpanic.ts';
import { pciRootLayout } from './root.ts';

/** A function without BARs or behaviour, as plain data. */
export interface ConfigurationOnlyDescriptor {
  readonly kind: 'configuration-only';
  readonly address: PciAddress;
  readonly space: SharedArrayBuffer;
}

/** A function as plain data, from which each thread attaches its register half. */
export type PciFunctionDescriptor =
  | VirtioPciDescriptor
  | PvpanicDescriptor
  | PcieRootPortDescriptor
  | XhciDescriptor
  | ConfigurationOnlyDescriptor;

/** A root complex as plain data. */
export interface PciRootDescriptor {
  readonly state: SharedArrayBuffer;
  /** Those on bus 0. */
  readonly functions: readonly PciFunctionDescriptor[];
}

/** A device that can be plugged in, as the thread that builds the machine holds it. */
export interface PciDevice extends Disposable {
  readonly space: PciConfigurationSpace;
  /** Whether it has an interrupt pin. */
  readonly hasInterrupt: boolean;
  /** Plain data to attach the device from, where it is plugged in. */
  descriptor(address: PciAddress, intx?: IntxDescriptor): PciFunctionDescriptor;
  /** Where the guest notifies it now; without it, nowhere. */
  doorbells?(): Doorbell[];
}

/** A device that leads to a bus of its own. */
export interface PciBridgeDevice extends PciDevice {
  readonly header: PciBridgeHeader;
  /** Bytes to keep free behind it for functions that come while the guest runs. */
  readonly hotPlugRoom: { readonly memory: number; readonly prefetchable: number };
  /** Something was put behind it before the guest runs. */
  populate(): void;
}

/** A range of guest-physical addresses for BARs. */
export interface PciWindow {
  readonly start: number;
  readonly size: number;
}

/** One INTx pin and where it leads: a row of a device tree's interrupt-map or of ACPI's _PRT. */
export interface InterruptRoute {
  readonly address: PciAddress;
  /** 1…4 for INTA…INTD. */
  readonly pin: number;
  readonly source: number;
}

/** Intel 440FX, at 00:00.0 like in crosvm. */
const HOST_BRIDGE: PciIdentity = { vendorId: 0x8086, deviceId: 0x1237, baseClass: 0x06, subclass: 0x00 };
const HOST_BRIDGE_ADDRESS: PciAddress = { bus: 0, device: 0, function: 0 };
const DEVICES = 32;
const PINS = 4;

/** A bus with what is plugged into it, while the machine is put together. */
interface BusPlan {
  readonly number: number;
  /** What it is behind; undefined for bus 0. */
  readonly parent:
    | { readonly bus: BusPlan; readonly device: PciBridgeDevice; readonly slot: number }
    | undefined;
  /** By device number in bits 7…3 and function number in bits 2…0. */
  readonly functions: Map<number, { space: PciConfigurationSpace; descriptor: PciFunctionDescriptor }>;
  readonly bridges: { readonly device: PciBridgeDevice; readonly place: number; readonly bus: BusPlan }[];
}

/** The PCI buses of a machine: gives functions their addresses, interrupts and memory before the guest starts. */
export class PciTopology implements Disposable {
  readonly #shared = new SharedArrayBuffer(pciRootLayout.size);
  readonly #state = pciRootLayout.attach(this.#shared);
  /** By number. */
  readonly #buses: [BusPlan, ...BusPlan[]] = [newBus(0, undefined)];
  readonly #virtioDevices: VirtioPciDescriptor[] = [];
  readonly #usbControllers: XhciDescriptor[] = [];
  readonly #devices: PciDevice[] = [];
  readonly #routes: InterruptRoute[] = [];
  readonly #intx: readonly IntxDescriptor[];

  /**
   * @param options.intxSources inputs of the interrupt controller for INTx, shared round-robin by the devices; without
   * any, functions have no pin and need MSI or MSI-X
   */
  constructor(options: { readonly intxSources?: readonly number[] } = {}) {
    this.#intx = (options.intxSources ?? []).map((source) => ({ source, wire: createWiredOrState() }));
    this.addStub(HOST_BRIDGE, HOST_BRIDGE_ADDRESS);
  }

  /**
   * Plugs a device in, which is disposed with the topology from now on.
   * @param address the first free device number of bus 0 unless given
   * @throws DeviceError BAD_PCI_FUNCTION when the address is taken or there is no such bus, OUT_OF_SPACE when all are taken
   */
  add(device: PciDevice, address: PciAddress = this.#freeAddress()): PciAddress {
    const bus = this.#claim(address);
    const pin = (address.function % PINS) + 1;
    const intx = device.hasInterrupt ? this.#intxOf(bus, address.device, pin) : undefined;
    if (intx) {
      device.space.setInterrupt(pin, intx.source);
      if (bus.number === 0) this.#addRoute(address, pin, intx.source);
    }
    this.#devices.push(device);
    const descriptor = device.descriptor(address, intx);
    bus.functions.set(routingId(address) & 0xff, { space: device.space, descriptor });
    if (descriptor.kind === 'virtio-pci') this.#virtioDevices.push(descriptor);
    else if (descriptor.kind === 'xhci') this.#usbControllers.push(descriptor);
    bus.parent?.device.populate();
    return address;
  }

  /**
   * Plugs a bridge in, the same way.
   * @returns the number of the bus behind it
   * @throws DeviceError BAD_PCI_FUNCTION, OUT_OF_SPACE
   */
  addBridge(device: PciBridgeDevice, address: PciAddress = this.#freeAddress()): number {
    this.add(device, address);
    const primary = this.#buses[address.bus] ?? this.#buses[0];
    const secondary = newBus(this.#buses.length, { bus: primary, device, slot: address.device });
    this.#buses.push(secondary);
    primary.bridges.push({ device, place: routingId(address) & 0xff, bus: secondary });
    device.header.setBusNumbers(address.bus, secondary.number, secondary.number);
    // Whatever is above it has this bus behind it, too.
    for (let { parent } = primary; parent !== undefined; { parent } = parent.bus) {
      const { header } = parent.device;
      header.setBusNumbers(parent.bus.number, header.secondaryBus, secondary.number);
    }
    if (address.bus === 0) this.#routePinsBehind(address);
    return secondary.number;
  }

  /**
   * Plugs in a function that only has configuration space, for `--stub-pci-device`.
   * @throws DeviceError BAD_PCI_FUNCTION, OUT_OF_SPACE
   */
  addStub(identity: PciIdentity, address: PciAddress = this.#freeAddress()): PciAddress {
    const space = new PciConfigurationSpaceBuilder(identity).build();
    const descriptor = { kind: 'configuration-only', address, space: space.state } as const;
    const bus = this.#claim(address);
    bus.functions.set(routingId(address) & 0xff, { space, descriptor });
    bus.parent?.device.populate();
    return address;
  }

  /**
   * Gives every BAR an address, as firmware would: 64-bit ones in `high` if there is one, all others in `low`.
   * @throws DeviceError OUT_OF_SPACE
   */
  assignBars(low: PciWindow, high?: PciWindow): void {
    assignBars(populated(this.#buses[0]), low, high);
  }

  /** To be called when a card was put into a slot or taken out: BARs on the bus behind it come and go. */
  decodingChanged(): void {
    this.#state.generation.add(1);
  }

  /** Where the INTx pins of what is on bus 0 lead, in order of the devices. */
  get interruptRoutes(): readonly InterruptRoute[] {
    return this.#routes;
  }

  /** The highest bus number there is. */
  get lastBus(): number {
    return this.#buses.length - 1;
  }

  /** The devices that have a back end, to be served by an IoWorker, in the order in which they were added. */
  get virtioDevices(): readonly VirtioPciDescriptor[] {
    return this.#virtioDevices;
  }

  /** The USB controllers, whose rings an IoWorker reads. */
  get usbControllers(): readonly XhciDescriptor[] {
    return this.#usbControllers;
  }

  /** All doorbells of all devices at their present addresses. */
  doorbells(): Doorbell[] {
    return this.#devices.flatMap((device) => device.doorbells?.() ?? []);
  }

  /** Plain data from which each thread attaches its own view. */
  descriptor(): PciRootDescriptor {
    return { state: this.#shared, functions: functionsOf(this.#buses[0]) };
  }

  [Symbol.dispose](): void {
    for (const device of this.#devices.splice(0).reverse()) device[Symbol.dispose]();
  }

  /** Where a pin leads: on its way to the root, each bridge shifts pins by the device number (PCI-to-PCI Bridge 1.2, section 9.1). */
  #intxOf(bus: BusPlan, device: number, pin: number): IntxDescriptor | undefined {
    if (this.#intx.length === 0) return undefined;
    const { parent } = bus;
    if (parent) return this.#intxOf(parent.bus, parent.slot, ((pin - 1 + device) % PINS) + 1);
    return this.#intx[(device - 1 + pin - 1) % this.#intx.length];
  }

  /** What is behind a bridge reaches the root by all of its pins. */
  #routePinsBehind(address: PciAddress): void {
    for (let pin = 1; pin <= PINS; pin++) {
      const intx = this.#intxOf(this.#buses[0], address.device, pin);
      if (intx) this.#addRoute(address, pin, intx.source);
    }
  }

  #addRoute(address: PciAddress, pin: number, source: number): void {
    const isKnown = this.#routes.some(
      (route) => route.address.device === address.device && route.pin === pin,
    );
    if (!isKnown) this.#routes.push({ address, pin, source });
  }

  #claim(address: PciAddress): BusPlan {
    const bus = this.#buses[address.bus];
    // The link behind a port of PCI Express has one device.
    const isPlace = bus?.parent === undefined || address.device === 0;
    if (bus === undefined || !isPlace || bus.functions.has(routingId(address) & 0xff)) {
      throw new DeviceError(
        'BAD_PCI_FUNCTION',
        `No function can be put at ${formatPciAddress(address)}: choose a free address on a bus that is there.`,
      );
    }
    return bus;
  }

  #freeAddress(): PciAddress {
    for (let device = 1; device < DEVICES; device++) {
      if (!this.#buses[0].functions.has(device << 3)) return { bus: 0, device, function: 0 };
    }
    throw new DeviceError('OUT_OF_SPACE', `All ${DEVICES} device numbers of PCI bus 0 are taken.`);
  }
}

function newBus(number: number, parent: BusPlan['parent']): BusPlan {
  return { number, parent, functions: new Map(), bridges: [] };
}

function populated({ functions, bridges }: BusPlan): PopulatedBus {
  return {
    spaces: [...functions.values()].map(({ space }) => space),
    bridges: bridges.map(({ device, bus }) => ({ device, bus: populated(bus) })),
  };
}

function functionsOf({ functions, bridges }: BusPlan): PciFunctionDescriptor[] {
  const behind = new Map(bridges.map(({ place, bus }) => [place, bus]));
  return [...functions].map(([place, { descriptor }]) => {
    const bus = behind.get(place);
    return descriptor.kind === 'pcie-root-port' && bus
      ? { ...descriptor, functions: functionsOf(bus) }
      : descriptor;
  });
}

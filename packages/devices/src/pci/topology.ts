import { DeviceError } from '../errors.ts';
import { createWiredOrState } from '../interrupt.ts';
import type { IntxDescriptor, VirtioPciDescriptor } from '../virtio/device.ts';
import type { Doorbell } from '../virtio/transport/virtio-pci.ts';
import { formatPciAddress, type PciAddress, routingId } from './address.ts';
import {
  PCI_BAR_COUNT,
  type PciConfigurationSpace,
  PciConfigurationSpaceBuilder,
  type PciIdentity,
} from './configuration-space.ts';
import type { PvpanicDescriptor } from './pvpanic.ts';
import { pciRootLayout } from './root.ts';

/** A function without BARs or behaviour, as plain data. */
export interface ConfigurationOnlyDescriptor {
  readonly kind: 'configuration-only';
  readonly address: PciAddress;
  readonly space: SharedArrayBuffer;
}

/** A function as plain data, from which each thread attaches its register half. */
export type PciFunctionDescriptor = VirtioPciDescriptor | PvpanicDescriptor | ConfigurationOnlyDescriptor;

/** A root complex as plain data. */
export interface PciRootDescriptor {
  readonly state: SharedArrayBuffer;
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

/** What is plugged into PCI bus 0: gives functions their addresses, interrupts and memory before the guest starts. */
export class PciTopology implements Disposable {
  readonly #state = new SharedArrayBuffer(pciRootLayout.size);
  readonly #descriptors: PciRootDescriptor['functions'][number][] = [];
  readonly #spaces = new Map<number, PciConfigurationSpace>();
  readonly #devices: PciDevice[] = [];
  /** Device numbers that are kept free. */
  readonly #reserved = new Set<number>();
  readonly #routes: InterruptRoute[] = [];
  readonly #intx: readonly IntxDescriptor[];

  /**
   * @param options.intxSources inputs of the interrupt controller for INTx, shared round-robin by the devices; without
   * any, functions have no pin and need MSI-X
   */
  constructor(options: { readonly intxSources?: readonly number[] } = {}) {
    this.#intx = (options.intxSources ?? []).map((source) => ({ source, wire: createWiredOrState() }));
    this.#addConfigurationOnly(HOST_BRIDGE_ADDRESS, HOST_BRIDGE);
  }

  /**
   * Plugs a device in, which is disposed with the topology from now on.
   * @param address the first free device number of bus 0 unless given
   * @throws DeviceError BAD_PCI_FUNCTION when the address is taken or not on bus 0, OUT_OF_SPACE when all are taken
   */
  add(device: PciDevice, address: PciAddress = this.#freeAddress()): PciAddress {
    this.#claim(address, device.space);
    const intx = device.hasInterrupt ? this.#intx[(address.device - 1) % this.#intx.length] : undefined;
    if (intx) {
      const pin = (address.function % 4) + 1;
      device.space.setInterrupt(pin, intx.source);
      this.#routes.push({ address, pin, source: intx.source });
    }
    this.#devices.push(device);
    this.#descriptors.push(device.descriptor(address, intx));
    return address;
  }

  /** Keeps the first free device number of bus 0 free, for what other machines have there. */
  reserve(): void {
    this.#reserved.add(this.#freeAddress().device);
  }

  /**
   * Plugs in a function that only has configuration space, for `--stub-pci-device`.
   * @throws DeviceError BAD_PCI_FUNCTION, OUT_OF_SPACE
   */
  addStub(identity: PciIdentity, address: PciAddress = this.#freeAddress()): PciAddress {
    this.#addConfigurationOnly(address, identity);
    return address;
  }

  /**
   * Gives every BAR an address, as firmware would: 64-bit ones in `high` if there is one, all others in `low`.
   * @throws DeviceError OUT_OF_SPACE
   */
  assignBars(low: PciWindow, high?: PciWindow): void {
    const bars = [...this.#spaces.values()].flatMap((space) =>
      Array.from({ length: PCI_BAR_COUNT }, (_, index) => ({ space, index, size: space.barSize(index) })),
    );
    // Large ones first: then alignment costs nothing.
    bars.sort((a, b) => b.size - a.size);
    const next = new Map<PciWindow, number>();
    for (const { space, index, size } of bars) {
      if (size === 0) continue;
      const window = high && space.isBar64Bit(index) ? high : low;
      const address = Math.ceil((next.get(window) ?? window.start) / size) * size;
      if (address + size > window.start + window.size) {
        throw new DeviceError(
          'OUT_OF_SPACE',
          `The PCI window at 0x${window.start.toString(16)} is too small for a BAR of ${size} bytes: enlarge it.`,
        );
      }
      space.setBarAddress(index, address);
      next.set(window, address + size);
    }
  }

  /** Where the INTx pins lead, in order of the devices. */
  get interruptRoutes(): readonly InterruptRoute[] {
    return this.#routes;
  }

  /** The devices that have a back end, to be served by an IoWorker. */
  get virtioDevices(): readonly VirtioPciDescriptor[] {
    return this.#descriptors.filter((descriptor) => descriptor.kind === 'virtio-pci');
  }

  /** All doorbells of all devices at their present addresses. */
  doorbells(): Doorbell[] {
    return this.#devices.flatMap((device) => device.doorbells?.() ?? []);
  }

  /** Plain data from which each thread attaches its own view. */
  descriptor(): PciRootDescriptor {
    return { state: this.#state, functions: [...this.#descriptors] };
  }

  [Symbol.dispose](): void {
    for (const device of this.#devices.splice(0).reverse()) device[Symbol.dispose]();
  }

  #addConfigurationOnly(address: PciAddress, identity: PciIdentity): void {
    const space = new PciConfigurationSpaceBuilder(identity).build();
    this.#claim(address, space);
    this.#descriptors.push({ kind: 'configuration-only', address, space: space.state });
  }

  #claim(address: PciAddress, space: PciConfigurationSpace): void {
    const id = routingId(address);
    if (address.bus !== 0 || this.#spaces.has(id)) {
      throw new DeviceError(
        'BAD_PCI_FUNCTION',
        `No function can be put at ${formatPciAddress(address)}: choose a free address on bus 0.`,
      );
    }
    this.#spaces.set(id, space);
  }

  #freeAddress(): PciAddress {
    for (let device = 1; device < DEVICES; device++) {
      const address = { bus: 0, device, function: 0 };
      if (!this.#spaces.has(routingId(address)) && !this.#reserved.has(device)) return address;
    }
    throw new DeviceError('OUT_OF_SPACE', `All ${DEVICES} device numbers of PCI bus 0 are taken.`);
  }
}

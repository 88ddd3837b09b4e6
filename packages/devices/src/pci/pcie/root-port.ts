import type { BusAccess } from '../../bus.ts';
import { readAllOnes } from '../../bus.ts';
import type { IntxDescriptor } from '../../interrupt.ts';
import type { PciAddress } from '../address.ts';
import { addBridgeHeader, PciBridgeHeader } from '../bridge-header.ts';
import type { PciBus } from '../bus.ts';
import {
  type PciConfigurationSpace,
  PciConfigurationSpaceBuilder,
  PciHeaderType,
} from '../configuration-space.ts';
import type { PciBridge, PciFunction } from '../function.ts';
import { addMsi } from '../msi.ts';
import type { PciBridgeDevice, PciFunctionDescriptor } from '../topology.ts';
import { addRootPortCapability, PcieRegister } from './capability.ts';
import { type PcieSlot, PRESENCE_DETECT_STATE, pcieSlotLayout } from './slot.ts';

/** A root port as plain data, with what is on the bus behind it. */
export interface PcieRootPortDescriptor {
  readonly kind: 'pcie-root-port';
  readonly address: PciAddress;
  readonly intx: IntxDescriptor | undefined;
  readonly space: SharedArrayBuffer;
  /** Memory of `pcieSlotLayout`. */
  readonly slot: SharedArrayBuffer;
  /** Offsets of the MSI and PCI Express capabilities. */
  readonly msi: number;
  readonly capability: number;
  readonly functions: readonly PciFunctionDescriptor[];
}

/** What crosvm keeps free for cards that come later, 32-bit and prefetchable. */
const HOT_PLUG_MEMORY = 8 * 2 ** 20;
const HOT_PLUG_PREFETCHABLE = 64 * 2 ** 20;

/** A PCI Express root port with a slot, as the thread that builds the machine holds it. */
export class PcieRootPortDevice implements PciBridgeDevice {
  readonly name = 'pcie-root-port';
  readonly hasInterrupt = true;
  readonly hotPlugRoom = { memory: HOT_PLUG_MEMORY, prefetchable: HOT_PLUG_PREFETCHABLE };
  readonly space: PciConfigurationSpace;
  readonly header: PciBridgeHeader;
  readonly #slot = new SharedArrayBuffer(pcieSlotLayout.size);
  readonly #msi: number;
  readonly #capability: number;

  /** @param slotNumber by which the guest names the slot */
  constructor(slotNumber = 0) {
    const space = new PciConfigurationSpaceBuilder(
      { vendorId: 0x8086, deviceId: 0x3420, baseClass: 0x06, subclass: 0x04 },
      PciHeaderType.bridge,
    );
    addBridgeHeader(space);
    this.#msi = addMsi(space);
    this.#capability = addRootPortCapability(space, slotNumber);
    space.addPowerManagement();
    this.space = space.build();
    this.header = new PciBridgeHeader(this.space);
  }

  descriptor(address: PciAddress, intx?: IntxDescriptor): PcieRootPortDescriptor {
    return {
      kind: 'pcie-root-port',
      address,
      intx,
      space: this.space.state,
      slot: this.#slot,
      msi: this.#msi,
      capability: this.#capability,
      functions: [],
    };
  }

  /** The slot has a card from the beginning. */
  populate(): void {
    this.space.changeBits(this.#capability + PcieRegister.slotControl, 0, PRESENCE_DETECT_STATE << 16);
  }

  [Symbol.dispose](): void {}
}

/** The register half of a root port. */
export class PcieRootPortFunction implements PciFunction {
  readonly space: PciConfigurationSpace;
  readonly bridge: PciBridge;
  readonly #slot: PcieSlot;
  readonly #slotControl: number;

  constructor(space: PciConfigurationSpace, slot: PcieSlot, capability: number, secondary: PciBus) {
    this.space = space;
    this.#slot = slot;
    this.#slotControl = capability + PcieRegister.slotControl;
    this.bridge = {
      header: new PciBridgeHeader(space),
      secondary,
      get isConnected() {
        return slot.hasCard;
      },
    };
  }

  readBar(_bar: number, access: BusAccess): void {
    readAllOnes(access);
  }

  writeBar(): void {}

  afterConfigWrite(offset: number, size: number): void {
    // Slot Status is in the same word, and writing that is no command.
    const isCommand = offset < this.#slotControl + 2 && offset + size > this.#slotControl;
    if (isCommand) this.#slot.commandWritten();
    else this.#slot.updateInterrupt();
  }
}

import type { MsiSender } from '../interrupt.ts';
import {
  PciCapabilityId,
  type PciConfigurationSpace,
  type PciConfigurationSpaceBuilder,
} from './configuration-space.ts';

/** Message Control, in the upper half of the capability's first word. */
const ENABLE = 1 << 16;
const ADDRESS_64_BIT = 1 << 7;

/** Offsets in the capability. */
const ADDRESS = 4;
const ADDRESS_UPPER = 8;
const DATA = 12;

/**
 * Adds an MSI capability with one vector, a 64-bit address and no mask (PCI Local Bus 3.0, section 6.8.1).
 * @returns the capability's offset
 * @throws DeviceError OUT_OF_SPACE
 */
export function addMsi(space: PciConfigurationSpaceBuilder): number {
  return space.addCapability(
    PciCapabilityId.msi,
    Uint8Array.of(ADDRESS_64_BIT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    Uint8Array.of(0, 0, 1, 0, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
  );
}

/** A function's MSI capability, usable from any thread. */
export class Msi {
  readonly #space: PciConfigurationSpace;
  readonly #capability: number;
  readonly #sender: MsiSender;
  readonly #requesterId: number;

  constructor(space: PciConfigurationSpace, capability: number, sender: MsiSender, requesterId: number) {
    this.#space = space;
    this.#capability = capability;
    this.#sender = sender;
    this.#requesterId = requesterId;
  }

  /** Whether the guest uses it instead of INTx. */
  get enabled(): boolean {
    return (this.#space.readWord(this.#capability) & ENABLE) !== 0;
  }

  /** Sends the message, if the guest uses it. */
  signal(): void {
    if (!this.enabled) return;
    const word = (offset: number) => this.#space.readWord(this.#capability + offset);
    this.#sender.send(word(ADDRESS), word(ADDRESS_UPPER), word(DATA) & 0xffff, this.#requesterId);
  }
}

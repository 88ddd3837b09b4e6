import { atomic, i32, struct } from '@tsvmm/struct';
import { type BusAccess, readAllOnes } from '../bus.ts';
import type { PciAddress } from './address.ts';
import { type PciConfigurationSpace, PciConfigurationSpaceBuilder } from './configuration-space.ts';
import type { PciFunction } from './function.ts';
import type { PciDevice } from './topology.ts';

/** Events, as bits (QEMU's docs/specs/pvpanic.rst). */
export const PvpanicEvent = {
  /** The guest's kernel panicked, and what follows is the host's to decide. */
  panicked: 1 << 0,
  /** It panicked, and its crash kernel takes over. */
  crashLoaded: 1 << 1,
} as const;

const SUPPORTED = PvpanicEvent.panicked | PvpanicEvent.crashLoaded;
const BAR = 0;
const BAR_LENGTH = 0x10;

const layout = struct({ events: atomic(i32) }, { name: 'pvpanic', version: 1 });

/** A pvpanic device as plain data. */
export interface PvpanicDescriptor {
  readonly kind: 'pvpanic';
  readonly address: PciAddress;
  readonly space: SharedArrayBuffer;
  readonly state: SharedArrayBuffer;
}

/** By which a guest says that its kernel panicked: as the thread that builds the machine holds it. */
export class PvpanicDevice implements PciDevice {
  readonly name = 'pvpanic';
  readonly hasInterrupt = false;
  readonly space: PciConfigurationSpace;
  readonly #shared = new SharedArrayBuffer(layout.size);
  readonly #state = layout.attach(this.#shared);

  constructor() {
    const space = new PciConfigurationSpaceBuilder({
      vendorId: 0x1b36,
      deviceId: 0x0011,
      revisionId: 1,
      baseClass: 0xff,
      subclass: 0xff,
    });
    space.addBar({ index: BAR, size: BAR_LENGTH });
    this.space = space.build();
  }

  /** What the guest has told, as bits of {@link PvpanicEvent}. */
  get events(): number {
    return this.#state.events.load();
  }

  descriptor(address: PciAddress): PvpanicDescriptor {
    return { kind: 'pvpanic', address, space: this.space.state, state: this.#shared };
  }

  [Symbol.dispose](): void {}
}

/** The register half: one byte, which reads as the events there are and takes those that happened. */
export class PvpanicFunction implements PciFunction {
  readonly space: PciConfigurationSpace;
  readonly #state;

  constructor(space: PciConfigurationSpace, state: SharedArrayBuffer) {
    this.space = space;
    this.#state = layout.attach(state);
  }

  readBar(_bar: number, access: BusAccess): void {
    if (access.offset === 0) access.low = SUPPORTED;
    else readAllOnes(access);
  }

  writeBar(_bar: number, access: BusAccess): void {
    if (access.offset === 0) this.#state.events.or(access.low & SUPPORTED);
  }
}

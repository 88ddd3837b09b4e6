import type { GuestMemory } from '@tsvmm/vm-memory';
import { TRB_LENGTH, Trb, TrbType } from './constants.ts';

/** A ring or structure of the driver's that no controller could follow: it stops with a host system error. */
export class XhciFault extends Error {
  override readonly name = 'XhciFault';
}

/** A transfer request block, read once. */
export interface TransferRequestBlock {
  readonly address: number;
  readonly parameterLow: number;
  readonly parameterHigh: number;
  readonly status: number;
  readonly control: number;
  readonly type: number;
}

/** Where a consumer is in a ring (section 4.9.2): what has another cycle bit is not for it yet. */
export interface RingPosition {
  readonly address: number;
  readonly cycle: number;
}

/** Links that may follow each other: segments without anything in them are of no use. */
const MAX_LINKS = 32;

/** A TRB's parameter as an address. */
export function parameterOf({ parameterLow, parameterHigh }: TransferRequestBlock): number {
  return parameterHigh * 2 ** 32 + parameterLow;
}

/** Goes along a ring: links are followed, and do not show. */
export class RingReader {
  readonly #memory: GuestMemory;
  #address: number;
  #cycle: number;

  constructor(memory: GuestMemory, { address, cycle }: RingPosition) {
    this.#memory = memory;
    this.#address = address;
    this.#cycle = cycle;
  }

  /** Behind what was taken. */
  get position(): RingPosition {
    return { address: this.#address, cycle: this.#cycle };
  }

  /**
   * Takes the next TRB; undefined when the driver has put no more there.
   * @throws XhciFault for links that lead nowhere
   * @throws GuestMemoryError for a ring that is not in RAM
   */
  take(): TransferRequestBlock | undefined {
    const memory = this.#memory;
    for (let links = 0; links < MAX_LINKS; links++) {
      const address = this.#address;
      // What the driver wrote before it turned the cycle bit is there, too.
      const control = memory.loadUint32(address + 12);
      if ((control & Trb.cycle) !== this.#cycle) return undefined;
      const parameterLow = memory.readUint32(address);
      const parameterHigh = memory.readUint32(address + 4);
      const type = (control >>> Trb.typeShift) & Trb.typeMask;
      if (type !== TrbType.link) {
        this.#address += TRB_LENGTH;
        return {
          address,
          parameterLow,
          parameterHigh,
          status: memory.readUint32(address + 8),
          control,
          type,
        };
      }
      this.#address = parameterHigh * 2 ** 32 + ((parameterLow & ~0xf) >>> 0);
      if ((control & Trb.toggleCycle) !== 0) this.#cycle ^= 1;
    }
    throw new XhciFault(`more than ${MAX_LINKS} link TRBs follow each other`);
  }
}

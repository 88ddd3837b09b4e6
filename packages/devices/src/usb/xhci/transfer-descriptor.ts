import type { GuestMemory } from '@tsvmm/vm-memory';
import type { UsbTransfer } from '../device.ts';
import { Trb, TrbType } from './constants.ts';
import { parameterOf, type TransferRequestBlock } from './trb-ring.ts';

/** Bits of a TRB's status word that are its length. */
const TRANSFER_LENGTH = 0x1_ffff;
const MAX_IMMEDIATE = 8;

/** Bytes of data that a TRB has. */
export function dataLength({ type, status, control }: TransferRequestBlock): number {
  if (type !== TrbType.normal && type !== TrbType.dataStage) return 0;
  const length = status & TRANSFER_LENGTH;
  return (control & Trb.immediateData) !== 0 ? Math.min(length, MAX_IMMEDIATE) : length;
}

/** How a transfer descriptor ended, by its device. */
export type TransferEnd = (status: 'success' | 'stall', length: number) => void;

/** A transfer's data in guest memory: what its TRBs point to, checked once. */
export class TransferDescriptor implements UsbTransfer {
  readonly length: number;
  /** Pairs of position in guest memory's host bytes and length. */
  readonly #pieces: readonly (readonly [position: number, length: number])[];
  readonly #memory: GuestMemory;
  readonly #isIn: boolean;
  #onEnd: TransferEnd | undefined;

  /** @throws GuestMemoryError for data that is not in RAM */
  constructor(memory: GuestMemory, trbs: readonly TransferRequestBlock[], isIn: boolean, onEnd: TransferEnd) {
    this.#memory = memory;
    this.#isIn = isIn;
    this.#onEnd = onEnd;
    const data = trbs.filter((trb) => dataLength(trb) > 0);
    this.#pieces = data.map((trb) => {
      const length = dataLength(trb);
      // Immediate data are where the pointer to them would be.
      const address = (trb.control & Trb.immediateData) !== 0 ? trb.address : parameterOf(trb);
      return [memory.hostOffset(address, length), length];
    });
    this.length = this.#pieces.reduce((sum, [, length]) => sum + length, 0);
  }

  read(target: Uint8Array, offset = 0): number {
    if (this.#isIn) return 0;
    const { hostBytes } = this.#memory;
    return this.#forEachPiece(target.length, offset, (position, done, length) => {
      target.set(hostBytes.subarray(position, position + length), done);
    });
  }

  write(source: Uint8Array, offset = 0): number {
    if (!this.#isIn) return 0;
    const { hostBytes } = this.#memory;
    return this.#forEachPiece(source.length, offset, (position, done, length) => {
      hostBytes.set(source.subarray(done, done + length), position);
    });
  }

  complete(status: 'success' | 'stall', length = this.length): void {
    const onEnd = this.#onEnd;
    this.abandon();
    onEnd?.(status, Math.max(0, Math.min(length, this.length)));
  }

  /** Whatever the device does with it from now on has no effect. */
  abandon(): void {
    this.#onEnd = undefined;
  }

  #forEachPiece(
    count: number,
    offset: number,
    move: (position: number, done: number, length: number) => void,
  ): number {
    if (this.#onEnd === undefined) return 0;
    let skip = offset;
    let done = 0;
    for (const [position, length] of this.#pieces) {
      if (done === count) break;
      const from = Math.min(skip, length);
      skip -= from;
      const part = Math.min(length - from, count - done);
      if (part > 0) move(position + from, done, part);
      done += part;
    }
    return done;
  }
}

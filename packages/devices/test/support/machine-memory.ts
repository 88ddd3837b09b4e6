import { GuestMemory, type GuestMemoryDescriptor } from '@tsvmm/vm-memory';
import type { DeviceInterrupts } from '../../src/index.ts';

/** Where the guest's memory starts. */
export const RAM = 0x8000_0000;
/** The address to which the guest's MSI-X vectors write; the data says which one it is. */
export const MSI_ADDRESS = 0x2800_0000;
const MESSAGES = 32;
/** The word with the requester id of the last message. */
const REQUESTER = 63;

/** What all threads of a test machine share, as plain data. */
export interface SharedMachine {
  readonly memory: GuestMemoryDescriptor;
  /** How often each MSI message number, and from 32 on each interrupt line, was raised; then who sent one last. */
  readonly interrupts: SharedArrayBuffer;
}

export function createSharedMachine(size = 16 * 2 ** 20) {
  const memory = GuestMemory.create({ regions: [{ base: RAM, size }] });
  const shared: SharedMachine = { memory: memory.descriptor(), interrupts: new SharedArrayBuffer(4 * 64) };
  return { memory, shared };
}

/** An interrupt controller that counts messages, and shows the level of lines. */
export function attachInterrupts(shared: SharedMachine): DeviceInterrupts {
  const counts = new Int32Array(shared.interrupts);
  return {
    msi: {
      send(addressLow, addressHigh, data, requesterId) {
        if (addressLow !== MSI_ADDRESS || addressHigh !== 0 || data >= MESSAGES) {
          throw new Error(`MSI to ${addressHigh}:${addressLow} with ${data}`);
        }
        Atomics.store(counts, REQUESTER, requesterId);
        Atomics.add(counts, data, 1);
        Atomics.notify(counts, data);
      },
    },
    line: (source) => ({
      set(level) {
        Atomics.store(counts, MESSAGES + source, level ? 1 : 0);
        Atomics.notify(counts, MESSAGES + source);
      },
    }),
  };
}

/** What the guest knows about interrupts. */
export class InterruptCounts {
  readonly #counts: Int32Array;
  constructor(shared: SharedMachine) {
    this.#counts = new Int32Array(shared.interrupts);
  }
  message(data: number): number {
    return Atomics.load(this.#counts, data);
  }
  /** Who sent the last message. */
  get requesterId(): number {
    return Atomics.load(this.#counts, REQUESTER);
  }
  line(source: number): boolean {
    return Atomics.load(this.#counts, MESSAGES + source) === 1;
  }
  /** Resolves once message `data` has come more than `seen` times. */
  async nextMessage(data: number, seen: number): Promise<void> {
    while (this.message(data) <= seen) await Atomics.waitAsync(this.#counts, data, seen).value;
  }
  async lineIs(source: number, level: boolean): Promise<void> {
    while (this.line(source) !== level) {
      await Atomics.waitAsync(this.#counts, MESSAGES + source, level ? 0 : 1).value;
    }
  }
}

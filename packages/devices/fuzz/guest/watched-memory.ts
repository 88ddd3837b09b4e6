import { GuestMemory } from '@tsvmm/vm-memory';
import { RAM } from '../../test/support/machine-memory.ts';
import { RAM_SIZE } from './layout.ts';

/** Bytes in front of the guest's memory and behind it that nobody may touch. */
const GUARD = 0x1_0000;
const CANARY = 0xa5;
const PAGE = 4096;

/**
 * A guest's memory between two guards, that says when something was written which no descriptor allowed to be: bytes are
 * compared with those before the device was served.
 */
export class WatchedMemory implements Disposable {
  readonly memory: GuestMemory;
  readonly #all: GuestMemory;
  /** All of the buffer, guards included. */
  readonly #bytes: Buffer;
  readonly #before: Buffer;
  /** A byte of the buffer each: 1 where the device may write. */
  readonly #allowed: Uint8Array;

  constructor() {
    this.#all = GuestMemory.create({ regions: [{ base: 0, size: RAM_SIZE + 2 * GUARD }] });
    const { buffer } = this.#all;
    this.memory = GuestMemory.attach({
      kind: 'thread',
      regions: [{ base: RAM, size: RAM_SIZE }],
      buffer,
      memoryOffset: GUARD,
    });
    this.#bytes = Buffer.from(buffer, 0, RAM_SIZE + 2 * GUARD);
    this.#before = Buffer.alloc(this.#bytes.length);
    this.#allowed = new Uint8Array(this.#bytes.length);
    this.clear();
  }

  /** As new: zero, and nothing of it may be written. */
  clear(): void {
    this.#bytes.fill(CANARY).fill(0, GUARD, GUARD + RAM_SIZE);
    this.#allowed.fill(0);
  }

  /** The device may write these bytes, as far as they are memory, until {@link forbidAll}. */
  allow(address: number, length: number): void {
    const start = Math.max(address, RAM);
    const end = Math.min(address + length, RAM + RAM_SIZE);
    if (end > start) this.#allowed.fill(1, GUARD + start - RAM, GUARD + end - RAM);
  }

  /** The device has let go of everything that it was given. */
  forbidAll(): void {
    this.#allowed.fill(0);
  }

  /** What is there now is not the device's doing. */
  remember(): void {
    this.#bytes.copy(this.#before);
  }

  /**
   * @param mayDiscard whether pages may have become zero
   * @throws Error that names the first byte which was written without leave since {@link remember}
   */
  check(mayDiscard: boolean): void {
    if (this.#bytes.equals(this.#before)) return;
    for (let page = 0; page < this.#bytes.length; page += PAGE) this.#checkPage(page, mayDiscard);
    this.remember();
  }

  #checkPage(page: number, mayDiscard: boolean): void {
    const now = this.#bytes.subarray(page, page + PAGE);
    const before = this.#before.subarray(page, page + PAGE);
    if (now.equals(before)) return;
    const isGuard = page < GUARD || page >= GUARD + RAM_SIZE;
    if (mayDiscard && !isGuard && now.every((byte) => byte === 0)) return;
    for (let at = 0; at < PAGE; at++) {
      if (now[at] === before[at] || this.#allowed[page + at] === 1) continue;
      const where = isGuard ? 'outside of memory' : 'in memory';
      const address = (RAM - GUARD + page + at).toString(16);
      throw new Error(
        `${where}, the byte at 0x${address} became ${now[at]} (from ${before[at]}): no descriptor allowed that`,
      );
    }
  }

  [Symbol.dispose](): void {
    this.#all[Symbol.dispose]();
  }
}

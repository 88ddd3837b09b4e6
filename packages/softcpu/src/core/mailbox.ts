import { HartBlock, Request } from './layout.ts';
import type { SoftMemory } from './memory.ts';

/** What waits in a mailbox: the union of what was posted. */
export interface Mail {
  readonly instruction: boolean;
  /** A range of virtual pages; `pages` is `Infinity` for all. */
  readonly addressSpace: { readonly page: number; readonly pages: number } | undefined;
}

/** Words of a mailbox: lock, what is in it, numbers of the last letter and the last one answered, range of pages. */
const Word = { lock: 0, kinds: 1, posted: 2, done: 3, pageLow: 4, pageHigh: 5, pages: 6 } as const;

const INSTRUCTION = 1;
const RANGE = 2;
const EVERYTHING = 4;
/** Ranges longer than this are everything. */
const MOST_PAGES = 0xffff;

const TWO_32 = 0x1_0000_0000;
/** A wait that is interrupted so that the own mailbox is looked after. */
const PATIENCE_MS = 0.2;

/**
 * Fences that harts ask of each other, in the target's block: letters that are not yet served merge, the sender waits for the
 * number of its letter to be answered. A hart that idles need not answer, since it serves its mailbox before it goes on.
 */
export class Mailbox {
  readonly #memory: SoftMemory;
  readonly #offset: number;

  /** @param offset of the mailbox in every hart's block, a multiple of 4; it is 32 bytes long */
  constructor(memory: SoftMemory, offset: number) {
    this.#memory = memory;
    this.#offset = offset;
  }

  /** Puts a fence into a hart's mailbox and tells it. @returns the letter's number, for {@link isDone}. */
  post(
    hart: number,
    fence: { kind: 'instruction' } | { kind: 'address-space'; page: number; pages: number },
  ): number {
    const { i32 } = this.#memory;
    const base = this.#base(hart);
    this.#lock(base);
    const kinds = i32[base + Word.kinds] ?? 0;
    if (fence.kind === 'instruction') {
      i32[base + Word.kinds] = kinds | INSTRUCTION;
    } else if ((kinds & (RANGE | EVERYTHING)) !== 0 || fence.pages > MOST_PAGES) {
      i32[base + Word.kinds] = (kinds & ~RANGE) | EVERYTHING;
    } else {
      i32[base + Word.kinds] = kinds | RANGE;
      i32[base + Word.pageLow] = (fence.page % TWO_32) | 0;
      i32[base + Word.pageHigh] = Math.floor(fence.page / TWO_32);
      i32[base + Word.pages] = fence.pages;
    }
    const number = ((i32[base + Word.posted] ?? 0) + 1) | 0;
    i32[base + Word.posted] = number;
    this.#unlock(base);
    this.#memory.request(hart, Request.fence);
    return number;
  }

  /** Empties the hart's own mailbox. `serve` does what it says; senders go on when it returns. */
  serve(hart: number, serve: (mail: Mail) => void): void {
    const { i32 } = this.#memory;
    const base = this.#base(hart);
    this.#lock(base);
    const kinds = i32[base + Word.kinds] ?? 0;
    const number = i32[base + Word.posted] ?? 0;
    const page = ((i32[base + Word.pageLow] ?? 0) >>> 0) + (i32[base + Word.pageHigh] ?? 0) * TWO_32;
    const pages = i32[base + Word.pages] ?? 0;
    i32[base + Word.kinds] = 0;
    this.#unlock(base);
    serve({
      instruction: (kinds & INSTRUCTION) !== 0,
      addressSpace:
        (kinds & EVERYTHING) !== 0
          ? { page: 0, pages: Infinity }
          : (kinds & RANGE) !== 0
            ? { page, pages }
            : undefined,
    });
    Atomics.store(i32, base + Word.done, number);
    Atomics.notify(i32, base + Word.done);
  }

  /** Waits until a hart has answered a letter or idles; `meanwhile` is called again and again. */
  wait(hart: number, number: number, meanwhile: () => void): void {
    const { i32 } = this.#memory;
    const done = this.#base(hart) + Word.done;
    const idle = (this.#memory.hartBlock(hart) + HartBlock.idle) >>> 2;
    for (;;) {
      const answered = Atomics.load(i32, done);
      if (((answered - number) | 0) >= 0 || Atomics.load(i32, idle) !== 0) {
        return;
      }
      meanwhile();
      Atomics.wait(i32, done, answered, PATIENCE_MS);
    }
  }

  #base(hart: number): number {
    return (this.#memory.hartBlock(hart) + this.#offset) >>> 2;
  }

  #lock(base: number): void {
    while (Atomics.compareExchange(this.#memory.i32, base + Word.lock, 0, 1) !== 0) {
      Atomics.wait(this.#memory.i32, base + Word.lock, 1, PATIENCE_MS);
    }
  }

  #unlock(base: number): void {
    Atomics.store(this.#memory.i32, base + Word.lock, 0);
    Atomics.notify(this.#memory.i32, base + Word.lock, 1);
  }
}

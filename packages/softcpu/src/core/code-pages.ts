import { HartBlock, PAGE_SIZE } from './layout.ts';
import type { SoftMemory } from './memory.ts';
import { createPageComparison, type PageComparison } from './page-comparison.ts';

/** Bytes of a decoded entry. */
const ENTRY_SIZE = 8;
const ENTRIES_SIZE = (PAGE_SIZE / 2) * ENTRY_SIZE;

/** A decoded page: an entry for each two bytes of code, and one that leads to the next page. */
export const DecodedPage = {
  entries: 0,
  /** Number of the guest-physical page (u32). */
  physicalPage: ENTRIES_SIZE + 8,
  /** The code that the entries were made of: a copy of the page. */
  code: ENTRIES_SIZE + 64,
} as const;

const SLOT_SIZE = DecodedPage.code + PAGE_SIZE;

/** What is told of decoded pages. */
export interface CodePageListener {
  /** The code of a physical page changed; its entries are fresh. */
  changed(physicalPage: number): void;
  /** All pages were dropped: the space for them was full. Code TLBs must be flushed. */
  flushed(): void;
}

/**
 * The decoded code pages of a hart, by physical page. Pages are dropped all at once when there is no room for another, which
 * needs no bookkeeping and happens when a guest has executed more code than fits.
 *
 * A page is decoded from a copy of its code, made when the page is first entered, and compared with memory when it is entered
 * for the first time after {@link invalidate}: RISC-V promises no more (Zifencei).
 */
export class CodePages {
  readonly #memory: SoftMemory;
  readonly #listener: CodePageListener;
  readonly #first: number;
  readonly #capacity: number;
  readonly #pageEnd: number;
  readonly #slots = new Map<number, number>();
  readonly #pages: number[] = [];
  readonly #generations: number[] = [];
  readonly #isEqual: PageComparison;
  #generation = 0;

  /**
   * @param pageEnd number of the operation that leads to the next page
   */
  constructor(memory: SoftMemory, block: number, pageEnd: number, listener: CodePageListener) {
    this.#memory = memory;
    this.#listener = listener;
    this.#first = block + HartBlock.decodedPages;
    this.#capacity = Math.floor((memory.hartStride - HartBlock.decodedPages) / SLOT_SIZE);
    this.#pageEnd = pageEnd;
    this.#isEqual = createPageComparison(memory.memory);
  }

  /** `fence.i`: code may have changed. The caller flushes the code TLBs, so that every page is entered anew. */
  invalidate(): void {
    this.#generation++;
  }

  /**
   * @param page physical page number, of RAM
   * @returns the address of the decoded page
   */
  enter(page: number): number {
    const slot = this.#slots.get(page);
    if (slot === undefined) {
      return this.#add(page);
    }
    if (this.#generations[slot] !== this.#generation) {
      this.#generations[slot] = this.#generation;
      if (!this.#isUnchanged(slot, page)) {
        this.#fill(slot, page);
        this.#listener.changed(page);
      }
    }
    return this.#address(slot);
  }

  /** Address of a physical page's decoded page, if there is one that is known to be up to date. */
  find(page: number): number | undefined {
    const slot = this.#slots.get(page);
    return slot !== undefined && this.#generations[slot] === this.#generation
      ? this.#address(slot)
      : undefined;
  }

  /** Whether an entry's address is that of an entry of a page. */
  owns(entry: number): boolean {
    return entry >= this.#first && entry < this.#address(this.#pages.length);
  }

  /** Physical page of an entry that is {@link owns owned}. */
  pageOf(entry: number): number {
    return this.#pages[this.#slotOf(entry)] ?? 0;
  }

  /** Offset in its page of the instruction of an entry. */
  offsetOf(entry: number): number {
    return ((entry - this.#first) % SLOT_SIZE) / (ENTRY_SIZE / 2);
  }

  /** The four bytes of code at an entry, or the two that are left of the page. */
  wordAt(entry: number): number {
    const offset = this.offsetOf(entry);
    const half = (this.#address(this.#slotOf(entry)) + DecodedPage.code + offset) >>> 1;
    const low = this.#memory.u16[half] ?? 0;
    return offset + 2 < PAGE_SIZE ? low | ((this.#memory.u16[half + 1] ?? 0) << 16) : low;
  }

  #address(slot: number): number {
    return this.#first + slot * SLOT_SIZE;
  }

  #slotOf(entry: number): number {
    return Math.floor((entry - this.#first) / SLOT_SIZE);
  }

  #add(page: number): number {
    if (this.#pages.length === this.#capacity) {
      this.#slots.clear();
      this.#pages.length = 0;
      this.#generations.length = 0;
      this.#listener.flushed();
    }
    const slot = this.#pages.length;
    this.#pages.push(page);
    this.#generations.push(this.#generation);
    this.#slots.set(page, slot);
    this.#fill(slot, page);
    return this.#address(slot);
  }

  #codeOffset(page: number): number {
    return this.#memory.offsetOf(page * PAGE_SIZE);
  }

  #fill(slot: number, page: number): void {
    const { bytes, u16, u32 } = this.#memory;
    const address = this.#address(slot);
    bytes.fill(0, address, address + DecodedPage.code);
    u16[(address + ENTRIES_SIZE) >>> 1] = this.#pageEnd;
    u32[(address + DecodedPage.physicalPage) >>> 2] = page;
    const code = this.#codeOffset(page);
    bytes.copyWithin(address + DecodedPage.code, code, code + PAGE_SIZE);
  }

  #isUnchanged(slot: number, page: number): boolean {
    return this.#isEqual(this.#address(slot) + DecodedPage.code, this.#codeOffset(page));
  }
}

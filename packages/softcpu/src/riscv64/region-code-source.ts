import { DecodedPage } from '../core/code-pages.ts';
import { HartBlock, PAGE_SIZE } from '../core/layout.ts';
import type { SoftMemory } from '../core/memory.ts';
import type { GuestPage } from '../core/region/control-flow.ts';
import type { CodeSource } from '../core/region/translation.ts';
import { CODE_TLB_ENTRIES, CODE_TLB_ENTRY_SIZE, CODE_TLB_SIZE, CodeTlbEntry } from '../core/tlb.ts';
import { DECODE } from './entry-operations.ts';

const PAGES_PER_HIGH_WORD = 0x1_0000_0000 / PAGE_SIZE;

/**
 * Guest code as a hart sees it, read from its block while it runs on another thread: its code TLB says where pages are, and
 * the decoded pages have copies of the code they were made of. What is read in the middle of a change is wrong, and found to
 * be when regions are installed and verified.
 */
export class RiscvCodeSource implements CodeSource {
  readonly #memory: SoftMemory;

  constructor(memory: SoftMemory) {
    this.#memory = memory;
  }

  page(hart: number, privilege: number, virtualPage: number): GuestPage | undefined {
    const { u16, u32, bytes } = this.#memory;
    const low = (virtualPage % PAGES_PER_HIGH_WORD) * PAGE_SIZE;
    const high = Math.floor(virtualPage / PAGES_PER_HIGH_WORD);
    const tlb = this.#memory.hartBlock(hart) + HartBlock.codeTlbs + privilege * CODE_TLB_SIZE;
    const entry = (tlb + (virtualPage % CODE_TLB_ENTRIES) * CODE_TLB_ENTRY_SIZE) >>> 2;
    const tag = entry + (CodeTlbEntry.tag >>> 2);
    if (u32[tag] !== low || u32[tag + 1] !== high) {
      return undefined;
    }
    const decoded = u32[entry + (CodeTlbEntry.page >>> 2)] ?? 0;
    const code = decoded + DecodedPage.code;
    return {
      physicalPage: u32[(decoded + DecodedPage.physicalPage) >>> 2] ?? 0,
      bytes: bytes.subarray(code, code + PAGE_SIZE),
      wasReached: (offset) => u16[(decoded + offset * 4) >>> 1] !== DECODE,
    };
  }
}

import type { CodePages } from '../core/code-pages.ts';
import { HartBlock, PAGE_SIZE } from '../core/layout.ts';
import type { RegionModuleImports } from '../core/region/module.ts';
import type { RegionHart } from '../core/region/region-installer.ts';
import { CODE_TLB_ENTRIES, CODE_TLB_ENTRY_SIZE, CodeTlbEntry } from '../core/tlb.ts';
import { RiscvBlock } from './block.ts';
import { DECODE, REGION } from './entry-operations.ts';
import { FLOAT_HELPERS } from './float/signatures.ts';
import type { Hart } from './hart.ts';
import type { InterpreterExports } from './interpreter.ts';
import { Access } from './page-walk.ts';

const TWO_32 = 0x1_0000_0000;
const PAGES_PER_HIGH_WORD = TWO_32 / PAGE_SIZE;
/** Bytes of decoded entries for each byte of code. */
const ENTRY_BYTES_PER_CODE_BYTE = 4;

/** What regions need of an RV64 hart. */
export class RiscvRegionHart implements RegionHart {
  readonly id: number;
  readonly memory: Hart['memory'];
  readonly block: number;
  readonly regionImports: RegionModuleImports;
  readonly regionOperation = REGION;
  readonly decodeOperation = DECODE;
  readonly #codePages: CodePages;
  readonly #interpreter: InterpreterExports;

  constructor(hart: Hart) {
    this.id = hart.id;
    this.memory = hart.memory;
    this.block = hart.block;
    this.#codePages = hart.codePages;
    this.#interpreter = hart.exports as unknown as InterpreterExports;
    this.regionImports = {
      hart: { memory: hart.memory.memory, table: hart.regions },
      helper: Object.fromEntries(
        Object.keys(FLOAT_HELPERS).map((name) => [name, hart.exports[name] as WebAssembly.ExportValue]),
      ),
    };
  }

  decodedEntry(physicalAddress: number): number {
    const page = this.#codePages.find(Math.floor(physicalAddress / PAGE_SIZE));
    return page === undefined ? 0 : page + (physicalAddress % PAGE_SIZE) * ENTRY_BYTES_PER_CODE_BYTE;
  }

  codePage(virtualPage: number): number {
    const { u32 } = this.memory;
    const low = (virtualPage % PAGES_PER_HIGH_WORD) * PAGE_SIZE;
    const high = Math.floor(virtualPage / PAGES_PER_HIGH_WORD);
    const tlb = u32[(this.block + HartBlock.codeTlb) >>> 2] ?? 0;
    const entry = (tlb + (virtualPage % CODE_TLB_ENTRIES) * CODE_TLB_ENTRY_SIZE) >>> 2;
    const tag = entry + (CodeTlbEntry.tag >>> 2);
    if (u32[tag] === low && u32[tag + 1] === high) {
      return this.#codePages.pageOf(u32[entry + (CodeTlbEntry.page >>> 2)] ?? 0);
    }
    const argument = (this.block + RiscvBlock.csrValue) >>> 2;
    u32[argument] = low;
    u32[argument + 1] = high;
    if (this.#interpreter.translate(this.block, Access.execute) === 0) {
      return -1;
    }
    const result = (this.block + RiscvBlock.physicalAddress) >>> 2;
    const physicalAddress = (u32[result + 1] ?? 0) * TWO_32 + (u32[result] ?? 0);
    if (this.memory.offsetOf(physicalAddress) < 0) {
      return -1;
    }
    const page = Math.floor(physicalAddress / PAGE_SIZE);
    this.#codePages.enter(page);
    return page;
  }
}

import { HartBlock, PAGE_SIZE } from '../layout.ts';
import type { SoftMemory } from '../memory.ts';
import type { RegionPage } from './control-flow.ts';
import { JUMP_CACHE_ENTRIES, JUMP_CACHE_ENTRY_SIZE, JumpCacheEntry, jumpCacheOffset } from './jump-cache.ts';
import type { RegionModuleImports } from './module.ts';
import { REGION_RECORD_SIZE, RegionRecord } from './region-table.ts';
import type { BatchRegion, TranslationBackend, TranslationBatch, TranslationResult } from './translation.ts';

/** What regions need of a hart, on its thread. */
export interface RegionHart {
  readonly id: number;
  readonly memory: SoftMemory;
  /** Address of the hart's block. */
  readonly block: number;
  /** What regions are instantiated with; index 0 of the table stays empty. */
  readonly regionImports: RegionModuleImports;
  /** Number of the operation of decoded entries that enters a region. */
  readonly regionOperation: number;
  /** Number of the operation that decodes: an entry with it was never executed. */
  readonly decodeOperation: number;
  /** Address of the decoded entry of the instruction at a guest-physical address, or 0 if its page is not decoded. */
  decodedEntry(physicalAddress: number): number;
  /**
   * Number of the physical page that a virtual page maps to for execution at the present privilege, if that page is decoded
   * and its decoded entries are known to be up to date; -1 otherwise. Raises nothing.
   */
  codePage(virtualPage: number): number;
}

export interface RegionInstallerOptions {
  /** Bytes of WebAssembly that a hart keeps; the oldest modules go first. Default 24 MiB. */
  readonly maximumCodeSize?: number;
}

/** Regions a hart can have at a time: the records of its block. */
const MAXIMUM_REGIONS = 65_536;
const DEFAULT_MAXIMUM_CODE_SIZE = 24 << 20;
/** Verifications in a row that may fail before a region is given up, so that one for today's mappings is made. */
const MAXIMUM_FAILED_VERIFICATIONS = 16;

interface Module {
  readonly id: number;
  readonly codeSize: number;
  readonly instance: WebAssembly.Instance;
  readonly regions: Set<InstalledRegion>;
}

interface InstalledRegion {
  readonly physicalAddress: number;
  /** Number of the record, and of the function in the table less one. */
  readonly number: number;
  /** Address of the decoded entry that it replaced. */
  readonly decodedEntry: number;
  readonly pages: readonly RegionPage[];
  readonly module: Module;
  failedVerifications: number;
}

/** A hart's regions: asks for them, installs what comes back, and removes what is no longer right. */
export class RegionInstaller {
  readonly #hart: RegionHart;
  readonly #backend: TranslationBackend;
  readonly #maximumCodeSize: number;
  /** Asked for, or known to be hopeless, by guest-physical address. */
  readonly #asked = new Set<number>();
  readonly #modules = new Map<number, Module>();
  readonly #regions: (InstalledRegion | undefined)[] = [];
  readonly #freeNumbers: number[] = [];
  readonly #byPage = new Map<number, Set<InstalledRegion>>();
  readonly #changedAt = new Map<number, number>();
  #codeSize = 0;
  #clock = 0;
  #flushedAt = 0;

  constructor(hart: RegionHart, backend: TranslationBackend, options: RegionInstallerOptions = {}) {
    this.#hart = hart;
    this.#backend = backend;
    this.#maximumCodeSize = options.maximumCodeSize ?? DEFAULT_MAXIMUM_CODE_SIZE;
    this.#clearJumpCache();
  }

  /** Number of regions that are installed, and bytes of WebAssembly of the modules they are in. */
  get statistics(): { readonly regions: number; readonly codeSize: number } {
    return { regions: this.#regions.length - this.#freeNumbers.length, codeSize: this.#codeSize };
  }

  /** A jump target became hot. */
  hot(code: {
    readonly physicalAddress: number;
    readonly virtualPage: number;
    readonly privilege: number;
  }): void {
    const { physicalAddress, virtualPage, privilege } = code;
    if (this.#asked.has(physicalAddress)) {
      return;
    }
    this.#asked.add(physicalAddress);
    const { id: hart } = this.#hart;
    this.#backend.request({ hart, physicalAddress, virtualPage, privilege, sequence: this.#clock });
  }

  /** The translator has results. */
  translated(): void {
    for (let result = this.#backend.take(); result !== undefined; result = this.#backend.take()) {
      this.#accept(result);
    }
  }

  /**
   * Whether a region may be entered although mappings changed since its pages were last verified.
   *
   * @param record offset of its record in the WebAssembly memory.
   * @param basePage number of the virtual page that its offsets count from.
   */
  verify(record: number, basePage: number): boolean {
    const number = (record - this.#hart.block - HartBlock.regionTable) / REGION_RECORD_SIZE;
    const region = this.#regions[number];
    if (region === undefined) {
      return false;
    }
    for (const { pageOffset, physicalPage } of region.pages) {
      if (this.#hart.codePage(basePage + pageOffset) !== physicalPage) {
        if (++region.failedVerifications > MAXIMUM_FAILED_VERIFICATIONS) {
          this.#asked.delete(region.physicalAddress);
          this.#remove([region]);
        }
        return false;
      }
    }
    // Looking pages up may have found changed code, and removed the region.
    if (this.#regions[number] !== region) {
      return false;
    }
    region.failedVerifications = 0;
    this.#markVerified(region, record, basePage);
    return true;
  }

  /** The code of a physical page changed: its decoded entries are gone already. */
  pageChanged(physicalPage: number): void {
    this.#changedAt.set(physicalPage, ++this.#clock);
    for (const address of this.#asked) {
      if (Math.floor(address / PAGE_SIZE) === physicalPage) {
        this.#asked.delete(address);
      }
    }
    const regions = this.#byPage.get(physicalPage);
    if (regions !== undefined) {
      for (const { physicalAddress } of regions) {
        this.#asked.delete(physicalAddress);
      }
      this.#remove([...regions]);
    }
  }

  /** All decoded pages were dropped. */
  flushed(): void {
    this.#flushedAt = ++this.#clock;
    this.#changedAt.clear();
    this.#asked.clear();
    this.#remove(this.#regions.filter((region) => region !== undefined));
  }

  #accept(result: TranslationResult): void {
    if ('physicalAddresses' in result) {
      return;
    }
    const module = this.#module(result);
    for (const region of result.regions) {
      if (!this.#install(module, region)) {
        this.#asked.delete(region.physicalAddress);
      }
    }
    this.#dropIfEmpty(module);
    this.#makeRoom(module);
  }

  #module({ id, module, codeSize }: TranslationBatch): Module {
    const known = this.#modules.get(id);
    if (known !== undefined) {
      return known;
    }
    const { hart, helper } = this.#hart.regionImports;
    const instance = new WebAssembly.Instance(module, { hart: { ...hart }, helper });
    const created: Module = { id, codeSize, instance, regions: new Set() };
    this.#modules.set(id, created);
    this.#codeSize += codeSize;
    return created;
  }

  #install(module: Module, { physicalAddress, exportNumber, pages, sequence }: BatchRegion): boolean {
    const { memory, regionOperation, decodeOperation, regionImports } = this.#hart;
    const isStale = pages.some(({ physicalPage }) => (this.#changedAt.get(physicalPage) ?? 0) > sequence);
    const decodedEntry = this.#hart.decodedEntry(physicalAddress);
    if (isStale || this.#flushedAt > sequence || decodedEntry === 0) {
      return false;
    }
    const operation = memory.u16[decodedEntry >>> 1];
    const number = this.#freeNumbers.pop() ?? this.#regions.length;
    if (operation === regionOperation || operation === decodeOperation || number >= MAXIMUM_REGIONS) {
      return false;
    }
    const slot = number + 1;
    const { table } = regionImports.hart;
    if (slot >= table.length) {
      table.grow(table.length);
    }
    table.set(slot, module.instance.exports[String(exportNumber)]);
    const record = this.#recordIndex(number);
    const { i32 } = memory;
    i32[record + (RegionRecord.slot >>> 2)] = slot;
    i32[record + (RegionRecord.entry >>> 2)] = 0;
    i32[record + (RegionRecord.pageDelta >>> 2)] = 0;
    i32[record + (RegionRecord.verifiedKey >>> 2)] = -1;
    const original = record + (RegionRecord.original >>> 2);
    i32[original] = i32[decodedEntry >>> 2] ?? 0;
    i32[original + 1] = i32[(decodedEntry >>> 2) + 1] ?? 0;
    i32[(decodedEntry >>> 2) + 1] = number;
    memory.u16[decodedEntry >>> 1] = regionOperation;

    const region = { physicalAddress, number, decodedEntry, pages, module, failedVerifications: 0 };
    this.#regions[number] = region;
    module.regions.add(region);
    for (const { physicalPage } of pages) {
      const regions = this.#byPage.get(physicalPage) ?? new Set();
      this.#byPage.set(physicalPage, regions);
      regions.add(region);
    }
    return true;
  }

  #markVerified(region: InstalledRegion, record: number, basePage: number): void {
    const { memory, block } = this.#hart;
    const { u32 } = memory;
    const key = u32[(block + HartBlock.mappingKey) >>> 2] ?? 0;
    const baseLow = (basePage * PAGE_SIZE) >>> 0;
    const baseHigh = Math.floor(basePage / (0x1_0000_0000 / PAGE_SIZE));
    u32[(record + RegionRecord.verifiedKey) >>> 2] = key;
    u32[(record + RegionRecord.verifiedBase) >>> 2] = baseLow;
    u32[((record + RegionRecord.verifiedBase) >>> 2) + 1] = baseHigh;

    const pcLow = baseLow + (region.physicalAddress % PAGE_SIZE);
    const cached = (block + jumpCacheOffset(pcLow)) >>> 2;
    u32[cached + (JumpCacheEntry.pc >>> 2)] = pcLow;
    u32[cached + (JumpCacheEntry.pc >>> 2) + 1] = baseHigh;
    u32[cached + (JumpCacheEntry.base >>> 2)] = baseLow;
    u32[cached + (JumpCacheEntry.base >>> 2) + 1] = baseHigh;
    u32[cached + (JumpCacheEntry.entry >>> 2)] = 0;
    u32[cached + (JumpCacheEntry.slot >>> 2)] = region.number + 1;
    u32[cached + (JumpCacheEntry.mappingKey >>> 2)] = key;
  }

  #remove(regions: readonly InstalledRegion[]): void {
    if (regions.length === 0) {
      return;
    }
    const { memory, regionOperation, regionImports } = this.#hart;
    const { i32, u16 } = memory;
    for (const region of regions) {
      const { number, decodedEntry, pages, module } = region;
      const record = this.#recordIndex(number);
      if (u16[decodedEntry >>> 1] === regionOperation && i32[(decodedEntry >>> 2) + 1] === number) {
        const original = record + (RegionRecord.original >>> 2);
        i32[decodedEntry >>> 2] = i32[original] ?? 0;
        i32[(decodedEntry >>> 2) + 1] = i32[original + 1] ?? 0;
      }
      i32[record + (RegionRecord.verifiedKey >>> 2)] = -1;
      regionImports.hart.table.set(number + 1, null);
      this.#regions[number] = undefined;
      this.#freeNumbers.push(number);
      for (const { physicalPage } of pages) {
        this.#byPage.get(physicalPage)?.delete(region);
      }
      module.regions.delete(region);
      this.#dropIfEmpty(module);
    }
    this.#clearJumpCache();
  }

  #dropIfEmpty(module: Module): void {
    if (module.regions.size === 0 && this.#modules.delete(module.id)) {
      this.#codeSize -= module.codeSize;
    }
  }

  /** Removes the oldest modules, but not the newest, until the rest is small enough. */
  #makeRoom(newest: Module): void {
    for (const module of this.#modules.values()) {
      const isFull = this.#codeSize > this.#maximumCodeSize || this.#regionCount() > MAXIMUM_REGIONS - 1024;
      if (!isFull || module === newest) {
        return;
      }
      const regions = [...module.regions];
      for (const { physicalAddress } of regions) {
        this.#asked.delete(physicalAddress);
      }
      this.#remove(regions);
    }
  }

  #regionCount(): number {
    return this.#regions.length - this.#freeNumbers.length;
  }

  #recordIndex(number: number): number {
    return (this.#hart.block + HartBlock.regionTable + number * REGION_RECORD_SIZE) >>> 2;
  }

  #clearJumpCache(): void {
    const start = (this.#hart.block + HartBlock.jumpCache) >>> 2;
    this.#hart.memory.u32.fill(0xffff_ffff, start, start + (JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_SIZE) / 4);
  }
}

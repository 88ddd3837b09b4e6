import { I32, type MemoryImport, ModuleBuilder } from '@tsvmm/wasm-emitter';
import type { SoftMemory } from '../memory.ts';
import { addBranchHints } from './branch-hints.ts';
import type { FetchPage } from './control-flow.ts';
import { type RegionLimits, type TranslatedRegion, translateRegion } from './region.ts';
import type { RegionArchitecture, RegionInstruction } from './region-architecture.ts';
import { REGION_PARAMETERS, type RegionImports } from './region-emitter.ts';

/** What a module of regions is instantiated with. */
export interface RegionModuleImports {
  readonly hart: {
    readonly memory: WebAssembly.Memory;
    /** The table with the regions' functions at their slots. */
    readonly table: WebAssembly.Table;
  };
  /** The architecture's helper functions. */
  readonly helper: WebAssembly.ModuleImports;
}

const WASM_PAGE_SIZE = 0x1_0000;

/** How a module imports the machine's memory. */
export function memoryImport(memory: SoftMemory): MemoryImport {
  const pages = memory.bytes.length / WASM_PAGE_SIZE;
  return { minimumPages: pages, maximumPages: pages, shared: true };
}

/** Collects regions to one module. Function number n, exported as its decimal number, is the n-th region added. */
export class RegionModule<I extends RegionInstruction = RegionInstruction> {
  readonly #architecture: RegionArchitecture<I>;
  readonly #module = new ModuleBuilder();
  readonly #helpers = new Map<string, number>();
  readonly #imports: RegionImports;
  readonly #regions: TranslatedRegion[] = [];

  constructor(architecture: RegionArchitecture<I>, memory: MemoryImport) {
    this.#architecture = architecture;
    this.#module.importMemory('hart', 'memory', memory);
    this.#module.importTable('hart', 'table', 0);
    this.#imports = {
      regionType: this.#module.type(REGION_PARAMETERS, [I32]),
      helper: (name) => this.#helper(name),
    };
  }

  get regionCount(): number {
    return this.#regions.length;
  }

  /** Bytes of code of all regions. */
  get codeSize(): number {
    return this.#regions.reduce((sum, { code }) => sum + code.size, 0);
  }

  /** Translates a region and adds it, unless nothing can be translated at the entry. See {@link translateRegion}. */
  add(fetch: FetchPage, entry: number, limits?: RegionLimits): TranslatedRegion | undefined {
    const region = translateRegion(this.#architecture, fetch, entry, this.#imports, limits);
    if (region !== undefined) {
      this.#regions.push(region);
    }
    return region;
  }

  toBytes(): Uint8Array<ArrayBuffer> {
    this.#regions.forEach(({ code }, index) => {
      this.#module.exportFunction(String(index), this.#module.function(this.#imports.regionType, code));
    });
    return addBranchHints(
      this.#module.toBytes(),
      this.#helpers.size,
      this.#regions.map(({ hints }) => hints),
    );
  }

  #helper(name: string): number {
    let index = this.#helpers.get(name);
    if (index === undefined) {
      const { parameters, results } = this.#architecture.helperType(name);
      index = this.#module.importFunction('helper', name, this.#module.type(parameters, results));
      this.#helpers.set(name, index);
    }
    return index;
  }
}

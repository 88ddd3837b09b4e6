import type { GuestPage, RegionPage } from './control-flow.ts';

/** A jump target that became hot on a hart. */
export interface TranslationRequest {
  readonly hart: number;
  /** Guest-physical address of the instruction: names the region. */
  readonly physicalAddress: number;
  /** Number of the virtual page it was executed at, and with which privilege: neighbouring pages are found from there. */
  readonly virtualPage: number;
  readonly privilege: number;
  /** The asking hart's clock of code changes: what comes back is stale if its pages changed since. */
  readonly sequence: number;
}

/** One region of a batch, for one hart. */
export interface BatchRegion {
  readonly physicalAddress: number;
  /** Its function is the module's export of this decimal number. */
  readonly exportNumber: number;
  /** Pages it was made from, by distance from the entry's page, that page included. */
  readonly pages: readonly RegionPage[];
  readonly sequence: number;
}

/** What a hart gets back. */
export interface TranslationBatch {
  /** The same number is the same module. */
  readonly id: number;
  readonly module: WebAssembly.Module;
  /** Bytes of WebAssembly in the whole module. */
  readonly codeSize: number;
  readonly regions: readonly BatchRegion[];
}

/** Answer to requests that came to nothing. */
export interface TranslationFailure {
  readonly physicalAddresses: readonly number[];
}

export type TranslationResult = TranslationBatch | TranslationFailure;

/** A hart's way to the translator, from the hart's thread. */
export interface TranslationBackend {
  request(request: TranslationRequest): void;
  /** The next result for this hart, if one is ready. `Request.translated` is set when there is. */
  take(): TranslationResult | undefined;
}

/** Where the translator reads guest code: as a hart sees it. */
export interface CodeSource {
  /** @returns undefined if the hart has not executed from this virtual page, or no longer maps it. */
  page(hart: number, privilege: number, virtualPage: number): GuestPage | undefined;
}

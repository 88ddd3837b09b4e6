import type { MemoryImport } from '@tsvmm/wasm-emitter';
import { PAGE_SIZE } from '../layout.ts';
import type { GuestPage, RegionPage } from './control-flow.ts';
import { RegionModule } from './module.ts';
import { REGION_LIMITS, type RegionLimits } from './region.ts';
import type { RegionArchitecture } from './region-architecture.ts';
import type { CodeSource, TranslationBatch, TranslationRequest, TranslationResult } from './translation.ts';

/** Regions of one module at most, and bytes of WebAssembly: the next request of the queue starts another module. */
const MAXIMUM_BATCH_REGIONS = 200;
const MAXIMUM_BATCH_SIZE = 1 << 20;
/** Regions that are remembered for other harts to share. */
const MAXIMUM_SHARED_REGIONS = 20_000;

/** A page that a region was made from, with the contents it had. */
interface SourcePage extends RegionPage {
  readonly bytes: Uint8Array;
}

interface SharedRegion {
  readonly batch: Omit<TranslationBatch, 'regions'>;
  readonly exportNumber: number;
  readonly pages: readonly SourcePage[];
}

interface PendingRegion {
  readonly exportNumber: number;
  readonly pages: readonly SourcePage[];
  readonly requests: TranslationRequest[];
}

/** Makes modules of regions for the harts of a machine; harts that ask for the same code share them. */
export class TranslationServer {
  readonly #architecture: RegionArchitecture;
  readonly #memory: MemoryImport;
  readonly #source: CodeSource;
  readonly #limits: RegionLimits;
  readonly #shared = new Map<number, SharedRegion>();
  #batches = 0;

  constructor(
    architecture: RegionArchitecture,
    memory: MemoryImport,
    source: CodeSource,
    limits = REGION_LIMITS,
  ) {
    this.#architecture = architecture;
    this.#memory = memory;
    this.#source = source;
    this.#limits = limits;
  }

  /**
   * Does what has been asked for, in batches.
   *
   * @param deliver gets what is for one hart.
   */
  translate(
    requests: readonly TranslationRequest[],
    deliver: (hart: number, result: TranslationResult) => void,
  ): void {
    const queue = requests.filter((request) => !this.#answerFromShared(request, deliver));
    for (let next = 0; next < queue.length; ) {
      next = this.#translateBatch(queue, next, deliver);
    }
  }

  #answerFromShared(
    request: TranslationRequest,
    deliver: (hart: number, result: TranslationResult) => void,
  ): boolean {
    const known = this.#shared.get(request.physicalAddress);
    if (known === undefined || !this.#isSame(request, known.pages)) {
      return false;
    }
    const { physicalAddress, sequence } = request;
    const { batch, exportNumber, pages } = known;
    const regions = [{ physicalAddress, exportNumber, pages: pages.map(withoutBytes), sequence }];
    deliver(request.hart, { ...batch, regions });
    return true;
  }

  #isSame(request: TranslationRequest, pages: readonly SourcePage[]): boolean {
    return pages.every(({ pageOffset, physicalPage, bytes }) => {
      const page = this.#source.page(request.hart, request.privilege, request.virtualPage + pageOffset);
      return page?.physicalPage === physicalPage && equalBytes(page.bytes, bytes);
    });
  }

  /** @returns index of the first request that was left for the next batch. */
  #translateBatch(
    queue: readonly TranslationRequest[],
    first: number,
    deliver: (hart: number, result: TranslationResult) => void,
  ): number {
    const module = new RegionModule(this.#architecture, this.#memory);
    const pending = new Map<number, PendingRegion>();
    let next = first;
    for (; next < queue.length; next++) {
      if (module.regionCount >= MAXIMUM_BATCH_REGIONS || module.codeSize >= MAXIMUM_BATCH_SIZE) {
        break;
      }
      const request = queue[next] as TranslationRequest;
      const same = pending.get(request.physicalAddress);
      if (same !== undefined && this.#isSame(request, same.pages)) {
        same.requests.push(request);
        continue;
      }
      const region = this.#translateRequest(module, request);
      if (region === undefined) {
        deliver(request.hart, { physicalAddresses: [request.physicalAddress] });
      } else {
        pending.set(request.physicalAddress, region);
      }
    }
    if (pending.size > 0) {
      this.#deliverBatch(module, [...pending.values()], deliver);
    }
    return next;
  }

  #translateRequest(module: RegionModule, request: TranslationRequest): PendingRegion | undefined {
    const { hart, privilege, virtualPage, physicalAddress } = request;
    const snapshots = new Map<number, GuestPage | undefined>();
    const exportNumber = module.regionCount;
    const region = module.add(
      (pageOffset) => {
        const page = this.#source.page(hart, privilege, virtualPage + pageOffset);
        const snapshot = page && { ...page, bytes: page.bytes.slice() };
        snapshots.set(pageOffset, snapshot);
        return snapshot;
      },
      physicalAddress % PAGE_SIZE,
      this.#limits,
    );
    const entryPage = Math.floor(physicalAddress / PAGE_SIZE);
    if (region === undefined || snapshots.get(0)?.physicalPage !== entryPage) {
      return undefined;
    }
    const pages = region.pages.map((page) => ({
      ...page,
      bytes: snapshots.get(page.pageOffset)?.bytes ?? new Uint8Array(0),
    }));
    return { exportNumber, pages, requests: [request] };
  }

  #deliverBatch(
    regionModule: RegionModule,
    regions: readonly PendingRegion[],
    deliver: (hart: number, result: TranslationResult) => void,
  ): void {
    const module = new WebAssembly.Module(regionModule.toBytes());
    const batch = { id: this.#batches++, module, codeSize: regionModule.codeSize };
    const byHart = new Map<number, TranslationBatch['regions'][number][]>();
    for (const { exportNumber, pages, requests } of regions) {
      for (const { hart, physicalAddress, sequence } of requests) {
        const forHart = byHart.get(hart) ?? [];
        byHart.set(hart, forHart);
        forHart.push({ physicalAddress, exportNumber, pages: pages.map(withoutBytes), sequence });
        this.#share(physicalAddress, { batch, exportNumber, pages });
      }
    }
    for (const [hart, forHart] of byHart) {
      deliver(hart, { ...batch, regions: forHart });
    }
  }

  #share(physicalAddress: number, region: SharedRegion): void {
    this.#shared.delete(physicalAddress);
    this.#shared.set(physicalAddress, region);
    if (this.#shared.size > MAXIMUM_SHARED_REGIONS) {
      const [oldest] = this.#shared.keys();
      this.#shared.delete(oldest ?? physicalAddress);
    }
  }
}

function withoutBytes({ pageOffset, physicalPage }: SourcePage): RegionPage {
  return { pageOffset, physicalPage };
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

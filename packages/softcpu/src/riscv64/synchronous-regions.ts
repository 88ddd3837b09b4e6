import { memoryImport } from '../core/region/module.ts';
import { REGION_LIMITS, type RegionLimits } from '../core/region/region.ts';
import { RegionInstaller, type RegionInstallerOptions } from '../core/region/region-installer.ts';
import { SynchronousTranslation } from '../core/region/synchronous-translation.ts';
import { TranslationServer } from '../core/region/translation-server.ts';
import type { Hart } from './hart.ts';
import { riscvRegions } from './region-architecture.ts';
import { RiscvCodeSource } from './region-code-source.ts';
import { RiscvRegionHart } from './region-hart.ts';

export interface SynchronousRegionOptions extends RegionInstallerOptions {
  /** Regions that are collected to one module. Default 1. */
  readonly batchSize?: number;
  readonly limits?: RegionLimits;
}

/** Gives a hart regions that it translates itself: needs no threads, and always does the same. */
export function attachSynchronousTranslation(
  hart: Hart,
  options: SynchronousRegionOptions = {},
): RegionInstaller {
  const { memory } = hart;
  const source = new RiscvCodeSource(memory);
  const limits = options.limits ?? REGION_LIMITS;
  const server = new TranslationServer(riscvRegions, memoryImport(memory), source, limits);
  const backend = new SynchronousTranslation(server, memory, options.batchSize);
  const installer = new RegionInstaller(new RiscvRegionHart(hart), backend, options);
  hart.translator = installer;
  return installer;
}

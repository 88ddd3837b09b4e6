import type { MessagePort } from 'node:worker_threads';
import type { SoftMemory } from '../core/memory.ts';
import { RegionInstaller, type RegionInstallerOptions } from '../core/region/region-installer.ts';
import { ThreadTranslation, TranslationThread } from '../core/region/translation-thread.ts';
import type { Hart } from './hart.ts';
import { RiscvRegionHart } from './region-hart.ts';

/**
 * Taken jumps to one target after which its region is worth making. Booting Debian takes its hart as long with 1,000 as with
 * 10,000, but the compilers a third less with the latter; kernels that only compute hardly notice either.
 */
export const HOT_THRESHOLD = 4000;

/** Starts the thread that translates for the harts of a machine. */
export function startTranslation(memory: SoftMemory): TranslationThread {
  return new TranslationThread(
    memory,
    // Of a build, the one file that `tools/bundle.ts` makes of the thread's modules.
    new URL(`./region-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.bundle.js'}`, import.meta.url),
  );
}

/**
 * Gives a hart its regions; it must have been made with a `hotThreshold`, of {@link HOT_THRESHOLD} for instance.
 *
 * @param port the hart's, from {@link TranslationThread.port}, on the hart's thread.
 */
export function attachTranslation(
  hart: Hart,
  port: MessagePort,
  options?: RegionInstallerOptions,
): RegionInstaller {
  const installer = new RegionInstaller(new RiscvRegionHart(hart), new ThreadTranslation(port), options);
  hart.translator = installer;
  return installer;
}

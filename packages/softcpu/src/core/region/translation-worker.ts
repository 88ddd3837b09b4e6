import { parentPort, workerData } from 'node:worker_threads';
import { HartBlock, Request } from '../layout.ts';
import { SoftMemory } from '../memory.ts';
import { memoryImport } from './module.ts';
import type { RegionArchitecture } from './region-architecture.ts';
import type { CodeSource, TranslationRequest } from './translation.ts';
import { TranslationServer } from './translation-server.ts';
import type { TranslationWorkerData } from './translation-thread.ts';

/** Requests that start a batch at once, and milliseconds that fewer wait for company. */
const BATCH_SIZE = 16;
const BATCH_DELAY = 2;
/** Milliseconds between interruptions of harts that have new regions, and how many there are. */
const RE_ENTRY_PERIOD = 4;
const RE_ENTRIES = 250;

/** The body of a translator's worker: serves the harts' requests until it is terminated. */
export function serveTranslations(
  architecture: RegionArchitecture,
  createSource: (memory: SoftMemory) => CodeSource,
): void {
  const { memory: descriptor, ports } = workerData as TranslationWorkerData;
  const memory = SoftMemory.attach(descriptor);
  const server = new TranslationServer(architecture, memoryImport(memory), createSource(memory));
  let queue: TranslationRequest[] = [];
  let timer: NodeJS.Timeout | undefined;

  const reEntries = new ReEntries(memory);
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    const requests = queue;
    queue = [];
    server.translate(requests, (hart, result) => {
      ports[hart]?.postMessage(result);
      memory.request(hart, Request.translated);
    });
    reEntries.start();
  };
  for (const port of ports) {
    port.on('message', (request: TranslationRequest) => {
      queue.push(request);
      if (queue.length >= BATCH_SIZE) {
        flush();
      } else {
        timer ??= setTimeout(flush, BATCH_DELAY);
      }
    });
  }
  parentPort?.postMessage('ready');
}

/**
 * Makes running harts leave their regions now and then, for a while after new ones were delivered. WebAssembly has no on-stack
 * replacement: a loop has to be entered again to run as optimised code, and not every guest has a timer tick.
 */
class ReEntries {
  readonly #memory: SoftMemory;
  #left = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(memory: SoftMemory) {
    this.#memory = memory;
  }

  start(): void {
    this.#left = RE_ENTRIES;
    this.#timer ??= setInterval(() => this.#interrupt(), RE_ENTRY_PERIOD);
  }

  #interrupt(): void {
    const { harts, i32 } = this.#memory;
    for (let hart = 0; hart < harts; hart++) {
      const isIdle = Atomics.load(i32, (this.#memory.hartBlock(hart) + HartBlock.idle) >>> 2) !== 0;
      if (!isIdle) {
        this.#memory.request(hart, Request.translated);
      }
    }
    this.#left--;
    if (this.#left === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}

import { workerData } from 'node:worker_threads';
import { Request } from '../layout.ts';
import { SoftMemory } from '../memory.ts';
import { memoryImport } from './module.ts';
import type { RegionArchitecture } from './region-architecture.ts';
import type { CodeSource, TranslationRequest } from './translation.ts';
import { TranslationServer } from './translation-server.ts';
import type { TranslationWorkerData } from './translation-thread.ts';

/** Requests that start a batch at once, and milliseconds that fewer wait for company. */
const BATCH_SIZE = 16;
const BATCH_DELAY = 2;

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

  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    const requests = queue;
    queue = [];
    server.translate(requests, (hart, result) => {
      ports[hart]?.postMessage(result);
      memory.request(hart, Request.translated);
    });
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
}

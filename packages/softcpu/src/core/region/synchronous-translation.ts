import { Request } from '../layout.ts';
import type { SoftMemory } from '../memory.ts';
import type { TranslationBackend, TranslationRequest, TranslationResult } from './translation.ts';
import type { TranslationServer } from './translation-server.ts';

/** Translates on the hart's own thread, when asked: where there are no threads, and where runs must repeat exactly. */
export class SynchronousTranslation implements TranslationBackend {
  readonly #server: TranslationServer;
  readonly #memory: SoftMemory;
  readonly #batchSize: number;
  readonly #results: TranslationResult[] = [];
  #queue: TranslationRequest[] = [];

  /** @param batchSize requests that are collected to one module. */
  constructor(server: TranslationServer, memory: SoftMemory, batchSize = 1) {
    this.#server = server;
    this.#memory = memory;
    this.#batchSize = batchSize;
  }

  request(request: TranslationRequest): void {
    this.#queue.push(request);
    if (this.#queue.length >= this.#batchSize) {
      const queue = this.#queue;
      this.#queue = [];
      this.#server.translate(queue, (_hart, result) => this.#results.push(result));
      this.#memory.request(request.hart, Request.translated);
    }
  }

  take(): TranslationResult | undefined {
    return this.#results.shift();
  }
}

import { type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { SoftMemory, SoftMemoryDescriptor } from '../memory.ts';
import type { TranslationBackend, TranslationRequest, TranslationResult } from './translation.ts';

/** What a translator's worker starts with. */
export interface TranslationWorkerData {
  readonly memory: SoftMemoryDescriptor;
  /** The worker's end of each hart's channel. */
  readonly ports: readonly MessagePort[];
}

/** The translator of a machine, on a thread of its own. */
export class TranslationThread implements AsyncDisposable {
  /** Settled once the thread serves requests, which may be made before. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #ports: readonly MessagePort[];

  /** @param script the architecture's worker. */
  constructor(memory: SoftMemory, script: URL) {
    const channels = Array.from({ length: memory.harts }, () => new MessageChannel());
    // The types of node:worker_threads and of the platform's MessagePort differ in name only.
    const ends = (which: 'port1' | 'port2'): MessagePort[] =>
      channels.map((channel) => channel[which] as unknown as MessagePort);
    const workerData: TranslationWorkerData = { memory: memory.descriptor(), ports: ends('port1') };
    this.#worker = new Worker(script, { workerData, transferList: ends('port1') });
    this.#worker.unref();
    this.ready = new Promise((resolve, reject) => {
      this.#worker.once('message', resolve);
      this.#worker.once('error', reject);
    });
    // Who waits for it hears of it; harts go on without regions.
    this.ready.catch(() => {});
    this.#ports = ends('port2');
  }

  /** A hart's end of its channel: to be transferred to the hart's thread, for `ThreadTranslation`. */
  port(hart: number): MessagePort {
    const port = this.#ports[hart];
    if (port === undefined) {
      throw new RangeError(`hart ${hart} does not exist: there are ${this.#ports.length}`);
    }
    return port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

/** A hart's way to the {@link TranslationThread}. Takes results without an event loop: harts' threads have none to spare. */
export class ThreadTranslation implements TranslationBackend {
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    this.#port = port;
    port.unref();
  }

  request(request: TranslationRequest): void {
    this.#port.postMessage(request);
  }

  take(): TranslationResult | undefined {
    return receiveMessageOnPort(this.#port)?.message as TranslationResult | undefined;
  }
}

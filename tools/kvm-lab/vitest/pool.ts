import { EventEmitter, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { PoolRunnerInitializer, PoolWorker } from 'vitest/node';
import type { Level1 } from '../level1.ts';
import { encodeMessage, MessageReader } from './messages.ts';

/** The worker's first message. */
export const READY = 'ready';

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url));

/**
 * Runs test files in an L1, with the host's Vitest around them: its server, its filters, its reporters. The worker is
 * there already: Vitest gives the start of one a time that an emulated CPU does not always keep.
 */
export function labPool(worker: LabWorker): PoolRunnerInitializer {
  return { name: worker.name, createPoolWorker: () => worker };
}

/** A Node process in L1 that runs the files it is told to, one after the other. */
export class LabWorker implements PoolWorker {
  readonly name: string;
  readonly #level1: Level1;
  readonly #events = new EventEmitter();
  readonly #reader = new MessageReader();
  #ended: Promise<void> = Promise.resolve();

  private constructor(level1: Level1) {
    this.#level1 = level1;
    this.name = `lab-${level1.architecture}`;
  }

  /**
   * Starts the process.
   * @throws {LabError} ENDED when L1 ends meanwhile
   */
  static async launch(level1: Level1): Promise<LabWorker> {
    const worker = new LabWorker(level1);
    await worker.#launch();
    return worker;
  }

  on(event: string, callback: (...values: unknown[]) => void): void {
    this.#events.on(event, callback);
  }

  off(event: string, callback: (...values: unknown[]) => void): void {
    this.#events.off(event, callback);
  }

  send(message: unknown): void {
    this.#level1.channel.write(encodeMessage(message));
  }

  deserialize(message: unknown): unknown {
    return message;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    this.send(undefined);
    await this.#ended;
    this.#level1.channel.off('data', this.#receive);
  }

  async #launch(): Promise<void> {
    this.#level1.channel.on('data', this.#receive);
    const ready = once(this.#events, READY);
    const command = [this.#level1.node, '--no-warnings', WORKER];
    this.#ended = this.#level1
      .run(command, {
        directory: process.cwd(),
        environment: { VITEST: 'true', NODE_ENV: 'test' },
        onStdout: (data) => process.stdout.write(data),
        onStderr: (data) => process.stderr.write(data),
      })
      .then(({ status }) => {
        if (status !== 0) throw new Error(`The worker in L1 ended with status ${status}.`);
      });
    await Promise.race([ready, this.#ended]);
    this.#ended.then(
      () => this.#events.emit('exit', 0),
      (error) => this.#events.emit('error', error),
    );
  }

  readonly #receive = (chunk: Buffer): void => {
    for (const message of this.#reader.push(chunk)) {
      this.#events.emit(message === READY ? READY : 'message', message);
    }
  };
}

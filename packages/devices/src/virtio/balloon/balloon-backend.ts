import { struct, u32 } from '@tsvmm/struct';
import { DeviceError } from '../../errors.ts';
import type { BackendContext, VirtioBackend } from '../backend.ts';
import type { DeviceCommand, DeviceReply } from '../command.ts';
import { VirtqueueError } from '../queue/errors.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { actualPages, BALLOON_PAGE, BalloonQueue, setTarget, startConfig } from './model.ts';
import { type BalloonStats, readStatistics } from './stats.ts';

/** Pages of one request: 64 times what Linux puts into one, and a bound for what a hostile driver can ask at a time. */
const MAX_PAGES = 16_384;

/** What a balloon remembers beside its queues and its configuration. */
const stateLayout = struct({ target: u32 }, { name: 'virtio-balloon-state', version: 1 });

/** The guest's answer that somebody waits for. */
interface Adjustment {
  readonly pages: number;
  readonly done: PromiseWithResolvers<void>;
}

/**
 * Gives the memory of pages that the driver puts into the balloon, or reports as free, back to the host. The guest gets
 * them back by using them: they are zero then.
 */
export class BalloonBackend implements VirtioBackend {
  #context: BackendContext | undefined;
  /** Pages that the balloon is to hold, of whichever driver. */
  #target = 0;
  #adjustment: Adjustment | undefined;
  /** The statistics request, which the device keeps until it wants new ones (virtio 1.3, section 5.5.6.3). */
  #statsQueue: Virtqueue | undefined;
  #statsHead = 0;
  /** The request was given back for statistics that somebody waits for. */
  #hasAsked = false;
  #stats: PromiseWithResolvers<BalloonStats> | undefined;
  readonly #pages = new Uint32Array(MAX_PAGES);
  readonly #pageBytes = new Uint8Array(this.#pages.buffer);

  activate(context: BackendContext): void {
    this.#context = context;
    // A size may have been asked for before there was a driver, and an earlier one has left what it held.
    context.changeConfig((config) => startConfig(config, this.#target));
  }

  reset(queue?: Virtqueue): undefined {
    if (!queue || queue.index === BalloonQueue.stats) {
      this.#statsQueue = undefined;
      this.#hasAsked = false;
    }
    if (queue) return;
    this.#context = undefined;
    this.#fail('its driver let go of the balloon');
  }

  /** The statistics request is the only one that is kept: its driver sends it again. */
  drain(queue?: Virtqueue): undefined {
    if (!queue || queue.index === BalloonQueue.stats) this.#giveStatsBack();
  }

  saveState(): Uint8Array {
    const state = new ArrayBuffer(stateLayout.size);
    stateLayout.attach(state).target = this.#target;
    return stateLayout.snapshot(state);
  }

  loadState(saved: Uint8Array): void {
    const state = new ArrayBuffer(stateLayout.size);
    stateLayout.restore(saved, state);
    this.#target = stateLayout.attach(state).target;
  }

  handle(queue: Virtqueue): boolean {
    switch (queue.index) {
      case BalloonQueue.inflate:
        this.#inflate(queue);
        break;
      case BalloonQueue.stats:
        this.#takeStats(queue);
        return true;
      case BalloonQueue.reporting:
        this.#discardReported(queue);
        break;
    }
    // Pages that leave the balloon need nothing: the host gives them memory when they are touched.
    queue.push(queue.head, 0);
    return true;
  }

  configWritten(): void {
    if (this.#context !== undefined && actualPages(this.#context.config()) === this.#adjustment?.pages) {
      this.#adjustment.done.resolve();
      this.#adjustment = undefined;
    }
  }

  /** @throws DeviceError BAD_OPTION for what is no balloon's command, BACKEND_FAILED when no driver will answer */
  async command(command: DeviceCommand): Promise<DeviceReply> {
    switch (command.kind) {
      case 'set-balloon':
        return await this.#adjust(command.size / BALLOON_PAGE, command.wait);
      case 'balloon-stats':
        return await this.#askForStats();
      default:
        throw new DeviceError('BAD_OPTION', `a balloon has no ${command.kind}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fail('the machine has ended');
  }

  async #adjust(pages: number, wait: boolean): Promise<undefined> {
    this.#adjustment?.done.reject(new DeviceError('BACKEND_FAILED', 'another size was asked for meanwhile'));
    this.#adjustment = undefined;
    this.#target = pages;
    this.#context?.changeConfig((config) => setTarget(config, pages));
    if (!wait || (this.#context !== undefined && actualPages(this.#context.config()) === pages)) return;
    const adjustment = { pages, done: Promise.withResolvers<void>() };
    this.#adjustment = adjustment;
    await adjustment.done.promise;
  }

  #inflate(queue: Virtqueue): void {
    const { readable } = queue;
    const count = readable.byteLength / 4;
    if (!Number.isInteger(count) || count > MAX_PAGES) {
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: ${readable.byteLength} bytes of pages`);
    }
    readable.takeFirst(this.#pageBytes.subarray(0, 4 * count));
    // Linux takes neighbours, in whatever order: one call for each run of them.
    const pages = this.#pages.subarray(0, count).sort();
    for (let start = 0, end = 0; start < count; start = end) {
      const first = pages[start] ?? 0;
      do end++;
      while (end < count && (pages[end] ?? 0) - (pages[end - 1] ?? 0) <= 1);
      this.#discard(queue, first, (pages[end - 1] ?? 0) - first + 1);
    }
  }

  #discard(queue: Virtqueue, page: number, count: number): void {
    const { memory } = this.#active();
    if (!memory.contains(page * BALLOON_PAGE, count * BALLOON_PAGE)) {
      throw new VirtqueueError(
        'BAD_REQUEST',
        `queue ${queue.index}: page 0x${page.toString(16)} and ${count - 1} after it are not all memory`,
      );
    }
    memory.discard(page * BALLOON_PAGE, count * BALLOON_PAGE);
  }

  /** The buffers are the free pages themselves. */
  #discardReported({ writable }: Virtqueue): void {
    const { memory } = this.#active();
    for (let i = 0; i < writable.count; i++) {
      const position = writable.pairs[2 * i] ?? 0;
      const start = Math.ceil(position / BALLOON_PAGE) * BALLOON_PAGE;
      const end = Math.floor((position + (writable.pairs[2 * i + 1] ?? 0)) / BALLOON_PAGE) * BALLOON_PAGE;
      if (end > start) memory.discardHost(start, end - start);
    }
  }

  #takeStats(queue: Virtqueue): void {
    // A driver has one request; of more, all but the last go back as they came.
    this.#giveStatsBack();
    this.#statsQueue = queue;
    this.#statsHead = queue.head;
    if (this.#stats === undefined) return;
    if (this.#hasAsked) {
      const balloon = actualPages(this.#active().config()) * BALLOON_PAGE;
      this.#stats.resolve({ ...readStatistics(queue.readable), balloon });
      this.#stats = undefined;
      this.#hasAsked = false;
    } else {
      // What a driver says of its own accord is from when it started.
      this.#askDriver();
    }
  }

  async #askForStats(): Promise<BalloonStats> {
    this.#active();
    // Who asks while others wait gets the same answer.
    if (this.#stats === undefined) {
      this.#stats = Promise.withResolvers();
      if (this.#statsQueue !== undefined) this.#askDriver();
    }
    return await this.#stats.promise;
  }

  #askDriver(): void {
    this.#hasAsked = true;
    this.#giveStatsBack();
  }

  #giveStatsBack(): void {
    const queue = this.#statsQueue;
    if (queue === undefined) return;
    this.#statsQueue = undefined;
    queue.push(this.#statsHead, 0);
    this.#context?.announce(queue);
  }

  #active(): BackendContext {
    if (this.#context === undefined) {
      throw new DeviceError('BACKEND_FAILED', 'the guest has no driver for the balloon, or not yet');
    }
    return this.#context;
  }

  /** Nobody will answer those who wait. */
  #fail(reason: string): void {
    const error = new DeviceError('BACKEND_FAILED', reason);
    this.#adjustment?.done.reject(error);
    this.#adjustment = undefined;
    this.#stats?.reject(error);
    this.#stats = undefined;
  }
}

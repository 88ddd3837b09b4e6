import { EventFd } from '@tsvmm/base';
import { type NativeEngine, native } from '../native.ts';
import { Cqe, Sqe } from './abi.ts';
import type { Engine } from './engine.ts';

/** Bytes before the completion queue's entries; its head is in the first word, its tail a cache line on. */
const HEADER_BYTES = 128;
const TAIL = 16;

/** Threads of this process that do what io_uring does, one of them in epoll_wait for readiness and deadlines. */
export class PoolEngine implements Engine {
  readonly kind = 'epoll';
  readonly submissions: Uint32Array;
  readonly completions: Int32Array;
  readonly completionIndices: Uint32Array;
  readonly completionHead = 0;
  readonly completionTail = TAIL;
  readonly #engine: NativeEngine;
  /** The engine's own. */
  readonly #event: EventFd;

  /**
   * @param entries of the submission queue, a power of two
   * @param threads that block in the kernel, at least one
   */
  constructor(entries: number, threads: number) {
    const completionBytes = 4 * Cqe.words * 2 * entries;
    const memory = new SharedArrayBuffer(HEADER_BYTES + completionBytes + 4 * Sqe.words * entries);
    this.completionIndices = new Uint32Array(memory, 0, HEADER_BYTES / 4);
    this.completions = new Int32Array(memory, HEADER_BYTES, completionBytes / 4);
    this.submissions = new Uint32Array(memory, HEADER_BYTES + completionBytes, Sqe.words * entries);
    this.#engine = native.openPool(new Uint8Array(memory), entries, 2 * entries, threads);
    this.#event = EventFd.fromDescriptor(native.descriptorOf(this.#engine));
  }

  get descriptor(): number {
    return this.#event.descriptor.number;
  }

  /** Its threads post what they have done themselves. */
  get hasUnposted(): boolean {
    return false;
  }

  /** What the kernel lacks shows when it is tried. */
  supports(): boolean {
    return true;
  }

  acknowledge(): void {
    this.#event.tryRead();
  }

  submit(count: number): number {
    return native.submit(this.#engine, count);
  }

  close(): void {
    native.closeEngine(this.#engine);
  }
}

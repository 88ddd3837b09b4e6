import { gather, type Segments } from '../segments.ts';
import { MemoryStorage } from './memory.ts';
import type { Pending, Storage } from './storage.ts';

/** One change that reached the storage, or the barrier between changes. */
export type StorageEvent =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: 'zero'; readonly position: number; readonly length: number }
  | { readonly kind: 'resize'; readonly size: number }
  | { readonly kind: 'sync' };

/**
 * Storage that remembers every change, so that a test can see what a loss of power leaves behind: {@link replay} applies
 * any part of the changes to the contents at the start.
 */
export class RecordingStorage implements Storage {
  readonly events: StorageEvent[] = [];
  readonly #storage: MemoryStorage;
  readonly #start: Uint8Array;

  constructor(start: Uint8Array = new Uint8Array(0), name = 'recording') {
    this.#start = start.slice();
    this.#storage = MemoryStorage.from(start, name);
  }

  get name(): string {
    return this.#storage.name;
  }

  get size(): number {
    return this.#storage.size;
  }

  get readOnly(): boolean {
    return false;
  }

  get isFixedSize(): boolean {
    return false;
  }

  /** The contents after those of the first `count` events that `isKept` lets through. */
  replay(count: number, isKept: (event: StorageEvent, index: number) => boolean = () => true): MemoryStorage {
    const storage = MemoryStorage.from(this.#start, this.name);
    for (const [index, event] of this.events.slice(0, count).entries()) {
      if (!isKept(event, index)) continue;
      if (event.kind === 'write') storage.writeBytes(event.position, event.bytes);
      else if (event.kind === 'zero') storage.zero(event.position, event.length);
      else if (event.kind === 'resize') storage.resize(event.size);
    }
    return storage;
  }

  read(position: number, segments: Segments): Pending {
    return this.#storage.read(position, segments);
  }

  write(position: number, segments: Segments): Pending {
    const bytes = new Uint8Array(segments.byteLength);
    gather(segments, 0, bytes);
    this.events.push({ kind: 'write', position, bytes });
    this.#storage.writeBytes(position, bytes);
    return undefined;
  }

  seekData(position: number): number {
    return this.#storage.seekData(position);
  }

  seekHole(position: number): number {
    return this.#storage.seekHole(position);
  }

  punchHole(position: number, length: number): Pending {
    return this.zero(position, length);
  }

  zero(position: number, length: number): Pending {
    this.events.push({ kind: 'zero', position, length });
    return this.#storage.zero(position, length);
  }

  discard(position: number, length: number): Pending {
    return this.zero(position, length);
  }

  resize(size: number): Pending {
    this.events.push({ kind: 'resize', size });
    return this.#storage.resize(size);
  }

  sync(): Pending {
    this.events.push({ kind: 'sync' });
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

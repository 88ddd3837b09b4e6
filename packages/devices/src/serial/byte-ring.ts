import { array, atomic, i32, SharedMutex, struct } from '@tsvmm/struct';
import { DeviceError } from '../errors.ts';

/** Positions count bytes since the ring was made, modulo 2^32; each side's words have a cache line of their own. */
const header = struct(
  {
    /** Bytes written; the writer's. Followed by whether the reader sleeps. */
    head: array(i32, 1),
    readerWaits: array(i32, 15),
    /** Bytes read; the reader's. Followed by whether a writer sleeps. */
    tail: array(i32, 1),
    writerWaits: array(i32, 15),
    /** 1 once no more bytes are taken. */
    closed: array(i32, 15),
    /** Held by the writer of the moment. */
    writerLock: atomic(i32),
  },
  { name: 'byte-ring', version: 1 },
);

/**
 * Bytes from one thread to another through shared memory: a serial port's output or input. One reader, any number of
 * writers. Both sides can sleep until the other has moved, as a thread or as a promise.
 */
export class ByteRing {
  /** The memory, to be sent to the other side, which constructs its own ring over it. */
  readonly state: SharedArrayBuffer;
  /** Bytes that fit; a power of two. */
  readonly capacity: number;
  readonly #head: Int32Array;
  readonly #tail: Int32Array;
  readonly #readerWaits: Int32Array;
  readonly #writerWaits: Int32Array;
  readonly #closed: Int32Array;
  readonly #writerMutex: SharedMutex;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;

  constructor(state: SharedArrayBuffer) {
    const words = header.attach(state);
    this.state = state;
    this.capacity = state.byteLength - header.size;
    this.#head = words.head;
    this.#tail = words.tail;
    this.#readerWaits = words.readerWaits;
    this.#writerWaits = words.writerWaits;
    this.#closed = words.closed;
    this.#writerMutex = new SharedMutex(words.writerLock);
    this.#bytes = new Uint8Array(state, header.size);
  }

  /**
   * @param capacity bytes, a power of two from 16 to 2^30
   * @throws DeviceError BAD_OPTION
   */
  static create(capacity = 65_536): ByteRing {
    if (!Number.isInteger(Math.log2(capacity)) || capacity < 16 || capacity > 2 ** 30) {
      throw new DeviceError(
        'BAD_OPTION',
        `A ring's capacity is a power of two from 16 to 2^30, not ${capacity}.`,
      );
    }
    return new ByteRing(new SharedArrayBuffer(header.size + capacity));
  }

  /** Bytes that can be read. */
  get available(): number {
    return (Atomics.load(this.#head, 0) - Atomics.load(this.#tail, 0)) | 0;
  }

  /** Bytes that can be written. */
  get room(): number {
    return this.capacity - this.available;
  }

  get closed(): boolean {
    return Atomics.load(this.#closed, 0) !== 0;
  }

  /** Ends the stream: writers no longer wait and what they write is dropped; what is in the ring can be read. */
  close(): void {
    Atomics.store(this.#closed, 0, 1);
    wake(this.#writerWaits);
    wake(this.#readerWaits);
  }

  /** Writes one byte, which a closed ring drops; false when there is no room. */
  push(byte: number): boolean {
    if (this.closed) return true;
    this.#writerMutex.lock();
    const head = Atomics.load(this.#head, 0);
    const hasRoom = ((head - Atomics.load(this.#tail, 0)) | 0) < this.capacity;
    if (hasRoom) {
      this.#bytes[head & (this.capacity - 1)] = byte;
      Atomics.store(this.#head, 0, (head + 1) | 0);
    }
    this.#writerMutex.unlock();
    if (hasRoom) wake(this.#readerWaits);
    return hasRoom;
  }

  /** Writes as much of `bytes` as there is room for, in one piece. @returns how many; all of them when it is closed */
  write(bytes: Uint8Array): number {
    if (this.closed) return bytes.length;
    this.#writerMutex.lock();
    const head = Atomics.load(this.#head, 0);
    const count = Math.min(bytes.length, this.capacity - ((head - Atomics.load(this.#tail, 0)) | 0));
    const start = head & (this.capacity - 1);
    const first = Math.min(count, this.capacity - start);
    this.#bytes.set(first === bytes.length ? bytes : bytes.subarray(0, first), start);
    if (first < count) this.#bytes.set(bytes.subarray(first, count), 0);
    Atomics.store(this.#head, 0, (head + count) | 0);
    this.#writerMutex.unlock();
    if (count > 0) wake(this.#readerWaits);
    return count;
  }

  /** Takes one byte; -1 when there is none. */
  shift(): number {
    const tail = Atomics.load(this.#tail, 0);
    if (tail === Atomics.load(this.#head, 0)) return -1;
    const byte = this.#bytes[tail & (this.capacity - 1)] ?? 0;
    this.consume(1);
    return byte;
  }

  /** The bytes that can be read without a break, in place; `consume` says how many of them are done with. */
  peek(): Uint8Array<SharedArrayBuffer> {
    const start = Atomics.load(this.#tail, 0) & (this.capacity - 1);
    return this.#bytes.subarray(start, Math.min(start + this.available, this.capacity));
  }

  /** Gives back `count` bytes that were read. */
  consume(count: number): void {
    Atomics.store(this.#tail, 0, (Atomics.load(this.#tail, 0) + count) | 0);
    wake(this.#writerWaits);
  }

  /** Sleeps until there is room or the ring is closed. */
  waitForRoom(): void {
    while (!this.#hasRoomOrWaits()) Atomics.wait(this.#writerWaits, 0, 1);
  }

  /** {@link waitForRoom} for a thread that must not sleep. */
  async roomAvailable(): Promise<void> {
    while (!this.#hasRoomOrWaits()) await Atomics.waitAsync(this.#writerWaits, 0, 1).value;
  }

  /** Resolves when there is something to read or the ring is closed. */
  async dataAvailable(): Promise<void> {
    for (;;) {
      Atomics.store(this.#readerWaits, 0, 1);
      if (this.available > 0 || this.closed) return;
      await Atomics.waitAsync(this.#readerWaits, 0, 1).value;
    }
  }

  /** Says that a writer waits, then looks again: whoever makes room after that resets the word and wakes it. */
  #hasRoomOrWaits(): boolean {
    Atomics.store(this.#writerWaits, 0, 1);
    return this.room > 0 || this.closed;
  }
}

/** Resets a side's waiting word and wakes who sleeps on it; costs one load when nobody does. */
function wake(waits: Int32Array): void {
  if (Atomics.load(waits, 0) === 0) return;
  Atomics.store(waits, 0, 0);
  Atomics.notify(waits, 0);
}

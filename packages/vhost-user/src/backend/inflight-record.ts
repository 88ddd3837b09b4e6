import { fstatSync } from 'node:fs';
import { type FileDescriptor, MemFd, mapShared, pageSize } from '@tsvmm/base';
import type { VirtioDeviceModel } from '@tsvmm/devices';
import { VhostUserError } from '../errors.ts';
import type { InflightDescription } from '../protocol/messages.ts';

/** Version of the record's layout. */
const VERSION = 1;

/** Bytes of a queue's header, and of the entry of each of its descriptors. */
const HEADER = 16;
const ENTRY = 16;
/** Queues begin at multiples of this. */
const ALIGNMENT = 64;

/** Fields of the header ("queue region for split virtqueue"), as indices of 16-bit words. */
const Header = { version: 4, descriptorCount: 5, lastHead: 6, usedIndex: 7 } as const;

/** Longest queue (virtio 1.3, section 2.7). */
const MAX_QUEUE_SIZE = 32_768;

/** Entries of a queue that there is room for in every record's file, as front ends choose them. */
const ROOM = 1024;

/** Makes a file that has room for the record of a device's requests in flight. The caller owns it. */
export function createInflightFile({ queueSizes }: Pick<VirtioDeviceModel, 'queueSizes'>): MemFd {
  const length = recordLength(queueSizes.length, Math.max(ROOM, ...queueSizes));
  return MemFd.create({ name: 'vhost-user-inflight', size: Math.ceil(length / pageSize) * pageSize });
}

/** Bytes that the record of a device takes. */
function recordLength(queueCount: number, queueSize: number): number {
  return queueCount * queueLength(queueSize);
}

function queueLength(queueSize: number): number {
  return Math.ceil((HEADER + ENTRY * queueSize) / ALIGNMENT) * ALIGNMENT;
}

/**
 * Which requests a back end has taken and not given back, in memory that its front end keeps when the back end dies ("Inflight
 * I/O tracking"). What is in it comes from the front end.
 */
export class InflightRecord {
  readonly #queues: readonly InflightQueueRecord[];

  private constructor(buffer: SharedArrayBuffer, { queueCount, queueSize }: InflightDescription) {
    const length = queueLength(queueSize);
    this.#queues = Array.from(
      { length: queueCount },
      (_, index) => new InflightQueueRecord(buffer, index * length, queueSize),
    );
  }

  /** Describes an empty record in a file, which it clears; undefined when there is no room for it. */
  static describe(file: MemFd, queueCount: number, queueSize: number): InflightDescription | undefined {
    const { size, descriptor } = file;
    if (recordLength(queueCount, queueSize) > size) return undefined;
    new Uint8Array(mapShared(descriptor.number, 0, size).buffer).fill(0);
    return { size, offset: 0, queueCount, queueSize };
  }

  /**
   * Uses the record that the front end has kept. The descriptor stays the caller's.
   * @throws VhostUserError PROTOCOL when it is not as it must be
   */
  static map(description: InflightDescription, file: FileDescriptor): InflightRecord {
    const { size, offset, queueCount, queueSize } = description;
    if (queueSize < 1 || queueSize > MAX_QUEUE_SIZE || recordLength(queueCount, queueSize) > size) {
      throw unusable(`${size} bytes are no record of ${queueCount} queues with ${queueSize} entries`);
    }
    if (offset % pageSize !== 0 || offset + size > fstatSync(file.number).size) {
      throw unusable(`${size} bytes at ${offset} are not pages of the file that came with them`);
    }
    return new InflightRecord(mapShared(file.number, offset, size).buffer, description);
  }

  /** The part of queue `index`; undefined when the record has none for it. */
  queue(index: number): InflightQueueRecord | undefined {
    return this.#queues[index];
  }
}

/** The part of one queue. */
export class InflightQueueRecord {
  /** Entries, of which a descriptor's index is one. */
  readonly size: number;
  readonly #header: Uint16Array;
  readonly #bytes: Uint8Array;
  readonly #words: Uint16Array;
  readonly #counters: Uint32Array;
  /** How many requests have been taken. */
  #count = 0;

  constructor(buffer: SharedArrayBuffer, offset: number, size: number) {
    this.size = size;
    this.#header = new Uint16Array(buffer, offset, HEADER / 2);
    this.#bytes = new Uint8Array(buffer, offset + HEADER, ENTRY * size);
    this.#words = new Uint16Array(buffer, offset + HEADER, (ENTRY / 2) * size);
    this.#counters = new Uint32Array(buffer, offset + HEADER, (ENTRY / 4) * size);
  }

  /**
   * Takes the record up, as a back end that died left it.
   * @param usedIndex the used ring's index: how far requests were given back
   * @returns the heads of the requests that were not, in the order in which they had been taken
   */
  resume(usedIndex: number): number[] {
    const header = this.#header;
    if (header[Header.version] === 0) {
      header[Header.version] = VERSION;
      header[Header.descriptorCount] = this.size;
    } else if (header[Header.usedIndex] !== usedIndex) {
      // It died after it had given the last request back and before it had noted that.
      this.#bytes[ENTRY * (header[Header.lastHead] ?? 0)] = 0;
    }
    header[Header.usedIndex] = usedIndex;
    const heads: number[] = [];
    for (let head = 0; head < this.size; head++) if (this.#bytes[ENTRY * head] === 1) heads.push(head);
    heads.sort((a, b) => this.#counter(a) - this.#counter(b));
    const last = heads.at(-1);
    this.#count = last === undefined ? 0 : this.#counter(last) + 1;
    return heads;
  }

  /** The request has been taken. */
  take(head: number): void {
    const count = this.#count++;
    this.#counters[(ENTRY / 4) * head + 2] = count;
    this.#counters[(ENTRY / 4) * head + 3] = Math.floor(count / 2 ** 32);
    this.#bytes[ENTRY * head] = 1;
  }

  /** The request has not been taken after all. */
  leave(head: number): void {
    this.#bytes[ENTRY * head] = 0;
  }

  /** The request is about to be put into the used ring. */
  beforeUse(head: number): void {
    this.#words[(ENTRY / 2) * head + 3] = this.#header[Header.lastHead] ?? 0;
    // Whoever reads this after a crash must not see the used ring's index change before it.
    Atomics.store(this.#header, Header.lastHead, head);
  }

  /** It is there, and the used ring's index has become `usedIndex`. */
  afterUse(head: number, usedIndex: number): void {
    Atomics.store(this.#bytes, ENTRY * head, 0);
    Atomics.store(this.#header, Header.usedIndex, usedIndex);
  }

  /** How many requests had been taken when this one was; good for their order. */
  #counter(head: number): number {
    const low = this.#counters[(ENTRY / 4) * head + 2] ?? 0;
    return low + (this.#counters[(ENTRY / 4) * head + 3] ?? 0) * 2 ** 32;
  }
}

function unusable(problem: string): VhostUserError {
  return new VhostUserError(
    'PROTOCOL',
    `the other side broke the vhost-user protocol: in SET_INFLIGHT_FD, ${problem}`,
  );
}

import { VhostUserError } from '../errors.ts';

/** "Message format": request, flags and the payload's length, 32 bits each. */
export const HEADER_LENGTH = 12;

/** Flags of the header: version 1, and what kind of message it is. */
export const VERSION = 1;
export const VERSION_MASK = 3;
export const REPLY = 1 << 2;
export const NEED_REPLY = 1 << 3;

/** Longest payload taken: the largest is a configuration space, of at most 256 bytes, or a table of 8 memory regions. */
export const MAXIMUM_PAYLOAD = 4096;

/** Most descriptors that come with a message: one for each memory region. */
export const MAXIMUM_DESCRIPTORS = 8;

/** "A memory region description". Addresses and sizes are below 2^53; larger ones are refused. */
export interface MemoryRegionDescription {
  readonly guestAddress: number;
  readonly size: number;
  /** Where the front end has it, for the addresses of rings. Any 64-bit number. */
  readonly userAddress: bigint;
  /** Where in the descriptor's file it begins. */
  readonly fileOffset: number;
}

/** "A vring address description". */
export interface VringAddress {
  readonly index: number;
  readonly flags: number;
  /** Addresses in the front end. */
  readonly descriptors: bigint;
  readonly used: bigint;
  readonly available: bigint;
}

const CONFIG_HEADER_LENGTH = 12;

/** "Inflight description": the file in which a back end notes what it has taken and not given back. */
export interface InflightDescription {
  /** Bytes, and where in the file they begin. */
  readonly size: number;
  readonly offset: number;
  readonly queueCount: number;
  /** Entries of the longest queue. */
  readonly queueSize: number;
}

/** Bit of the number that comes with a ring's eventfd: there is none. The bits below it are the ring. */
export const NO_DESCRIPTOR = 0x100;

/** Reads a payload front to back; every read is checked against its end. */
export class PayloadReader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #request: string;
  #position = 0;

  /** @param request for messages */
  constructor(bytes: Uint8Array, request: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#request = request;
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }

  /** A 64-bit field that must be below 2^53. */
  u53(what: string): number {
    const value = this.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.error(`${what} is 0x${value.toString(16)}`);
    return Number(value);
  }

  region(): MemoryRegionDescription {
    const guestAddress = this.u53("a region's address");
    const size = this.u53("a region's size");
    const userAddress = this.u64();
    return { guestAddress, size, userAddress, fileOffset: this.u53("a region's offset in its file") };
  }

  vringAddress(): VringAddress {
    const index = this.u32();
    const flags = this.u32();
    const [descriptors, used, available] = [this.u64(), this.u64(), this.u64()];
    this.u64(); // The log's address: dirty pages are not logged here.
    return { index, flags, descriptors, used, available };
  }

  /** "Virtio device config space": the bytes of it that follow its header. */
  config(): Uint8Array {
    this.u32();
    const size = this.u32();
    this.u32();
    const bytes = this.rest();
    if (size !== bytes.length) throw this.error(`${size} bytes of configuration are ${bytes.length}`);
    return bytes;
  }

  inflight(): InflightDescription {
    const size = this.u53('the size of the record of requests in flight');
    const offset = this.u53('the offset of the record of requests in flight');
    return { size, offset, queueCount: this.u16(), queueSize: this.u16() };
  }

  /** All that is left. */
  rest(): Uint8Array {
    return this.#bytes.subarray(this.#position);
  }

  error(problem: string): VhostUserError {
    return new VhostUserError(
      'PROTOCOL',
      `the other side broke the vhost-user protocol: in ${this.#request}, ${problem}`,
    );
  }

  #advance(length: number): number {
    const position = this.#position;
    if (position + length > this.#bytes.length) {
      throw this.error(`a payload of ${this.#bytes.length} bytes ends too early`);
    }
    this.#position += length;
    return position;
  }
}

/** Payloads that this side sends. */
export const payload = {
  u64(value: bigint): Uint8Array {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    return bytes;
  },

  vringState(index: number, number: number): Uint8Array {
    return new Uint8Array(Uint32Array.of(index, number).buffer);
  },

  /** "Multiple memory regions description". */
  memoryTable(regions: readonly MemoryRegionDescription[]): Uint8Array {
    const bytes = new Uint8Array(8 + 32 * regions.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, regions.length, true);
    for (const [index, { guestAddress, size, userAddress, fileOffset }] of regions.entries()) {
      const fields = [BigInt(guestAddress), BigInt(size), userAddress, BigInt(fileOffset)];
      for (const [at, field] of fields.entries()) view.setBigUint64(8 + 32 * index + 8 * at, field, true);
    }
    return bytes;
  },

  vringAddress({ index, flags, descriptors, used, available }: VringAddress): Uint8Array {
    const bytes = new Uint8Array(40);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, index, true);
    view.setUint32(4, flags, true);
    for (const [at, field] of [descriptors, used, available].entries()) {
      view.setBigUint64(8 + 8 * at, field, true);
    }
    return bytes;
  },

  inflight({ size, offset, queueCount, queueSize }: InflightDescription): Uint8Array {
    // Everybody has it as a structure in C, whose length is a multiple of its longest field's.
    const bytes = new Uint8Array(24);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(size), true);
    view.setBigUint64(8, BigInt(offset), true);
    view.setUint16(16, queueCount, true);
    view.setUint16(18, queueSize, true);
    return bytes;
  },

  /** "Virtio device config space". */
  config(offset: number, flags: number, bytes: Uint8Array): Uint8Array {
    const result = new Uint8Array(CONFIG_HEADER_LENGTH + bytes.length);
    const view = new DataView(result.buffer);
    view.setUint32(0, offset, true);
    view.setUint32(4, bytes.length, true);
    view.setUint32(8, flags, true);
    result.set(bytes, CONFIG_HEADER_LENGTH);
    return result;
  },
} as const;

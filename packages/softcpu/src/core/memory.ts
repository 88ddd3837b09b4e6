import { SoftCpuError } from './errors.ts';
import { HART_BASE, HartBlock, PAGE_SIZE } from './layout.ts';
import {
  type MemoryRegion,
  type PlacedMemoryRegion,
  regionsProblem,
  writeMemoryRegions,
} from './memory-regions.ts';

export interface SoftMemoryOptions {
  /** Number of harts. */
  readonly harts: number;
  /** Guest-physical address of RAM: a multiple of 4 KiB, below 2^53. */
  readonly ramBase: number;
  /** Bytes of RAM: a multiple of 4 KiB. */
  readonly ramSize: number;
  /** Bytes for each hart's decoded code pages; about five times the guest code that shall fit. Default 60 MiB. */
  readonly codeSize?: number;
  /** Guest memory beside RAM; none unless given. */
  readonly regions?: readonly MemoryRegion[];
}

/** What another thread needs to attach; can be posted as it is. */
export interface SoftMemoryDescriptor {
  readonly memory: WebAssembly.Memory;
  readonly harts: number;
  readonly hartStride: number;
  readonly ramBase: number;
  readonly ramSize: number;
  readonly ramOffset: number;
  readonly regions: readonly PlacedMemoryRegion[];
}

const WASM_PAGE_SIZE = 0x1_0000;
/** A 32-bit WebAssembly memory has 65,536 pages; the last one stays free so that `offset + 8` cannot wrap. */
const MAXIMUM_SIZE = 0xffff_0000;
const DEFAULT_CODE_SIZE = 60 << 20;

/**
 * The one shared WebAssembly memory of a machine: hart blocks, RAM, other regions (`core/layout.ts`). Each thread has its own
 * `SoftMemory` object over the same bytes.
 */
export class SoftMemory {
  readonly memory: WebAssembly.Memory;
  readonly harts: number;
  /** Bytes from one hart's block to the next. */
  readonly hartStride: number;
  readonly ramBase: number;
  readonly ramSize: number;
  /** Offset of RAM in the WebAssembly memory: a multiple of 64 KiB, so that a memfd can be mapped over it. */
  readonly ramOffset: number;
  /** Guest memory beside RAM: files can be mapped over it in the same way. */
  readonly regions: readonly PlacedMemoryRegion[];
  /** The whole memory, by bytes and by words. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly u16: Uint16Array<SharedArrayBuffer>;
  readonly u32: Uint32Array<SharedArrayBuffer>;
  readonly i32: Int32Array<SharedArrayBuffer>;
  /** Guest RAM. */
  readonly ram: Uint8Array<SharedArrayBuffer>;

  private constructor(descriptor: SoftMemoryDescriptor) {
    this.memory = descriptor.memory;
    this.harts = descriptor.harts;
    this.hartStride = descriptor.hartStride;
    this.ramBase = descriptor.ramBase;
    this.ramSize = descriptor.ramSize;
    this.ramOffset = descriptor.ramOffset;
    this.regions = descriptor.regions;
    const buffer = sharedBufferOf(this.memory);
    this.bytes = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.ram = new Uint8Array(buffer, this.ramOffset, this.ramSize);
  }

  /**
   * Allocates the memory of a machine, zeroed. Pages are taken from the host when first touched.
   *
   * @throws SoftCpuError BAD_LAYOUT if it cannot be laid out in 4 GiB.
   */
  static create({
    harts,
    ramBase,
    ramSize,
    codeSize = DEFAULT_CODE_SIZE,
    regions = [],
  }: SoftMemoryOptions): SoftMemory {
    for (const [name, value] of Object.entries({ ramBase, ramSize, codeSize })) {
      if (!Number.isSafeInteger(value) || value < 0 || value % PAGE_SIZE !== 0) {
        throw new SoftCpuError('BAD_LAYOUT', `${name} is ${value}: give a multiple of ${PAGE_SIZE} bytes`);
      }
    }
    if (!Number.isInteger(harts) || harts < 1) {
      throw new SoftCpuError('BAD_LAYOUT', `${harts} harts: a machine has at least one`);
    }
    const hartStride = roundUp(HartBlock.decodedPages + codeSize, WASM_PAGE_SIZE);
    const ramOffset = HART_BASE + harts * hartStride;
    const problem = regionsProblem(regions, { base: ramBase, size: ramSize });
    if (problem !== undefined) throw new SoftCpuError('BAD_LAYOUT', problem);
    let size = roundUp(ramOffset + ramSize, WASM_PAGE_SIZE);
    const placed = regions.map((region) => {
      const offset = size;
      size += roundUp(region.size, WASM_PAGE_SIZE);
      return { ...region, offset };
    });
    if (size > MAXIMUM_SIZE) {
      const most = Math.max(0, MAXIMUM_SIZE - ramOffset);
      throw new SoftCpuError(
        'BAD_LAYOUT',
        `${size - ramOffset} bytes of guest memory for ${harts} harts exceed a 32-bit WebAssembly memory: at most ${most} bytes fit`,
      );
    }
    const pages = size / WASM_PAGE_SIZE;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const created = new SoftMemory({
      memory,
      harts,
      hartStride,
      ramBase,
      ramSize,
      ramOffset,
      regions: placed,
    });
    writeMemoryRegions(created.u32, placed);
    return created;
  }

  /** The machine's memory on another thread. */
  static attach(descriptor: SoftMemoryDescriptor): SoftMemory {
    return new SoftMemory(descriptor);
  }

  descriptor(): SoftMemoryDescriptor {
    const { memory, harts, hartStride, ramBase, ramSize, ramOffset, regions } = this;
    return { memory, harts, hartStride, ramBase, ramSize, ramOffset, regions };
  }

  /** Offset in the WebAssembly memory of what is at a guest-physical address; -1 where there is no memory. */
  offsetOf(physicalAddress: number): number {
    const { ramBase, ramSize, ramOffset, regions } = this;
    if (physicalAddress >= ramBase && physicalAddress < ramBase + ramSize) {
      return ramOffset + (physicalAddress - ramBase);
    }
    const region = regions.find(({ base, size }) => physicalAddress >= base && physicalAddress < base + size);
    return region === undefined ? -1 : region.offset + (physicalAddress - region.base);
  }

  /**
   * Address of a hart's block in the WebAssembly memory.
   *
   * @throws SoftCpuError NO_SUCH_HART
   */
  hartBlock(hart: number): number {
    if (!Number.isInteger(hart) || hart < 0 || hart >= this.harts) {
      throw new SoftCpuError('NO_SUCH_HART', `hart ${hart} does not exist: there are ${this.harts}`);
    }
    return HART_BASE + hart * this.hartStride;
  }

  /**
   * Sets bits of a hart's `interruptRequest` and wakes it, from any thread.
   *
   * @param bits bits of `Request` (core/layout.ts)
   */
  request(hart: number, bits: number): void {
    const index = (this.hartBlock(hart) + HartBlock.interruptRequest) >>> 2;
    Atomics.or(this.i32, index, bits);
    Atomics.notify(this.i32, index);
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** A shared memory's buffer is a SharedArrayBuffer; the library's types do not say so. */
function sharedBufferOf(memory: WebAssembly.Memory): SharedArrayBuffer {
  const buffer: ArrayBufferLike = memory.buffer;
  if (buffer instanceof SharedArrayBuffer) return buffer;
  throw new SoftCpuError('BAD_LAYOUT', 'the WebAssembly memory of a machine must be shared');
}

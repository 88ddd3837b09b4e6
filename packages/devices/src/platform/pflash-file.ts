import { constants, fstatSync, openSync, readSync } from 'node:fs';
import { FileDescriptor, flock, MemFd, mapShared } from '@tsvmm/base';
import { DeviceError } from '../errors.ts';
import { createPflashState, type PflashDescriptor } from './pflash.ts';

/** Most bytes: what QEMU's `virt` machine, for which firmware is built, has for each of its two chips. */
const MAXIMUM_SIZE = 64 * 2 ** 20;
/** What can be guest memory. */
const PAGE_SIZE = 4096;
const SMALLEST_BLOCK = 256;
/** Blocks are counted in 16 bits. */
const MAXIMUM_BLOCKS = 2 ** 16;

/** How a board has its flash memory. */
export interface PflashOptions {
  /** Bytes that are erased together: a power of two from 256 on, of which the size is a multiple. */
  readonly blockSize: number;
  /** Bytes of the data bus: one chip of 8 bits, or two of 16 beside each other. */
  readonly bankWidth: 1 | 4;
}

/** The file that keeps the contents of flash memory, and a copy of it that the guest can have as memory. */
export class PflashFile implements Disposable {
  /** Bytes. */
  readonly size: number;
  readonly #path: string;
  readonly #file: FileDescriptor;
  readonly #memory: MemFd;
  readonly #contents: SharedArrayBuffer;

  private constructor(path: string, file: FileDescriptor, memory: MemFd, contents: SharedArrayBuffer) {
    this.#path = path;
    this.#file = file;
    this.#memory = memory;
    this.#contents = contents;
    this.size = memory.size;
  }

  /**
   * Opens a file, and locks it as long as it is open.
   *
   * @throws DeviceError BACKEND_FAILED when the file cannot be opened for reading and writing, or another machine uses it;
   * BAD_OPTION for a size that flash memory cannot have
   */
  static open(path: string): PflashFile {
    using cleanup = new DisposableStack();
    try {
      const file = cleanup.use(new FileDescriptor(openSync(path, constants.O_RDWR)));
      if (!flock(file.number, 'exclusive')) {
        throw new DeviceError(
          'BACKEND_FAILED',
          `The flash image ${path} is in use: give each machine a copy of its own.`,
        );
      }
      const { size } = fstatSync(file.number);
      if (size === 0 || size > MAXIMUM_SIZE || size % PAGE_SIZE !== 0) {
        throw new DeviceError(
          'BAD_OPTION',
          `The flash image ${path} has ${size} bytes: it needs a multiple of ${PAGE_SIZE}, up to ${MAXIMUM_SIZE}.`,
        );
      }
      const memory = cleanup.use(MemFd.create({ name: 'tsvmm-flash', size }));
      const { buffer } = mapShared(memory.descriptor.number, 0, size);
      readWhole(path, file.number, new Uint8Array(buffer, 0, size));
      cleanup.move();
      return new PflashFile(path, file, memory, buffer);
    } catch (cause) {
      if (cause instanceof DeviceError) throw cause;
      throw new DeviceError(
        'BACKEND_FAILED',
        `The flash image ${path} cannot be opened for reading and writing.`,
        { cause },
      );
    }
  }

  /** The contents as memory, for the guest to read. */
  get memory(): number {
    return this.#memory.descriptor.number;
  }

  /**
   * Makes the chips.
   *
   * @param region the contents as a part of guest memory that can be hidden, for the environment's `attachRegion`; without,
   * each access leaves the vCPU
   * @throws DeviceError BAD_OPTION for blocks that the contents are not made of
   */
  describe({ blockSize, bankWidth }: PflashOptions, region?: unknown): PflashDescriptor {
    const blocks = this.size / blockSize;
    if (!Number.isInteger(Math.log2(blockSize)) || blockSize < SMALLEST_BLOCK) {
      throw new DeviceError(
        'BAD_OPTION',
        `A flash block has a power of two of bytes from ${SMALLEST_BLOCK} on, not ${blockSize}.`,
      );
    }
    if (!Number.isInteger(blocks) || blocks > MAXIMUM_BLOCKS) {
      throw new DeviceError(
        'BAD_OPTION',
        `The flash image ${this.#path} has ${this.size} bytes: it needs whole blocks of ${blockSize}, up to ${MAXIMUM_BLOCKS}.`,
      );
    }
    const { size } = this;
    const parts = { size, contents: this.#contents, file: this.#file.number, region };
    return { kind: 'pflash', state: createPflashState(), blockSize, bankWidth, ...parts };
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
    this.#file[Symbol.dispose]();
  }
}

function readWhole(path: string, file: number, into: Uint8Array): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(file, into, done, into.length - done, done);
    if (count === 0) {
      throw new DeviceError('BACKEND_FAILED', `The flash image ${path} has become shorter.`);
    }
    done += count;
  }
}

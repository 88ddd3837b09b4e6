import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import {
  blockDeviceSize,
  discardBlocks,
  fallocate,
  fdatasync,
  flock,
  preadv,
  pwritev,
  SystemError,
  zeroBlocks,
} from '@tsvmm/base';
import { DeviceError } from '../../errors.ts';
import type { Segments } from '../queue/segments.ts';

/**
 * What a block device stores its data in. Positions and lengths are bytes. Every method blocks the calling thread and
 * throws when the host cannot do it; the guest then sees an I/O error.
 */
export interface DiskBackend extends Disposable {
  readonly size: number;
  /** Fills all segments with the bytes from `position` on. */
  readv(position: number, segments: Segments): void;
  /** Writes all segments to `position` on. */
  writev(position: number, segments: Segments): void;
  /** Brings everything written before to stable storage. */
  flush(): void;
  /** Says that a range is not needed any more; what it reads as afterwards is undefined. */
  discard(position: number, length: number): void;
  /** Makes a range read as zero; `mayUnmap` allows it to lose its space on the disk. */
  writeZeroes(position: number, length: number, mayUnmap: boolean): void;
}

/** How a {@link RawDisk} is opened. */
export interface RawDiskOptions {
  /** A file or block device. */
  readonly path: string;
  readonly readOnly?: boolean;
  /** Refuse an image that another program uses: shared for readers, exclusive for a writer; true unless given. */
  readonly lock?: boolean;
}

const ZEROES = new Uint8Array(64 * 1024);

/** A raw image: byte n of the disk is byte n of a file or block device. */
export class RawDisk implements DiskBackend {
  readonly size: number;
  readonly #fd: number;
  readonly #isBlockDevice: boolean;

  private constructor(fd: number, size: number, isBlockDevice: boolean) {
    this.#fd = fd;
    this.size = size;
    this.#isBlockDevice = isBlockDevice;
  }

  /** @throws DeviceError BACKEND_FAILED */
  static open({ path, readOnly = false, lock = true }: RawDiskOptions): RawDisk {
    let fd = -1;
    try {
      fd = openSync(path, readOnly ? constants.O_RDONLY : constants.O_RDWR);
      const stat = fstatSync(fd);
      if (!stat.isFile() && !stat.isBlockDevice()) {
        throw new DeviceError('BACKEND_FAILED', `${path} is neither a file nor a block device.`);
      }
      if (lock && !flock(fd, readOnly ? 'shared' : 'exclusive')) {
        throw new DeviceError(
          'BACKEND_FAILED',
          `The disk ${path} is in use by another program: stop that, or give both the disk read-only.`,
        );
      }
      const isBlockDevice = stat.isBlockDevice();
      return new RawDisk(fd, isBlockDevice ? blockDeviceSize(fd) : stat.size, isBlockDevice);
    } catch (cause) {
      if (fd >= 0) closeSync(fd);
      if (cause instanceof DeviceError) throw cause;
      const how = readOnly ? 'reading' : 'reading and writing';
      throw new DeviceError('BACKEND_FAILED', `The disk ${path} cannot be opened for ${how}.`, { cause });
    }
  }

  readv(position: number, segments: Segments): void {
    const count = preadv(this.#fd, position, segments.memory, segments.pairs, segments.count);
    if (count !== segments.byteLength) {
      throw new DeviceError(
        'BACKEND_FAILED',
        `The disk has become shorter than ${position + segments.byteLength}.`,
      );
    }
  }

  writev(position: number, segments: Segments): void {
    pwritev(this.#fd, position, segments.memory, segments.pairs, segments.count);
  }

  flush(): void {
    fdatasync(this.#fd);
  }

  discard(position: number, length: number): void {
    try {
      if (this.#isBlockDevice) discardBlocks(this.#fd, position, length);
      else fallocate(this.#fd, 'punchHole', position, length);
    } catch (error) {
      // A discard is advice.
      if (!isUnsupported(error)) throw error;
    }
  }

  writeZeroes(position: number, length: number, mayUnmap: boolean): void {
    try {
      if (this.#isBlockDevice) zeroBlocks(this.#fd, position, length);
      else fallocate(this.#fd, mayUnmap ? 'punchHole' : 'zeroRange', position, length);
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      const pair = new Float64Array(2);
      for (let done = 0; done < length; done += ZEROES.length) {
        pair[1] = Math.min(ZEROES.length, length - done);
        pwritev(this.#fd, position + done, ZEROES, pair, 1);
      }
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function isUnsupported(error: unknown): boolean {
  return error instanceof SystemError && error.code === 'ENOTSUP';
}

import { constants, openSync } from 'node:fs';
import { SystemError } from './error.ts';
import { native } from './native.ts';

const ACCESS = {
  read: constants.O_RDONLY,
  write: constants.O_WRONLY,
  readWrite: constants.O_RDWR,
} as const;

/** An open descriptor and the duty to close it. It is never inherited by programs this process starts (CLOEXEC). */
export class FileDescriptor implements Disposable {
  #number: number;

  /** Takes over `number`: from here on nobody else closes it. */
  constructor(number: number) {
    if (!Number.isInteger(number) || number < 0 || number > 0x7fffffff) {
      throw new SystemError(22, 'dup', `${number} is not a descriptor number`);
    }
    this.#number = number;
  }

  /** A new descriptor of the open file behind `number`, which stays its owner's. */
  static duplicateOf(number: number): FileDescriptor {
    return new FileDescriptor(native.duplicateDescriptor(number));
  }

  /** Opens an existing file or device. Errors are Node's own. */
  static open(path: string, access: keyof typeof ACCESS): FileDescriptor {
    return new FileDescriptor(openSync(path, ACCESS[access]));
  }

  /** The number to hand to system calls. Throws EBADF once it is closed. */
  get number(): number {
    if (this.#number < 0) throw new SystemError(9, 'close', 'This descriptor was closed before');
    return this.#number;
  }

  get isOpen(): boolean {
    return this.#number >= 0;
  }

  duplicate(): FileDescriptor {
    return FileDescriptor.duplicateOf(this.number);
  }

  /** Gives the number, and the duty to close it, to the caller. */
  release(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  [Symbol.dispose](): void {
    if (this.#number >= 0) native.closeDescriptor(this.release());
  }
}

/** A descriptor that is used but not owned: disposing leaves it open. */
export class BorrowedDescriptor extends FileDescriptor {
  override [Symbol.dispose](): void {
    if (this.isOpen) this.release();
  }
}

/** A pipe: what is written to `writer` is read from `reader`. */
export function pipe(): { reader: FileDescriptor; writer: FileDescriptor } {
  const ends = new Int32Array(2);
  native.createPipe(ends);
  return { reader: new FileDescriptor(ends[0] ?? -1), writer: new FileDescriptor(ends[1] ?? -1) };
}

/** Sets whether operations on the open file (in every process that shares it) fail with EAGAIN instead of waiting. */
export function setNonBlocking(fd: number, value: boolean): void {
  native.setNonBlocking(fd, value);
}

/**
 * Blocks the calling thread until `fd` is readable, at its end, or failed.
 * @param timeoutMs milliseconds; for ever when left out
 * @returns false at the timeout
 */
export function waitReadable(fd: number, timeoutMs = -1): boolean {
  return native.waitReadable(fd, timeoutMs);
}

/**
 * Reads what a pipe, terminal or socket has, without ever blocking.
 * @returns the bytes read, 0 at the end of the stream, -1 when there is nothing yet
 */
export function readAvailable(
  fd: number,
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): number {
  return native.readAvailable(fd, bytes, offset, length);
}

/**
 * Writes all bytes to a descriptor that may be non-blocking, waiting (the thread blocks) whenever it is full.
 * @param timeoutMs milliseconds; for ever when left out
 * @throws {SystemError} EPIPE when nobody reads any more, ETIMEDOUT; the message tells how much was written
 */
export function writeFully(
  fd: number,
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
  timeoutMs = -1,
): void {
  native.writeFully(fd, bytes, offset, length, timeoutMs);
}

import { SystemError } from '@tsvmm/base';
import { DeviceError } from '../errors.ts';
import { DatagramConnection } from './datagram.ts';
import type { SerialSink } from './sinks.ts';

/** Bytes of the longest datagram, which receivers like socat take whole. */
const DATAGRAM_LENGTH = 8192;

/**
 * `type=unix`: datagrams to a Unix socket. A write is one of them, or several of at most 8192 bytes; put together they
 * are what the guest wrote. A receiver that is slow is waited for, and one that goes away fails the write.
 */
export class UnixDatagramSink implements SerialSink {
  readonly name: string;
  readonly #connection: DatagramConnection;

  private constructor(path: string, connection: DatagramConnection) {
    this.name = path;
    this.#connection = connection;
  }

  /** @throws DeviceError BACKEND_FAILED when nobody receives datagrams at `path` */
  static connect(path: string): UnixDatagramSink {
    try {
      return new UnixDatagramSink(path, new DatagramConnection(path));
    } catch (cause) {
      throw new DeviceError(
        'BACKEND_FAILED',
        `No connection to the Unix datagram socket ${path}: ${remedy(cause)}.`,
        { cause },
      );
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length; start += DATAGRAM_LENGTH) {
      await this.#connection.send(bytes.subarray(start, start + DATAGRAM_LENGTH));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection[Symbol.dispose]();
  }
}

/** What to do about a connection that there cannot be. */
function remedy(cause: unknown): string {
  switch (cause instanceof SystemError ? cause.code : undefined) {
    case 'EACCES':
      return 'permission denied, check the modes of the socket and its directories';
    case 'EINVAL':
      return 'a path has at most 107 bytes, use a shorter directory or a relative path';
    case 'EPROTOTYPE':
      return 'it is a stream socket, which is type=unix-stream';
    default:
      return 'start its receiver first';
  }
}

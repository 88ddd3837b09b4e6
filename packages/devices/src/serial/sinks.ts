import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { DeviceError } from '../errors.ts';
import { SyslogSink, type SyslogSinkOptions } from './syslog-sink.ts';
import { UnixDatagramSink } from './unix-datagram-sink.ts';

/** Where a serial port's output goes. */
export interface SerialSink extends AsyncDisposable {
  /** What it is, for error messages. */
  readonly name: string;
  /**
   * Takes all of `bytes`, which are the ring's own: they may change once the promise is settled. Not called again
   * before that.
   */
  write(bytes: Uint8Array): Promise<void>;
}

/** Errors are reported by the write that fails; without a listener they would end the process. */
const ignoreError = (): void => {};

/** `type=sink`: discards everything. */
export class DiscardSink implements SerialSink {
  readonly name = 'the sink';
  async write(_bytes: Uint8Array): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A stream of this process, like standard output, which stays open. */
export class StreamSink implements SerialSink {
  readonly name: string;
  readonly #stream: Writable;

  constructor(stream: Writable, name: string) {
    this.#stream = stream;
    this.name = name;
    stream.on('error', ignoreError);
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      // A copy: streams are not made for memory that others share.
      this.#stream.write(Buffer.from(bytes), (error) => (error ? reject(error) : resolve()));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.off('error', ignoreError);
  }
}

/** `type=file`: appends to a file, FIFO or device, which is created if there is none. */
export class FileSink implements SerialSink {
  readonly name: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.name = path;
    this.#file = file;
  }

  /** @throws DeviceError BACKEND_FAILED when the file cannot be opened */
  static async open(path: string): Promise<FileSink> {
    try {
      return new FileSink(path, await open(path, 'a'));
    } catch (cause) {
      throw new DeviceError(
        'BACKEND_FAILED',
        `The serial output file ${path} cannot be opened for writing.`,
        { cause },
      );
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#file.write(bytes, done)).bytesWritten;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

/** `type=unix-stream`: a connection to a Unix stream socket, which can also be the port's input. */
export class UnixStreamSink implements SerialSink {
  readonly name: string;
  /** The connection, to read input from. */
  readonly socket: Socket;

  private constructor(path: string, socket: Socket) {
    this.name = path;
    this.socket = socket;
    socket.on('error', ignoreError);
  }

  /** @throws DeviceError BACKEND_FAILED when nobody listens at `path` */
  static async connect(path: string): Promise<UnixStreamSink> {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
    } catch (cause) {
      throw new DeviceError(
        'BACKEND_FAILED',
        `No connection to the Unix socket ${path}: start its server first.`,
        {
          cause,
        },
      );
    }
    return new UnixStreamSink(path, socket);
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.write(Buffer.from(bytes), (error) => (error ? reject(error) : resolve()));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.closed) return;
    const closed = new Promise((resolve) => this.socket.once('close', resolve));
    this.socket.end();
    this.socket.resume();
    this.socket.destroySoon();
    await closed;
  }
}

/** Where output is to go, in the words of `--serial type=`. */
export type SerialSinkOptions =
  | { readonly type: 'stdout' | 'sink' }
  | ({ readonly type: 'syslog' } & SyslogSinkOptions)
  | { readonly type: 'file' | 'unix' | 'unix-stream'; readonly path: string };

/**
 * Opens a sink.
 * @throws DeviceError BACKEND_FAILED when the file, the socket or the system log cannot be opened, BAD_OPTION
 */
export async function openSerialSink(options: SerialSinkOptions): Promise<SerialSink> {
  switch (options.type) {
    case 'stdout':
      return new StreamSink(process.stdout, 'standard output');
    case 'sink':
      return new DiscardSink();
    case 'file':
      return await FileSink.open(options.path);
    case 'unix':
      return UnixDatagramSink.connect(options.path);
    case 'unix-stream':
      return await UnixStreamSink.connect(options.path);
    case 'syslog':
      return SyslogSink.open(options);
  }
}

import { statSync, unlinkSync } from 'node:fs';
import { FileDescriptor } from './descriptor.ts';
import { SystemError } from './error.ts';
import { native } from './native.ts';
import { Readiness } from './readiness.ts';
import { Watcher } from './watcher.ts';

/** The numbers that the add-on knows the types by. */
const SOCKET_TYPES = { stream: 0, seqpacket: 1, dgram: 2 } as const;

/**
 * `stream` is a sequence of bytes; `seqpacket` keeps the boundaries of messages; `dgram` does too, but knows no
 * connections: anybody may send to who has bound a path, and there is no end to receive. All are reliable and in order.
 */
export type SocketType = keyof typeof SOCKET_TYPES;

/** What the kernel lets travel with one message (SCM_MAX_FD). */
const MAXIMUM_DESCRIPTORS = 253;

/** What one receive returned. The receiver owns the descriptors. */
export interface ReceivedMessage {
  /** Bytes written to the buffer; 0 is the end of the stream, or an empty datagram. */
  readonly length: number;
  readonly descriptors: readonly FileDescriptor[];
}

// Scratch of this thread: calls never nest, as no JavaScript runs between filling and reading it.
const numbers = new Int32Array(MAXIMUM_DESCRIPTORS);
const received = new Int32Array(1);
const NO_DESCRIPTORS: readonly FileDescriptor[] = [];

/** A Unix socket, connected or bound, that passes bytes and descriptors. */
export class UnixSocket implements Disposable {
  readonly descriptor: FileDescriptor;
  /** The file that `bind` made. */
  readonly #path: string | undefined;

  /** Takes over a connected socket, or a bound one with the file that disposing it removes. */
  constructor(descriptor: FileDescriptor, path?: string) {
    this.descriptor = descriptor;
    this.#path = path;
  }

  /** Two sockets connected with each other. */
  static pair(type: SocketType = 'stream'): [UnixSocket, UnixSocket] {
    const ends = new Int32Array(2);
    native.createSocketPair(SOCKET_TYPES[type], ends);
    return [
      new UnixSocket(new FileDescriptor(ends[0] ?? -1)),
      new UnixSocket(new FileDescriptor(ends[1] ?? -1)),
    ];
  }

  /**
   * Connects to a listener, waiting (the thread blocks) only while too many others do; or, with `dgram`, says where
   * messages go.
   * @param path of a file, or after a NUL character a name that belongs to no file (abstract)
   * @throws {SystemError} ENOENT, ECONNREFUSED, ETIMEDOUT; EPROTOTYPE when the other side has another type
   */
  static connect(path: string, type: SocketType = 'stream', timeoutMs = -1): UnixSocket {
    return new UnixSocket(new FileDescriptor(native.connectSocket(path, SOCKET_TYPES[type], timeoutMs)));
  }

  /**
   * A `dgram` socket that receives what anybody sends to `path`, which disposing removes. It sends to nobody.
   * @param path of at most 107 bytes; or after a NUL character a name that belongs to no file (abstract)
   * @throws {SystemError} EADDRINUSE when the path exists
   */
  static bind(path: string): UnixSocket {
    return new UnixSocket(new FileDescriptor(native.bindSocket(path)), fileOf(path));
  }

  /**
   * Sends all bytes, blocking the thread while the peer does not read. Descriptors stay the sender's; the peer gets
   * duplicates with the first byte.
   * @throws {SystemError} EPIPE, ECONNRESET, ETIMEDOUT; EMSGSIZE when a message is larger than the socket's buffer;
   * with `dgram` ECONNREFUSED when the peer has gone, and ENOTCONN from then on
   */
  sendMessage(bytes: Uint8Array, descriptors: readonly FileDescriptor[] = [], timeoutMs = -1): void {
    // A timeout of 0 would be the non-blocking form.
    this.#send(bytes, descriptors, timeoutMs === 0 ? Number.MIN_VALUE : timeoutMs);
  }

  /**
   * Sends what fits without blocking; of a message, all or nothing.
   * @returns the bytes sent, with which all descriptors went; -1 when nothing was sent
   */
  trySendMessage(bytes: Uint8Array, descriptors: readonly FileDescriptor[] = []): number {
    return this.#send(bytes, descriptors, 0);
  }

  #send(bytes: Uint8Array, descriptors: readonly FileDescriptor[], timeoutMs: number): number {
    const count = descriptors.length;
    for (let i = 0; i < count && i < MAXIMUM_DESCRIPTORS; i++) numbers[i] = descriptors[i]?.number ?? -1;
    return native.sendOnSocket(this.descriptor.number, bytes, 0, bytes.length, numbers, count, timeoutMs);
  }

  /**
   * Receives into `buffer`, blocking the thread until something arrives.
   * @param maxDescriptors how many descriptors are welcome, at most 253
   * @returns undefined at the timeout
   * @throws {SystemError} EMSGSIZE when more descriptors, or a larger message, came than there is room for; all of the
   * message's descriptors are closed then
   */
  receiveMessage(buffer: Uint8Array, maxDescriptors = 0, timeoutMs = -1): ReceivedMessage | undefined {
    const length = native.receiveOnSocket(
      this.descriptor.number,
      buffer,
      0,
      buffer.length,
      numbers,
      maxDescriptors,
      received,
      timeoutMs,
    );
    if (length < 0) return undefined;
    const count = received[0] ?? 0;
    if (count === 0) return { length, descriptors: NO_DESCRIPTORS };
    return {
      length,
      descriptors: Array.from(numbers.subarray(0, count), (number) => new FileDescriptor(number)),
    };
  }

  /** {@link receiveMessage} that never blocks; undefined when nothing has arrived. */
  tryReceiveMessage(buffer: Uint8Array, maxDescriptors = 0): ReceivedMessage | undefined {
    return this.receiveMessage(buffer, maxDescriptors, 0);
  }

  /** Calls back on this thread's event loop when there is something to receive, the end included. */
  onReadable(callback: () => void): Watcher {
    return new Watcher(this.descriptor.number, Readiness.readable, callback);
  }

  /** Calls back on this thread's event loop when there is room to send: dispose it when there is nothing to send. */
  onWritable(callback: () => void): Watcher {
    return new Watcher(this.descriptor.number, Readiness.writable, callback);
  }

  /** Ends one or both directions: the peer then receives the end, or cannot send any more. */
  shutdown(direction: 'receive' | 'send' | 'both'): void {
    native.shutdownSocket(this.descriptor.number, direction !== 'send', direction !== 'receive');
  }

  /** Who made the connection, as the kernel saw it: process, user and group id. Nobody makes those of `dgram`. */
  get peer(): { readonly pid: number; readonly uid: number; readonly gid: number } {
    const result = new Int32Array(3);
    native.socketPeer(this.descriptor.number, result);
    const [pid = 0, uid = 0, gid = 0] = result;
    return { pid, uid: uid >>> 0, gid: gid >>> 0 };
  }

  [Symbol.dispose](): void {
    if (!this.descriptor.isOpen) return;
    this.descriptor[Symbol.dispose]();
    removeFile(this.#path);
  }
}

/** How a {@link UnixListener} listens. */
export interface ListenOptions {
  readonly type?: Exclude<SocketType, 'dgram'>;
  /** Connections that may wait to be accepted; 128 when left out. */
  readonly backlog?: number;
  /** Whether to take the place of a socket at which nobody listens any more, as one that was killed leaves; false when left out. */
  readonly replaceDead?: boolean;
}

/** Waits for connections at a path; disposing it removes the path. */
export class UnixListener implements Disposable {
  readonly descriptor: FileDescriptor;
  /** The file that was made, unless it is an abstract name or the socket was inherited. */
  readonly #path: string | undefined;

  /** Takes over a listening socket, for example one that a supervisor passed on. */
  constructor(descriptor: FileDescriptor, path?: string) {
    this.descriptor = descriptor;
    this.#path = path;
  }

  /**
   * @param path of at most 107 bytes; or after a NUL character a name that belongs to no file (abstract)
   * @throws {SystemError} EADDRINUSE when the path exists
   */
  static listen(path: string, options: ListenOptions = {}): UnixListener {
    if (options.replaceDead === true && isDead(path)) removeFile(fileOf(path));
    const fd = native.listenSocket(path, SOCKET_TYPES[options.type ?? 'stream'], options.backlog ?? 128);
    return new UnixListener(new FileDescriptor(fd), fileOf(path));
  }

  /** Blocks the calling thread until somebody connects; undefined at the timeout. */
  accept(timeoutMs = -1): UnixSocket | undefined {
    const fd = native.acceptSocket(this.descriptor.number, timeoutMs);
    return fd < 0 ? undefined : new UnixSocket(new FileDescriptor(fd));
  }

  /** {@link accept} that never blocks; undefined when nobody has connected. */
  tryAccept(): UnixSocket | undefined {
    return this.accept(0);
  }

  /** Calls back on this thread's event loop with each connection. */
  onConnection(callback: (socket: UnixSocket) => void): Watcher {
    return new Watcher(this.descriptor.number, Readiness.readable, () => {
      const socket = this.tryAccept();
      if (socket) callback(socket);
    });
  }

  [Symbol.dispose](): void {
    if (!this.descriptor.isOpen) return;
    this.descriptor[Symbol.dispose]();
    removeFile(this.#path);
  }
}

/** Whether there is a socket at `path` that nobody listens at. */
function isDead(path: string): boolean {
  if (statSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return false;
  try {
    using _connection = UnixSocket.connect(path, 'stream', 0);
    return false;
  } catch (error) {
    return error instanceof SystemError && error.code === 'ECONNREFUSED';
  }
}

/** The file that binding to `path` makes; abstract names make none. */
function fileOf(path: string): string | undefined {
  return path.startsWith('\0') ? undefined : path;
}

/** Removes the file of a socket that was closed. */
function removeFile(path: string | undefined): void {
  if (path === undefined) return;
  try {
    unlinkSync(path);
  } catch (error) {
    // Somebody has removed it already.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

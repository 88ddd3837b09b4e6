import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { SystemError } from './error.ts';

/** An event-loop registration that lives in the add-on. */
export interface NativeWatcher {
  readonly __watcher: unique symbol;
}

/**
 * The whole operating-system interface of this package: `native/linux/*.cc` implements it for Linux, documents each
 * function beside its code, checks every argument and throws {@link SystemError}.
 */
export interface Native {
  readonly pageSize: number;
  setErrorFactory(create: (errno: number, syscall: string, what: string) => Error): void;

  closeDescriptor(fd: number): void;
  duplicateDescriptor(fd: number): number;
  createPipe(ends: Int32Array): void;
  setNonBlocking(fd: number, value: boolean): void;
  waitReadable(fd: number, timeoutMs: number): boolean;
  readAvailable(fd: number, bytes: Uint8Array, offset: number, length: number): number;
  writeFully(fd: number, bytes: Uint8Array, offset: number, length: number, timeoutMs: number): void;

  createEvent(initial: number): number;
  signalEvent(fd: number, count: number): void;
  readCounter(fd: number): number;
  waitCounter(fd: number, timeoutMs: number): number;
  createTimer(realtime: boolean): number;
  setTimer(fd: number, firstNs: number, periodNs: number, absolute: boolean): void;

  createPoll(): number;
  addToPoll(poll: number, fd: number, interest: number, token: number): void;
  changeInPoll(poll: number, fd: number, interest: number, token: number): void;
  removeFromPoll(poll: number, fd: number): void;
  waitForPoll(poll: number, results: Int32Array, timeoutMs: number): number;

  startWatcher(fd: number, interest: number, callback: (readiness: number) => void): NativeWatcher;
  stopWatcher(watcher: NativeWatcher): void;
  setWatcherReferenced(watcher: NativeWatcher, value: boolean): void;

  createMemory(name: string, size: number, seal: boolean, hugePageShift: number): number;
  isSizeSealed(fd: number): boolean;
  mapInto(
    bytes: Uint8Array,
    offset: number,
    length: number,
    fd: number,
    fdOffset: number,
    readOnly: boolean,
  ): void;
  unmapFrom(bytes: Uint8Array, offset: number, length: number): void;
  mapBuffer(fd: number, fdOffset: number, length: number, readOnly: boolean): ArrayBuffer;
  mapShared(fd: number, fdOffset: number, length: number, readOnly: boolean): SharedArrayBuffer | undefined;
  discardMemory(bytes: Uint8Array, offset: number, length: number): void;
  adviseMemory(bytes: Uint8Array, offset: number, length: number, advice: number): void;
  residentPages(bytes: Uint8Array, offset: number, length: number): number;

  createSocketPair(type: number, ends: Int32Array): void;
  bindSocket(path: string): number;
  listenSocket(path: string, type: number, backlog: number): number;
  connectSocket(path: string, type: number, timeoutMs: number): number;
  acceptSocket(fd: number, timeoutMs: number): number;
  sendOnSocket(
    fd: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    fds: Int32Array,
    fdCount: number,
    timeoutMs: number,
  ): number;
  receiveOnSocket(
    fd: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    fds: Int32Array,
    maxFds: number,
    result: Int32Array,
    timeoutMs: number,
  ): number;
  shutdownSocket(fd: number, reading: boolean, writing: boolean): void;
  socketPeer(fd: number, result: Int32Array): void;

  isTerminal(fd: number): boolean;
  enterRawMode(fd: number, keepSignals: boolean): number;
  leaveRawMode(slot: number): void;
  windowSize(fd: number, result: Int32Array): void;

  readSegments(
    fd: number,
    position: number,
    bytes: Uint8Array,
    segments: Float64Array,
    count: number,
  ): number;
  writeSegments(
    fd: number,
    position: number,
    bytes: Uint8Array,
    segments: Float64Array,
    count: number,
  ): number;
  allocateFile(fd: number, mode: number, offset: number, length: number): void;
  seekFile(fd: number, hole: boolean, offset: number): number;
  fileAttributes(path: Uint8Array): Buffer[];
  syncFile(fd: number, dataOnly: boolean): void;
  lockRange(fd: number, kind: number, start: number, length: number): boolean;
  isRangeLocked(fd: number, kind: number, start: number, length: number): boolean;
  lockFile(fd: number, kind: number): boolean;
  blockDeviceSize(fd: number): number;
  discardBlocks(fd: number, zero: boolean, offset: number, length: number): void;

  threadId(): number;
  setThreadName(name: string): void;
  setAffinity(processors: Int32Array): void;
  affinity(): number[];
  monotonicMicroseconds(): number;
  readMonotonicNanoseconds(words: Int32Array, index: number): void;
}

function load(): Native {
  const find = createRequire(import.meta.url)('node-gyp-build') as (packageRoot: string) => Native;
  const packageRoot = fileURLToPath(new URL('..', import.meta.url));
  try {
    return find(packageRoot);
  } catch (cause) {
    throw new Error(
      `The native part of @tsvmm/base does not load on ${process.platform}-${process.arch}. ` +
        "In a checkout run 'pnpm build'; after installing from a registry run 'npm rebuild @tsvmm/base', " +
        'which needs a C++20 compiler, make and Python 3.',
      { cause },
    );
  }
}

export const native = load();
native.setErrorFactory((errno, syscall, what) => new SystemError(errno, syscall, what));

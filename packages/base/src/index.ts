export { crc32c } from './crc32c.ts';
export {
  BorrowedDescriptor,
  FileDescriptor,
  pipe,
  readAvailable,
  setNonBlocking,
  waitReadable,
  writeFully,
} from './descriptor.ts';
export { reasonOf, SystemError } from './error.ts';
export { EventFd } from './event-fd.ts';
export {
  blockDeviceSize,
  discardBlocks,
  extendedAttributes,
  fallocate,
  fdatasync,
  flock,
  fsync,
  isRangeLocked,
  type LockKind,
  lockRange,
  preadv,
  pwritev,
  seekData,
  seekHole,
  zeroBlocks,
} from './file.ts';
export {
  advise,
  discard,
  type MapOptions,
  MemFd,
  type MemFdOptions,
  map,
  mapInto,
  mapShared,
  pageSize,
  residentPages,
  type SharedMapping,
  unmapFrom,
} from './memory.ts';
export { Poll } from './poll.ts';
export { programUrl } from './program.ts';
export { Readiness } from './readiness.ts';
export { isTerminal, RawMode, type WindowSize, windowSize } from './terminal.ts';
export {
  affinity,
  monotonicMicroseconds,
  readMonotonicNanoseconds,
  setAffinity,
  setThreadName,
  threadId,
} from './thread.ts';
export { Timer } from './timer.ts';
export {
  type ListenOptions,
  type ReceivedMessage,
  type SocketType,
  UnixListener,
  UnixSocket,
} from './unix-socket.ts';
export { Watcher } from './watcher.ts';

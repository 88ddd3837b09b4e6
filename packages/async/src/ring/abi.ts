/** Operations of io_uring (`enum io_uring_op` of <linux/io_uring.h>) that the executor uses. */
export const Operation = {
  nop: 0,
  readv: 1,
  writev: 2,
  fsync: 3,
  pollAdd: 6,
  timeout: 11,
  asyncCancel: 14,
  fallocate: 17,
  read: 22,
  write: 23,
  uringCommand: 46,
} as const;

/** `struct io_uring_sqe` as 32-bit words. */
export const Sqe = {
  words: 16,
  /** Operation; flags and priority are above it. */
  operation: 0,
  fd: 1,
  /** 64 bits: position, or the command of `uringCommand`. */
  offset: 2,
  /** 64 bits */
  address: 4,
  length: 6,
  /** Flags of the operation: sync, poll events, cancel. */
  flags: 7,
  /** 64 bits */
  userData: 8,
  /** 64 bits */
  address3: 12,
} as const;

/** `struct io_uring_cqe` as 32-bit words. */
export const Cqe = { words: 4, userData: 0, result: 2 } as const;

export const FSYNC_DATASYNC = 1;
export const CANCEL_ALL = 1;
export const CANCEL_ANY = 4;
/** BLOCK_URING_CMD_DISCARD of <linux/blkdev.h>: bytes `address` to `address + address3` of a block device. */
export const COMMAND_DISCARD = 0x1200;

/** Modes of fallocate(2). */
const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2 | FALLOC_KEEP_SIZE;
export const FALLOC_ZERO_RANGE = 0x10 | FALLOC_KEEP_SIZE;

/** Events of epoll(7). */
export const EpollEvent = { in: 0x001, out: 0x004, error: 0x008, hangUp: 0x010 } as const;

/** Numbers of errors that the executor itself looks at; the same on all Linux architectures. */
export const Errno = {
  again: 11,
  busy: 16,
  interrupted: 4,
  notTty: 25,
  noSystemCall: 38,
  timeExpired: 62,
  notSupported: 95,
  canceled: 125,
} as const;

import { fstatSync, readFileSync } from 'node:fs';
import { flock, lockRange } from '@tsvmm/base';
import { DiskError } from '../errors.ts';

/*
 * Two conventions are followed at once. crosvm and many others lock the whole file (flock). QEMU locks single bytes of it
 * (open file description locks): for every permission somebody uses, byte 100 + n, and for every permission that the
 * others must not use, byte 200 + n (QEMU's block/file-posix.c).
 */
const QEMU_USED = 100;
const QEMU_REFUSED = 200;
const CONSISTENT_READ = 0;
const WRITE = 1;
const RESIZE = 3;

/** Linux's device numbers as /proc/locks prints them. */
function deviceName(device: number): string {
  const major = ((device >>> 8) & 0xfff) | (Math.floor(device / 2 ** 32) & ~0xfff);
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return `${hex(major)}:${hex(minor)}`;
}

function hex(value: number): string {
  return value.toString(16).padStart(2, '0');
}

interface Lock {
  readonly kind: string;
  readonly access: string;
  /** The holder's process id; -1 where locks belong to open files. */
  readonly process: number;
  readonly start: number;
  /** The last byte. */
  readonly end: number;
}

/** The locks on a file that the kernel tells of; none where there is no /proc. */
function locksOn(fd: number): readonly Lock[] {
  const { dev, ino } = fstatSync(fd);
  const file = `${deviceName(dev)}:${ino}`;
  try {
    return readFileSync('/proc/locks', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[5] === file)
      .map(([, kind = '', , access = '', process, , start, end]) => ({
        kind,
        access,
        process: Number(process),
        start: Number(start),
        end: end === 'EOF' ? Number.POSITIVE_INFINITY : Number(end),
      }));
  } catch {
    return [];
  }
}

/** Who holds a lock, as far as the kernel tells. */
function holder(fd: number): string {
  const others = locksOn(fd).filter((lock) => lock.process > 0 && lock.process !== process.pid);
  const pid = others[0]?.process;
  if (pid === undefined) {
    const isOurs = locksOn(fd).some((lock) => lock.process === process.pid);
    return isOurs ? 'this process, which has it open already' : 'another program';
  }
  try {
    return `process ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`;
  } catch {
    return `process ${pid}`;
  }
}

/**
 * Locks an image for as long as the descriptor is open: shared for those who read it, exclusive for the one who writes.
 * Programs that follow crosvm's or QEMU's convention respect it, and are respected.
 * @throws DiskError LOCKED, which names the holder where the kernel tells
 */
export function lockImage(fd: number, name: string, readOnly: boolean): void {
  const refuse = (): never => {
    const how = readOnly ? 'written' : 'used';
    const remedy = readOnly ? 'stop that first' : 'stop that first, or open the image read-only in both';
    throw new DiskError('LOCKED', `${name} is being ${how} by ${holder(fd)}: ${remedy}.`);
  };
  if (!flock(fd, readOnly ? 'shared' : 'exclusive')) refuse();
  const used = readOnly ? [CONSISTENT_READ] : [CONSISTENT_READ, WRITE, RESIZE];
  const refused = [WRITE, RESIZE];
  for (const permission of used) lockRange(fd, 'shared', QEMU_USED + permission, 1);
  for (const permission of refused) lockRange(fd, 'shared', QEMU_REFUSED + permission, 1);
  const conflicts = [
    ...used.map((permission) => QEMU_REFUSED + permission),
    ...refused.map((permission) => QEMU_USED + permission),
  ];
  if (readOnly ? isAnyHeld(fd, conflicts) : conflicts.some((byte) => isHeldByAnother(fd, byte))) refuse();
}

/** Whether another open file has a byte locked. This one's own lock on it is as it was afterwards. */
function isHeldByAnother(fd: number, byte: number): boolean {
  const isFree = lockRange(fd, 'exclusive', byte, 1);
  if (isFree) lockRange(fd, 'shared', byte, 1);
  return !isFree;
}

/**
 * Whether another open file has one of the bytes locked, which this one has not. An exclusive lock, which would show it,
 * needs a writable descriptor.
 */
function isAnyHeld(fd: number, bytes: readonly number[]): boolean {
  const locks = locksOn(fd).filter(({ kind }) => kind === 'OFDLCK');
  return bytes.some((byte) => locks.some(({ start, end }) => start <= byte && byte <= end));
}

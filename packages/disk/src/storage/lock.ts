import { fstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { flock, isRangeLocked, lockRange } from '@tsvmm/base';
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

/**
 * Processes that hold locks on a file, as far as this one may look. (/proc/locks tells of locks that belong to open files
 * too, but not whose they are.)
 */
function holders(fd: number): readonly number[] {
  const { dev, ino } = fstatSync(fd);
  const isLocked = (pid: string, descriptor: string): boolean => {
    if (pid === String(process.pid) && descriptor === String(fd)) return false;
    // lock: 1: OFDLCK ADVISORY READ -1 fe:01:131 100 101
    const locks = text(`/proc/${pid}/fdinfo/${descriptor}`).matchAll(
      /^lock:.* [0-9a-f]+:[0-9a-f]+:([0-9]+) /gm,
    );
    if (!locks.some(([, locked]) => Number(locked) === ino)) return false;
    const file = statSync(`/proc/${pid}/fd/${descriptor}`, { throwIfNoEntry: false });
    return file?.dev === dev && file.ino === ino;
  };
  const pids = entries('/proc').filter((name) => /^[0-9]+$/.test(name));
  return pids
    .filter((pid) => entries(`/proc/${pid}/fdinfo`).some((descriptor) => isLocked(pid, descriptor)))
    .map(Number);
}

/** What is in a folder of /proc; nothing where that cannot be read, or is gone by now. */
function entries(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Who else holds a lock, as far as the kernel tells. */
function holder(fd: number): string {
  const pids = holders(fd);
  const other = pids.find((pid) => pid !== process.pid);
  if (other === undefined) {
    return pids.length > 0 ? 'this process, which has it open already' : 'another program';
  }
  const name = text(`/proc/${other}/comm`).trim();
  return `process ${other}${name === '' ? '' : ` (${name})`}`;
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
  if (conflicts.some((byte) => isRangeLocked(fd, 'exclusive', byte, 1))) refuse();
}

import { discard as discardPages, FileDescriptor, MemFd, mapInto, mapShared } from '@tsvmm/base';

/** Where in an existing memory the guest's RAM is to appear. */
export interface Target {
  readonly buffer: SharedArrayBuffer;
  /** Bytes. */
  readonly offset: number;
}

/** Whether RAM can be a file that other processes map. */
export const canShareWithProcesses = true;

/** Makes a memory file. The caller closes it. */
export function createFile(size: number): FileDescriptor {
  // The file's size is sealed: nobody who gets it can shrink it under our mapping.
  return MemFd.create({ name: 'tsvmm-guest-memory', size }).descriptor;
}

/** Lets a memory file appear in `target`, or in a new buffer. */
export function mapFile(fd: number, size: number, target: Target | undefined): SharedArrayBuffer {
  if (!target) return mapShared(fd, 0, size).buffer;
  mapInto(target.buffer, target.offset, size, fd, 0);
  return target.buffer;
}

/** Lets pages of a file appear in `target`. */
export function mapPages(fd: number, fileOffset: number, size: number, target: Target): void {
  mapInto(target.buffer, target.offset, size, fd, fileOffset);
}

/** Whether a file, which may come from somebody else, has `size` bytes and keeps them. */
export function isStable(fd: number, size: number): boolean {
  using file = new MemFd(FileDescriptor.duplicateOf(fd));
  return file.size >= size && file.isSizeSealed;
}

/** Zeroes whole pages and gives them back to the host. */
export function discard(buffer: SharedArrayBuffer, offset: number, length: number): void {
  discardPages(buffer, offset, length);
}

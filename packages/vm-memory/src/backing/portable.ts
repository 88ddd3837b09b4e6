import type { FileDescriptor } from '@tsvmm/base';
import { GuestMemoryError } from '../error.ts';
import type { Target } from './node.ts';

// What a browser can do of `node.ts`: RAM is shared between threads, not between processes.

export const canShareWithProcesses = false;

export function createFile(_size: number): FileDescriptor {
  return refuse();
}

export function mapFile(_fd: number, _size: number, _target: Target | undefined): SharedArrayBuffer {
  return refuse();
}

export function mapPages(_fd: number, _fileOffset: number, _size: number, _target: Target): void {
  refuse();
}

export function isStable(_fd: number, _size: number): boolean {
  return refuse();
}

export function discard(buffer: SharedArrayBuffer, offset: number, length: number): void {
  new Uint8Array(buffer, offset, length).fill(0);
}

function refuse(): never {
  throw new GuestMemoryError(
    'NOT_SHAREABLE',
    "This platform has no memory that processes share: create the guest memory with backing 'anonymous'",
  );
}

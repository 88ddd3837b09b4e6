import { KernelImageError } from './errors.ts';
import { type ByteSource, pieces, truncated } from './source.ts';

/** Guest memory, by guest-physical address. A range outside of it makes the methods throw. */
export interface KernelMemory {
  contains(address: number, length: number): boolean;
  copyIn(address: number, source: Uint8Array): void;
  fill(address: number, length: number, value: number): void;
}

/** Writes `length` bytes of the source to guest memory that is known to be there. */
export async function copyToGuest(
  source: ByteSource,
  offset: number,
  length: number,
  memory: KernelMemory,
  address: number,
): Promise<void> {
  if (offset + length > source.size) throw truncated(offset + length, source.size);
  for await (const { offset: done, bytes } of pieces(source, offset, length)) {
    memory.copyIn(address + done, bytes);
  }
}

/** @throws KernelImageError OUTSIDE_MEMORY unless all of the range is guest memory */
export function checkRange(memory: KernelMemory, address: number, length: number): void {
  if (Number.isSafeInteger(address) && Number.isSafeInteger(address + length) && address >= 0) {
    if (memory.contains(address, length)) return;
  }
  const range = `0x${address.toString(16)} to 0x${(address + length).toString(16)}`;
  const message = `The kernel wants guest memory from ${range}, which is not there: give the machine more memory, or a kernel built for it.`;
  throw new KernelImageError('OUTSIDE_MEMORY', message);
}

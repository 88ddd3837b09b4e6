import type { GuestMemory } from '@tsvmm/vm-memory';
import type { VirtqueueState } from '../../src/index.ts';
import type { WatchedMemory } from './watched-memory.ts';

const DESCRIPTOR = 16;
const WRITE = 2;
const INDIRECT = 4;

/**
 * Allows a device to write what its queues say now, as virtio 1.3 has it and without the code that serves them: used rings,
 * or a packed ring with its event structure, and every buffer that a descriptor marks as device-writable.
 */
export function permitQueues(
  watched: WatchedMemory,
  queues: readonly VirtqueueState[],
  isPacked: boolean,
): void {
  for (const { enable, size, descriptors, device } of queues) {
    if (enable === 0) continue;
    const table = descriptors.hi * 2 ** 32 + descriptors.lo;
    const used = device.hi * 2 ** 32 + device.lo;
    if (isPacked) watched.allow(table, DESCRIPTOR * size);
    watched.allow(used, isPacked ? 4 : 6 + 8 * size);
    permitTable(watched, table, size, isPacked);
  }
}

function permitTable(watched: WatchedMemory, table: number, entries: number, isPacked: boolean): void {
  const { memory } = watched;
  if (!memory.contains(table, DESCRIPTOR * entries)) return;
  for (let index = 0; index < entries; index++) {
    const { address, length, flags } = readDescriptor(memory, table + DESCRIPTOR * index, isPacked);
    if (length === 0) continue;
    if ((flags & WRITE) !== 0) watched.allow(address, length);
    if ((flags & INDIRECT) === 0 || !memory.contains(address, length)) continue;
    for (let entry = 0; entry < Math.floor(length / DESCRIPTOR); entry++) {
      const inner = readDescriptor(memory, address + DESCRIPTOR * entry, isPacked);
      if ((inner.flags & WRITE) !== 0) watched.allow(inner.address, inner.length);
    }
  }
}

function readDescriptor(memory: GuestMemory, at: number, isPacked: boolean) {
  return {
    address: memory.readUint32(at + 4) * 2 ** 32 + memory.readUint32(at),
    length: memory.readUint32(at + 8),
    flags: memory.readUint16(at + (isPacked ? 14 : 12)),
  };
}

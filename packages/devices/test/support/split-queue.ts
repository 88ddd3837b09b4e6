import { GuestMemory } from '@tsvmm/vm-memory';
import { SplitQueue } from '../../src/index.ts';
import { attachQueueState, createVirtioState } from '../../src/virtio/transport/state.ts';
import { RAM } from './machine-memory.ts';

export const SIZE = 8;
export const DESC = RAM;
export const AVAIL = RAM + 0x1000;
export const USED = RAM + 0x2000;
export const TABLE = RAM + 0x3000;
export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;

/** A queue of 8 entries in 64 KiB of memory, with descriptors as the test wants them. */
export function queueOf(options: { eventIdx?: boolean; indirect?: boolean } = {}) {
  const memory = GuestMemory.create({ regions: [{ base: RAM, size: 0x1_0000 }], backing: 'anonymous' });
  const state = attachQueueState(createVirtioState([SIZE]), 0);
  state.size = SIZE;
  for (const [field, address] of [
    ['descriptors', DESC],
    ['driver', AVAIL],
    ['device', USED],
  ] as const) {
    state[field].lo = address;
  }
  const { eventIdx = false, indirect = true } = options;
  const make = () => new SplitQueue(0, state, memory, { eventIdx, indirect });
  const queue = make();
  let available = 0;
  return {
    memory,
    state,
    queue,
    make,
    describe(at: number, address: number, length: number, flags = 0, next = 0) {
      memory.writeUint64(at, address >>> 0, Math.floor(address / 2 ** 32));
      memory.writeUint32(at + 8, length);
      memory.writeUint16(at + 12, flags);
      memory.writeUint16(at + 14, next);
    },
    /** @returns whether the device wants to be notified, with EVENT_IDX (virtio 1.3, section 2.7.10) */
    offer(head: number): boolean {
      memory.writeUint16(AVAIL + 4 + 2 * (available % SIZE), head);
      memory.storeUint16(AVAIL + 2, ++available & 0xffff);
      return memory.loadUint16(USED + 4 + 8 * SIZE) === ((available - 1) & 0xffff);
    },
  };
}

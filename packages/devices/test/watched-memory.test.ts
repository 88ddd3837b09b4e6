import { expect, test } from 'vitest';
import { permitQueues } from '../fuzz/guest/permissions.ts';
import { WatchedMemory } from '../fuzz/guest/watched-memory.ts';
import { attachQueueState, createVirtioState } from '../src/virtio/transport/state.ts';

// The fuzzer's eye for what devices write: it has to see what it is there for.
const RAM = 0x8000_0000;
const DEVICE_WRITE = 2;
const INDIRECT = 4;

/** Memory with a queue of 4 entries that gives the device 0x3000 to 0x300f directly, and 0x4000 to 0x400f by a table. */
function watch() {
  const watched = new WatchedMemory();
  const { memory } = watched;
  const state = attachQueueState(createVirtioState([4]), 0);
  state.size = 4;
  state.enable = 1;
  state.descriptors.lo = RAM;
  state.driver.lo = RAM + 0x1000;
  state.device.lo = RAM + 0x2000;
  const describe = (at: number, address: number, flags: number) => {
    memory.writeUint53(at, address);
    memory.writeUint32(at + 8, 16);
    memory.writeUint16(at + 12, flags);
  };
  describe(RAM, RAM + 0x3000, DEVICE_WRITE);
  describe(RAM + 16, RAM + 0x5000, INDIRECT);
  describe(RAM + 32, RAM + 0x6000, 0);
  describe(RAM + 0x5000, RAM + 0x4000, DEVICE_WRITE);
  permitQueues(watched, [state], false);
  watched.remember();
  return watched;
}

test('what descriptors and the used ring allow may be written', () => {
  using watched = watch();
  const { memory } = watched;
  for (const at of [0x2000, 0x2025, 0x3000, 0x300f, 0x4000, 0x400f]) memory.writeUint8(RAM + at, 1);
  watched.check(false);
});

test.each([
  ['behind a buffer', 0x3010],
  ['in front of one', 0x3fff],
  ['in a buffer to read', 0x6000],
  ['in a descriptor', 8],
  ['in the available ring', 0x1002],
  ['behind the used ring', 0x2026],
])('a byte written %s is seen', (_, at) => {
  using watched = watch();
  watched.memory.writeUint8(RAM + at, 1);
  expect(() => watched.check(false)).toThrow(`in memory, the byte at 0x${(RAM + at).toString(16)} became 1`);
});

test('a byte written around memory is seen', () => {
  using watched = watch();
  const { hostBytes, memoryOffset, size } = watched.memory;
  for (const at of [memoryOffset - 1, memoryOffset + size]) {
    const before = hostBytes[at] ?? 0;
    hostBytes[at] = 1;
    expect(() => watched.check(true)).toThrow('outside of memory');
    hostBytes[at] = before;
  }
});

test('a page that becomes zero is a discarded one, where that may be', () => {
  using watched = watch();
  const { memory } = watched;
  memory.bytes(RAM + 0x8000, 4096).fill(1);
  watched.remember();
  memory.discard(RAM + 0x8000, 4096);
  watched.check(true);
  memory.bytes(RAM + 0x8000, 4096).fill(1);
  watched.remember();
  memory.discard(RAM + 0x8000, 4096);
  expect(() => watched.check(false)).toThrow('in memory');
});

test('after a reset nothing is allowed any more', () => {
  using watched = watch();
  watched.forbidAll();
  watched.memory.writeUint8(RAM + 0x3000, 1);
  expect(() => watched.check(false)).toThrow('in memory');
});

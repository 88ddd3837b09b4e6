import { GuestMemory } from '@tsvmm/vm-memory';
import { expect, test } from 'vitest';
import {
  type BackendContext,
  ByteRing,
  ConsoleBackend,
  InputBackend,
  MultiportConsoleBackend,
  SplitQueue,
  type VirtioBackend,
} from '../src/index.ts';
import { attachQueueState, createVirtioState } from '../src/virtio/transport/state.ts';

const RAM = 0x8000_0000;
const USED = RAM + 0x2000;

/** A queue with one request, of `length` bytes for the device to read. */
function requestTo(index: number, length: number): SplitQueue {
  const memory = GuestMemory.create({ regions: [{ base: RAM, size: 0x1_0000 }], backing: 'anonymous' });
  const state = attachQueueState(createVirtioState([8]), 0);
  state.size = 8;
  state.descriptors.lo = RAM;
  state.driver.lo = RAM + 0x1000;
  state.device.lo = USED;
  memory.writeUint53(RAM, RAM + 0x4000);
  memory.writeUint32(RAM + 8, length);
  memory.storeUint16(RAM + 0x1002, 1);
  return new SplitQueue(index, state, memory, { eventIdx: false, indirect: false });
}

test.each<[string, number, (output: ByteRing) => VirtioBackend]>([
  ['a console', 1, (output) => new ConsoleBackend(output)],
  [
    "a console's port",
    1,
    (output) => new MultiportConsoleBackend([{ name: 'a', console: true, output, input: undefined }]),
  ],
  ['an input device', 1, (output) => new InputBackend(ByteRing.create(16), output)],
])('%s that waits for room waits once, however often its driver notifies it', async (_, index, open) => {
  const output = ByteRing.create(16);
  const queue = requestTo(index, 64);
  const backend = open(output);
  let wakes = 0;
  const woken = Promise.withResolvers<void>();
  const context: Pick<BackendContext, 'wake' | 'features'> = {
    features: { low: 0, high: 0 },
    wake: () => {
      wakes++;
      woken.resolve();
    },
  };
  backend.activate({
    ...context,
    memory: GuestMemory.create({ regions: [{ base: RAM, size: 4096 }], backing: 'anonymous' }),
    announce: () => {},
    config: () => new DataView(new ArrayBuffer(8)),
    changeConfig: () => {},
  });
  for (let kick = 0; kick < 1000; kick++) {
    expect(queue.pop()).toBe(true);
    expect(backend.handle(queue)).toBe(false);
    queue.undoPop();
  }
  output.consume(16);
  await woken.promise;
  // All that waited is told in the same turn.
  await new Promise(setImmediate);
  expect(wakes).toBe(1);
});

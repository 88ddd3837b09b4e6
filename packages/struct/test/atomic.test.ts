import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, expectTypeOf, test } from 'vitest';
import { type AtomicWaitCell, atomic, i32, struct, u8, u16, u32, u64big } from '../src/index.ts';

const Shared = struct({
  flags: atomic(u32),
  wake: atomic(i32),
  small: atomic(u8),
  half: atomic(u16),
  big: atomic(u64big),
});

test('every operation does to the memory what Atomics does', () => {
  const buffer = new SharedArrayBuffer(Shared.size);
  const { flags, small, half, big, wake } = Shared.attach(buffer);
  expectTypeOf(wake).toEqualTypeOf<AtomicWaitCell>();
  expect(flags.or(0b1010)).toBe(0);
  expect(flags.and(0b0110)).toBe(0b1010);
  expect(flags.xor(0b0011)).toBe(0b0010);
  expect(flags.add(2 ** 32 - 1)).toBe(1);
  expect(flags.sub(1)).toBe(0);
  expect(flags.load()).toBe(0xffff_ffff);
  expect(flags.compareExchange(0, 5)).toBe(0xffff_ffff);
  expect(flags.compareExchange(0xffff_ffff, 5)).toBe(0xffff_ffff);
  expect(flags.exchange(6)).toBe(5);
  small.store(0x1ff);
  half.store(0x1_2345);
  expect([small.load(), half.load()]).toEqual([0xff, 0x2345]);
  big.store(2n ** 63n);
  expect([big.or(1n), big.add(1n), big.sub(1n), big.and(3n), big.xor(2n)]).toEqual([
    2n ** 63n,
    2n ** 63n + 1n,
    2n ** 63n + 2n,
    2n ** 63n + 1n,
    1n,
  ]);
  expect(big.exchange(9n)).toBe(3n);
  expect(big.compareExchange(9n, 8n)).toBe(9n);
  expect(big.load()).toBe(8n);
  expect(wake.wait(1)).toBe('not-equal');
  expect(wake.notify()).toBe(0);
});

test('threads that add to a cell lose no addition, and can wait for each other', async () => {
  const buffer = new SharedArrayBuffer(Shared.size);
  const shared = Shared.attach(buffer);
  const source = `
    import { workerData } from 'node:worker_threads';
    const { atomic, i32, struct, u32 } = await import(workerData.module);
    const shared = struct({ flags: atomic(u32), wake: atomic(i32) }).attach(workerData.buffer);
    shared.wake.wait(0);
    for (let i = 0; i < 50_000; i++) shared.flags.add(1);
  `;
  const module = new URL('../src/index.ts', import.meta.url).href;
  const workers = Array.from(
    { length: 2 },
    () =>
      new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
        workerData: { buffer, module },
      }),
  );
  shared.wake.store(1);
  shared.wake.notify();
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  expect(shared.flags.load()).toBe(100_000);
});

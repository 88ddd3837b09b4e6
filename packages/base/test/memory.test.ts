import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import {
  advise,
  discard,
  MemFd,
  map,
  mapInto,
  mapShared,
  pageSize,
  residentPages,
  unmapFrom,
} from '../src/index.ts';
import { mapIntoNewMemory } from '../src/memory.ts';
import { codeOf, python } from './support.ts';

const SIZE = 16 * pageSize;

function bufferOf(memory: WebAssembly.Memory): SharedArrayBuffer {
  const buffer: ArrayBufferLike = memory.buffer;
  if (buffer instanceof SharedArrayBuffer) return buffer;
  throw new TypeError('not made with shared: true');
}

const PEEK_AND_POKE = `
import mmap, os, sys
with open(sys.argv[1], 'r+b') as f:
    m = mmap.mmap(f.fileno(), 0)
    print(len(m), m[int(sys.argv[2])])
    m[int(sys.argv[2]) + 1] = 0x77
`;

describe('MemFd', () => {
  it('is shared with another process through every kind of mapping', () => {
    using memory = MemFd.create({ name: 'tsvmm-test', size: SIZE });
    const wasm = bufferOf(new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true }));
    mapInto(wasm, 2 * pageSize, SIZE, memory.descriptor.number);
    const views = [
      new Uint8Array(map(memory.descriptor.number, 0, SIZE)),
      new Uint8Array(mapShared(memory.descriptor.number, 0, SIZE).buffer),
      new Uint8Array(mapIntoNewMemory(memory.descriptor.number, 0, SIZE, false).buffer),
      new Uint8Array(wasm, 2 * pageSize, SIZE),
    ];
    for (const [index, view] of views.entries()) {
      const at = 100 * (index + 1);
      view[at] = 0x40 + index;
      const path = `/proc/${process.pid}/fd/${memory.descriptor.number}`;
      expect(python(PEEK_AND_POKE, path, String(at))).toBe(`${SIZE} ${0x40 + index}`);
      for (const other of views) {
        expect(other[at]).toBe(0x40 + index);
        expect(other[at + 1]).toBe(0x77);
      }
    }
  });

  it('maps from an offset of the file', () => {
    using memory = MemFd.create({ name: 'tsvmm-test', size: SIZE });
    const whole = new Uint8Array(mapShared(memory.descriptor.number, 0, SIZE).buffer);
    const part = mapShared(memory.descriptor.number, 3 * pageSize, pageSize);
    expect(part.byteLength).toBe(pageSize);
    new Uint8Array(part.buffer)[5] = 9;
    expect(whole[3 * pageSize + 5]).toBe(9);
  });

  it.each([
    ['foreign memory', (fd: number) => mapShared(fd, 0, SIZE)],
    ['WebAssembly memory', (fd: number) => mapIntoNewMemory(fd, 0, SIZE, false)],
  ])('is shared with another thread as %s', async (_, share) => {
    using memory = MemFd.create({ name: 'tsvmm-test', size: SIZE });
    const { buffer } = share(memory.descriptor.number);
    const worker = new Worker(
      `const { workerData } = require('node:worker_threads');
       const words = new Int32Array(workerData);
       Atomics.wait(words, 0, 0);
       words[1] = words[0] + 1;`,
      { eval: true, workerData: buffer },
    );
    const words = new Int32Array(buffer);
    Atomics.store(words, 0, 41);
    Atomics.notify(words, 0);
    await once(worker, 'exit');
    expect(words[1]).toBe(42);
    expect(new Int32Array(map(memory.descriptor.number, 0, SIZE))[1]).toBe(42);
  });

  it('keeps its size when sealed', () => {
    const truncate =
      'import os, sys\nf = os.open(sys.argv[1], os.O_RDWR)\ntry: os.ftruncate(f, 1); print("done")\nexcept PermissionError: print("refused")';
    using sealed = MemFd.create({ name: 'sealed', size: SIZE });
    using open = MemFd.create({ name: 'open', size: SIZE, seal: false });
    expect(sealed.isSizeSealed).toBe(true);
    expect(open.isSizeSealed).toBe(false);
    expect(python(truncate, `/proc/${process.pid}/fd/${sealed.descriptor.number}`)).toBe('refused');
    expect(python(truncate, `/proc/${process.pid}/fd/${open.descriptor.number}`)).toBe('done');
  });

  it('has a size and a name that the kernel knows', () => {
    using memory = MemFd.create({ name: 'tsvmm-name', size: 12345 });
    expect(new MemFd(memory.descriptor).size).toBe(12345);
    expect(
      python(
        'import os, sys; print(os.readlink(sys.argv[1]))',
        `/proc/${process.pid}/fd/${memory.descriptor.number}`,
      ),
    ).toContain('tsvmm-name');
  });

  it('says what was wrong with what was asked for', () => {
    expect(codeOf(() => MemFd.create({ name: 'x\0y', size: 1 }))).toBe('EINVAL');
    expect(codeOf(() => MemFd.create({ name: 'x'.repeat(300), size: 1 }))).toBe('EINVAL');
    for (const size of [-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
      expect(codeOf(() => MemFd.create({ name: 'x', size }))).toBe('EINVAL');
    }
    expect(codeOf(() => MemFd.create({ name: 'x', size: 4096, hugePageSize: 3000 }))).toBe('EINVAL');
    expect(() => MemFd.create({ name: 'big', size: 2 ** 39, hugePageSize: 2 ** 39 })).toThrow(
      /memory 'big' of 549755813888 bytes in huge pages \(memfd_create: E/,
    );
  });
});

describe('mapInto', () => {
  it('refuses every range that is not whole pages of both sides', () => {
    using memory = MemFd.create({ name: 'x', size: SIZE });
    const fd = memory.descriptor.number;
    const wasm = bufferOf(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }));
    const bytes = wasm.byteLength;
    const bad: [number, number, number][] = [
      [1, pageSize, 0],
      [0, pageSize + 1, 0],
      [0, 0, 0],
      [0, pageSize, 1],
      [0, pageSize, SIZE],
      [0, 2 * pageSize, SIZE - pageSize],
      [bytes, pageSize, 0],
      [bytes - pageSize, 2 * pageSize, 0],
      [-pageSize, pageSize, 0],
      [0, -pageSize, 0],
      [0, pageSize, -pageSize],
      [Number.NaN, pageSize, 0],
      [2 ** 53, pageSize, 0],
      [0, Number.MAX_SAFE_INTEGER - 4095, 0],
      [0, pageSize, Number.MAX_SAFE_INTEGER - 4095],
    ];
    for (const [offset, length, fdOffset] of bad) {
      expect(
        codeOf(() => mapInto(wasm, offset, length, fd, fdOffset)),
        `${offset} ${length} ${fdOffset}`,
      ).toBe('EINVAL');
      expect(new Uint8Array(wasm).every((byte) => byte === 0)).toBe(true);
    }
    expect(codeOf(() => mapInto(wasm, 0, pageSize, 1_000_000))).toBe('EBADF');
    expect(codeOf(() => mapInto(wasm, 0, pageSize, -1))).toBe('EINVAL');
    expect(codeOf(() => mapInto(new ArrayBuffer(100), 0, pageSize, fd))).toBe('EINVAL');
  });

  it('is undone by unmapFrom, which leaves the file alone', () => {
    using memory = MemFd.create({ name: 'x', size: SIZE });
    const wasm = bufferOf(new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true }));
    const bytes = new Uint8Array(wasm);
    bytes.fill(1);
    mapInto(wasm, pageSize, SIZE, memory.descriptor.number);
    bytes[pageSize] = 5;
    unmapFrom(wasm, pageSize, SIZE);
    expect(bytes[pageSize]).toBe(0);
    bytes[pageSize] = 6;
    expect(bytes[pageSize - 1]).toBe(1);
    expect(bytes[pageSize + SIZE]).toBe(1);
    expect(new Uint8Array(map(memory.descriptor.number, 0, SIZE))[0]).toBe(5);
  });
});

describe('residency', () => {
  it('grows with what is written and shrinks with what is discarded', () => {
    using memory = MemFd.create({ name: 'x', size: SIZE });
    const { buffer } = mapShared(memory.descriptor.number, 0, SIZE);
    const other = new Uint8Array(map(memory.descriptor.number, 0, SIZE));
    const bytes = new Uint8Array(buffer);
    expect(residentPages(buffer, 0, SIZE)).toBe(0);
    bytes.fill(3, pageSize, 4 * pageSize);
    expect(residentPages(buffer, 0, SIZE)).toBe(3);
    discard(buffer, 2 * pageSize, pageSize);
    expect(residentPages(buffer, 0, SIZE)).toBe(2);
    expect([other[2 * pageSize - 1], other[2 * pageSize], other[3 * pageSize]]).toEqual([3, 0, 3]);
    expect(codeOf(() => discard(buffer, 1, pageSize))).toBe('EINVAL');
    expect(codeOf(() => discard(buffer, 0, SIZE + pageSize))).toBe('EINVAL');
  });

  it('applies to memory without a file as well', () => {
    const wasm = bufferOf(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }));
    const bytes = new Uint8Array(wasm);
    bytes.fill(7);
    discard(wasm, pageSize, pageSize);
    expect([bytes[pageSize - 1], bytes[pageSize], bytes[2 * pageSize]]).toEqual([7, 0, 7]);
    advise(wasm, 0, bytes.length, 'noCoreDump');
  });
});

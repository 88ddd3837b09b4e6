import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import {
  blockDeviceSize,
  discardBlocks,
  extendedAttributes,
  fallocate,
  fdatasync,
  flock,
  fsync,
  isRangeLocked,
  lockRange,
  MemFd,
  preadv,
  pwritev,
  seekData,
  seekHole,
  zeroBlocks,
} from '../src/index.ts';
import { codeOf, python } from './support.ts';

const directory = mkdtempSync(join(tmpdir(), 'tsvmm-base-'));
afterAll(() => rmSync(directory, { recursive: true }));

let files = 0;

/** A new file of zeros, open for reading and writing. */
function scratch(size: number): { path: string; fd: number } & Disposable {
  const path = join(directory, `file-${files++}`);
  writeFileSync(path, new Uint8Array(size));
  const fd = openSync(path, 'r+');
  return { path, fd, [Symbol.dispose]: () => closeSync(fd) };
}

it('finds data and holes where the file system keeps them apart', () => {
  using file = scratch(0);
  const size = 1 << 20;
  ftruncateSync(file.fd, size);
  pwritev(file.fd, size / 2, new Uint8Array(10).fill(1), Float64Array.of(0, 10), 1);
  const data = seekData(file.fd, 0) ?? -1;
  expect(data === 0 || data === size / 2).toBe(true);
  expect(seekData(file.fd, size / 2)).toBe(size / 2);
  expect(seekHole(file.fd, size / 2)).toBeGreaterThan(size / 2);
  expect(seekHole(file.fd, size - 1)).toBeLessThanOrEqual(size);
  expect(seekData(file.fd, size)).toBeUndefined();
  expect(seekHole(file.fd, size)).toBeUndefined();
  expect(codeOf(() => seekData(-1, 0))).toBe('EINVAL');
});

describe('vectored transfers', () => {
  const memory = new Uint8Array(new SharedArrayBuffer(0x1000));
  const segment = fc
    .tuple(fc.nat(0x1000), fc.nat(200))
    .map(([offset, length]) => [offset, Math.min(length, 0x1000 - offset)]);

  it('put into the file what the segments hold, and bring it back', () => {
    using file = scratch(0);
    fc.assert(
      fc.property(
        fc.array(segment, { maxLength: 600 }),
        fc.nat(5000),
        fc.integer(),
        (list, position, seed) => {
          for (let i = 0; i < memory.length; i++) memory[i] = i * 13 + seed;
          const before = memory.slice();
          const segments = Float64Array.from([...list.flat(), Number.NaN, Number.NaN]);
          const expected = Buffer.concat(
            list.map(([offset = 0, length = 0]) => before.subarray(offset, offset + length)),
          );
          ftruncateSync(file.fd, 0);
          expect(pwritev(file.fd, position, memory, segments, list.length)).toBe(expected.length);
          if (expected.length > 0) expect(readFileSync(file.path).subarray(position)).toEqual(expected);

          memory.fill(0);
          const model = new Uint8Array(0x1000);
          let at = 0;
          for (const [offset = 0, length = 0] of list) {
            model.set(expected.subarray(at, at + length), offset);
            at += length;
          }
          expect(preadv(file.fd, position, memory, segments, list.length)).toBe(expected.length);
          expect(Buffer.compare(memory, model)).toBe(0);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('end at the end of the file', () => {
    using file = scratch(1000);
    expect(preadv(file.fd, 900, memory, Float64Array.of(0, 64, 100, 64), 2)).toBe(100);
    expect(preadv(file.fd, 1000, memory, Float64Array.of(0, 64), 1)).toBe(0);
    expect(preadv(file.fd, 0, memory, new Float64Array(0), 0)).toBe(0);
  });

  it('reach past 4 GiB in a file', () => {
    using memFd = MemFd.create({ name: 'x', size: 2 ** 33 });
    memory.fill(0x42);
    expect(pwritev(memFd.descriptor.number, 2 ** 33 - 16, memory, Float64Array.of(0, 16), 1)).toBe(16);
    expect(
      python(
        `import os; f = os.open('/proc/${process.pid}/fd/${memFd.descriptor.number}', os.O_RDONLY); print(os.pread(f, 20, 2**33 - 16))`,
      ),
    ).toBe(`b'${'B'.repeat(16)}'`);
  });

  it('refuse segments outside of the memory before anything moves', () => {
    using file = scratch(100);
    const bad = [
      [0x1000, 1],
      [-1, 1],
      [0, 0x1001],
      [0.5, 1],
      [0, 0.5],
      [Number.NaN, 1],
      [0, Number.NaN],
      [2 ** 53, 1],
      [1, 2 ** 64],
      [Number.POSITIVE_INFINITY, 0],
    ];
    memory.fill(9);
    for (const [offset = 0, length = 0] of bad) {
      const segments = Float64Array.of(0, 50, offset, length);
      expect(
        codeOf(() => pwritev(file.fd, 0, memory, segments, 2)),
        `${offset} ${length}`,
      ).toBe('EINVAL');
      expect(
        codeOf(() => preadv(file.fd, 0, memory, segments, 2)),
        `${offset} ${length}`,
      ).toBe('EINVAL');
    }
    expect(readFileSync(file.path).every((byte) => byte === 0)).toBe(true);
    expect(memory.every((byte) => byte === 9)).toBe(true);
    expect(codeOf(() => preadv(file.fd, 0, memory, new Float64Array(3), 2))).toBe('EINVAL');
    expect(codeOf(() => preadv(file.fd, -1, memory, new Float64Array(2), 1))).toBe('EINVAL');
    expect(codeOf(() => preadv(1_000_000, 0, memory, Float64Array.of(0, 1), 1))).toBe('EBADF');
  });

  it('say how far they came when the disk is full', () => {
    const full = openSync('/dev/full', 'r+');
    expect(() => pwritev(full, 0, memory, Float64Array.of(0, 16), 1)).toThrow(
      /0 bytes were transferred.*ENOSPC/,
    );
    closeSync(full);
  });
});

describe('allocation', () => {
  it('punches holes, zeroes and reserves', () => {
    using file = scratch(0);
    writeFileSync(file.path, new Uint8Array(1 << 20).fill(5));
    fsync(file.fd);
    const before = statSync(file.path).blocks;
    fallocate(file.fd, 'punchHole', 1 << 18, 1 << 19);
    fdatasync(file.fd);
    expect(statSync(file.path).size).toBe(1 << 20);
    expect(statSync(file.path).blocks).toBeLessThanOrEqual(before - (1 << 19) / 512);
    const bytes = readFileSync(file.path);
    expect([bytes[(1 << 18) - 1], bytes[1 << 18], bytes[(1 << 18) + (1 << 19)]]).toEqual([5, 0, 5]);
    fallocate(file.fd, 'allocate', 0, 1 << 21);
    expect(statSync(file.path).size).toBe(1 << 21);
    try {
      fallocate(file.fd, 'zeroRange', 0, 10);
      expect([...readFileSync(file.path).subarray(8, 12)]).toEqual([0, 0, 5, 5]);
    } catch (error) {
      expect(error).toMatchObject({ name: 'SystemError', code: 'EOPNOTSUPP' });
    }
    expect(codeOf(() => fallocate(file.fd, 'punchHole', -1, 10))).toBe('EINVAL');
  });
});

describe('locks', () => {
  it('exclude other opens of the file, in this process and in others', () => {
    using file = scratch(100);
    const other = openSync(file.path, 'r+');
    expect(lockRange(file.fd, 'exclusive', 10, 5)).toBe(true);
    expect(isRangeLocked(other, 'shared', 14, 1)).toBe(true);
    expect(isRangeLocked(other, 'exclusive', 15, 1)).toBe(false);
    expect(isRangeLocked(file.fd, 'exclusive', 10, 5)).toBe(false);
    expect(lockRange(other, 'shared', 14, 1)).toBe(false);
    expect(lockRange(other, 'exclusive', 15)).toBe(true);
    const attempt = `
import fcntl, sys
f = open(sys.argv[1], 'r+b')
for start in (9, 10):
    try:
        fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
        print('locked')
    except OSError:
        print('refused')
`;
    expect(python(attempt, file.path)).toBe('locked\nrefused');
    expect(lockRange(file.fd, 'unlock')).toBe(true);
    expect(lockRange(other, 'shared', 10, 5)).toBe(true);
    expect(lockRange(file.fd, 'shared', 10, 5)).toBe(true);
    closeSync(other);
  });

  it('exclude by flock as flock(1) does', () => {
    using file = scratch(1);
    const other = openSync(file.path, 'r');
    expect(flock(file.fd, 'exclusive')).toBe(true);
    expect(flock(other, 'shared')).toBe(false);
    const attempt =
      'import fcntl, sys\nf = open(sys.argv[1])\ntry: fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB); print("locked")\nexcept OSError: print("refused")';
    expect(python(attempt, file.path)).toBe('refused');
    expect(flock(file.fd, 'unlock')).toBe(true);
    expect(python(attempt, file.path)).toBe('locked');
    closeSync(other);
  });
});

describe('block devices', () => {
  it('are told from files', () => {
    using file = scratch(512);
    expect(codeOf(() => blockDeviceSize(file.fd))).toBe('ENOTTY');
    expect(codeOf(() => discardBlocks(file.fd, 0, 512))).toBe('ENOTTY');
    expect(codeOf(() => zeroBlocks(file.fd, 0, 512))).toBe('ENOTTY');
    expect(codeOf(() => zeroBlocks(file.fd, -1, 512))).toBe('EINVAL');
  });
});

describe('extended attributes', () => {
  it('are read as another program wrote them, and none where there are none', () => {
    using file = scratch(0);
    expect(extendedAttributes(file.path).size).toBe(0);
    python(
      `import os; p = ${JSON.stringify(file.path)}; os.setxattr(p, 'user.one', b'\\0\\xff'); os.setxattr(p, 'user.empty', b'')`,
    );
    expect([...extendedAttributes(Buffer.from(file.path))].toSorted()).toEqual([
      ['user.empty', Buffer.alloc(0)],
      ['user.one', Buffer.of(0, 0xff)],
    ]);
    expect(codeOf(() => extendedAttributes(`${file.path}-not`))).toBe('ENOENT');
    expect(codeOf(() => extendedAttributes('a\0b'))).toBe('EINVAL');
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CpioError, CpioWriter, cpioArchive, readCpio } from '../src/index.ts';

const part = fc
  .string({ unit: fc.constantFrom(...'abcXYZ019._- é€'), minLength: 1, maxLength: 9 })
  .filter((name) => name !== '.' && name !== '..');
const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const u32 = fc.nat(0x7fff_ffff).map((value) => value * 2 + 1);
const attributes = fc.record({ mode: fc.nat(0o7777), uid: u32, gid: u32, mtime: u32 });
const number = fc.record({ major: fc.nat(4095), minor: fc.nat(0xfffff) });
const entry = fc.oneof(
  fc.record({ type: fc.constant('file' as const), data: fc.uint8Array({ maxLength: 50 }) }),
  fc.record({ type: fc.constant('symlink' as const), target: path }),
  fc.record({ type: fc.constantFrom('directory', 'fifo', 'socket') }),
  fc.record({ type: fc.constantFrom('character-device', 'block-device'), number }),
);

test('what is written is read back', () => {
  const entries = fc.uniqueArray(fc.tuple(path, attributes, entry), { selector: ([name]) => name });
  fc.assert(
    fc.property(entries, (written) => {
      const archive = cpioArchive(
        (writer) => {
          for (const [name, attributes, entry] of written) {
            if ('data' in entry) writer.file(name, entry.data, attributes);
            else if ('target' in entry) writer.symlink(name, entry.target, attributes);
            else if ('number' in entry) writer.device(name, entry.type, entry.number, attributes);
            else writer[entry.type](name, attributes);
          }
        },
        { parents: false },
      );
      expect(archive.length % 4).toBe(0);
      const read = [...readCpio(archive)];
      expect(read).toHaveLength(written.length);
      for (const [index, [name, attributes, { type, ...rest }]] of written.entries()) {
        expect(read[index]).toMatchObject({ name, type, ...attributes });
        if ('data' in rest) expect(read[index]?.data).toEqual(rest.data);
        if ('target' in rest) expect(new TextDecoder().decode(read[index]?.data)).toBe(rest.target);
        if ('number' in rest) expect(read[index]?.rdev).toEqual(rest.number);
      }
    }),
  );
});

test('equal calls give equal archives', () => {
  const build = () => cpioArchive((writer) => writer.file('a/b', 'c'));
  expect(build()).toEqual(build());
});

describe('fileFrom', () => {
  test('writes a file whose bytes come later', async () => {
    const chunks: Uint8Array[] = [];
    const writer = new CpioWriter((chunk) => chunks.push(chunk.slice()));
    async function* source() {
      yield Uint8Array.of(1, 2);
      yield Uint8Array.of(3);
    }
    await writer.fileFrom('f', 3, source());
    writer.finish();
    const archive = Buffer.concat(chunks);
    expect(archive.length).toBe(writer.offset);
    expect([...readCpio(archive)].map(({ data }) => [...data])).toEqual([[1, 2, 3]]);
  });

  test.each([2, 4])('refuses a source of another size than %d', async (size) => {
    const writer = new CpioWriter(() => {});
    await expect(writer.fileFrom('f', size, [Uint8Array.of(1, 2, 3)])).rejects.toMatchObject({
      code: 'WRONG_SIZE',
    });
  });
});

describe('the writer refuses', () => {
  const writer = () => new CpioWriter(() => {});
  test.each(['', '/init', 'a//b', 'a/', '../a', 'a/../b', 'a\0b', 'TRAILER!!!', 'x'.repeat(4096)])(
    'the name %j',
    (name) => {
      expect(() => writer().file(name, '')).toThrow(expect.objectContaining({ code: 'BAD_NAME' }));
    },
  );

  test('targets, numbers and entries that the format cannot have', () => {
    expect(() => writer().symlink('a', '')).toThrow(expect.objectContaining({ code: 'BAD_NAME' }));
    expect(() => writer().file('a', '', { uid: 2 ** 32 })).toThrow(
      expect.objectContaining({ code: 'TOO_LARGE' }),
    );
    expect(() => writer().file('a', '', { mtime: -1 })).toThrow(
      expect.objectContaining({ code: 'TOO_LARGE' }),
    );
    const finished = writer();
    finished.finish();
    expect(() => finished.file('a', '')).toThrow(expect.objectContaining({ code: 'FINISHED' }));
  });
});

describe('the reader refuses', () => {
  const archive = cpioArchive((writer) => {
    writer.file('first', '1');
    writer.file('second', 'contents');
  });
  const second = [...readCpio(archive)][1]?.offset ?? 0;
  const changed = (at: number, bytes: string) => {
    const copy = archive.slice();
    copy.set(new TextEncoder().encode(bytes), second + at);
    return copy;
  };
  const cases: [string, Uint8Array, string, number][] = [
    ['a cut header', archive.subarray(0, second + 50), 'TRUNCATED', second],
    ['cut data', archive.subarray(0, second + 122), 'TRUNCATED', second],
    ['a size beyond the end', changed(54, 'FFFFFFFF'), 'TRUNCATED', second],
    ['a name beyond the end', changed(94, 'FFFFFFFF'), 'TRUNCATED', second],
    ['an empty name', changed(94, '00000000'), 'BAD_NAME', second],
    ['a name without its NUL', changed(94, '00000006'), 'BAD_NAME', second],
    ['letters that are no digits', changed(54, '0000000g'), 'BAD_HEADER', second],
    ['a sign', changed(54, '-0000008'), 'BAD_HEADER', second],
    ['a mode of no type', changed(14, '00000000'), 'BAD_HEADER', second],
    ['a wrong checksum', changed(0, '070702').fill(0x31, second + 102, second + 110), 'BAD_CHECKSUM', second],
    ['a missing checksum', changed(0, '070702'), 'BAD_CHECKSUM', second],
    ['the old format', changed(0, '070707'), 'NOT_CPIO', second],
    ['something else', changed(0, 'ELF'), 'NOT_CPIO', second],
    ['an archive at an odd place', new Uint8Array([0, 0, ...archive]), 'NOT_CPIO', 2],
    [
      'gzip after the first entry',
      changed(0, '\u001f').fill(0x8b, second + 1, second + 2),
      'COMPRESSED',
      second,
    ],
  ];
  test.each(cases)('%s', (_, bytes, code, offset) => {
    expect(() => [...readCpio(bytes)]).toThrow(expect.objectContaining({ name: 'CpioError', code, offset }));
  });

  test('damage of any kind, by no other error', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(archive.length),
        (changes, length) => {
          const copy = archive.slice(0, length);
          for (const [at, value] of changes) copy[at] = value;
          try {
            for (const entry of readCpio(copy)) expect(entry.data.length).toBeLessThanOrEqual(copy.length);
          } catch (error) {
            expect(error).toBeInstanceOf(CpioError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

test('an archive may end without a trailer, and be empty', () => {
  const archive = cpioArchive((writer) => writer.file('a', 'b'));
  expect([...readCpio(archive.subarray(0, archive.length - 124))]).toHaveLength(1);
  expect([...readCpio(new Uint8Array(512))]).toHaveLength(0);
});

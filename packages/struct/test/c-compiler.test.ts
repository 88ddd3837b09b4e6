import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  array,
  i8,
  i16,
  i32,
  i64big,
  type Kind,
  type Layout,
  struct,
  u8,
  u16,
  u32,
  u64,
  u64big,
} from '../src/index.ts';

const SCALARS = {
  uint8_t: u8,
  int8_t: i8,
  uint16_t: u16,
  int16_t: i16,
  uint32_t: u32,
  int32_t: i32,
  uint64_t: u64big,
  int64_t: i64big,
};

/** A structure in both languages: its C declaration up to the declarator, and its kind. */
interface Both {
  readonly before: string;
  readonly after: string;
  readonly kind: Kind<unknown>;
}

const scalar: fc.Arbitrary<Both> = fc
  .constantFrom(...Object.entries(SCALARS))
  .map(([before, kind]) => ({ before, after: '', kind }));

const scalarArray: fc.Arbitrary<Both> = fc
  .tuple(fc.constantFrom(...Object.entries(SCALARS)), fc.integer({ min: 1, max: 7 }))
  .map(([[before, kind], length]) => ({
    before,
    after: `[${length}]`,
    kind: array(kind as typeof u8, length),
  }));

function structure(members: readonly Both[], packed: boolean, align: number): Both & { kind: Layout<never> } {
  const attributes = [packed ? 'packed' : '', align > 1 ? `aligned(${align})` : ''].filter(Boolean);
  const body = members.map(({ before, after }, i) => `${before} f${i}${after};`).join(' ');
  const attribute = attributes.length > 0 ? `__attribute__((${attributes.join(',')}))` : '';
  const fields = Object.fromEntries(members.map(({ kind }, i) => [`f${i}`, kind]));
  const kind = struct(fields, { packed, align }) as unknown as Layout<never>;
  return { before: `struct ${attribute} { ${body} }`, after: '', kind };
}

const align = fc.constantFrom(1, 1, 1, 2, 16, 64);
const plain = fc
  .tuple(fc.array(fc.oneof(scalar, scalarArray), { minLength: 1, maxLength: 8 }), align)
  .map(([members, alignment]) => structure(members, false, alignment));
const packed = fc.array(scalar, { minLength: 1, maxLength: 8 }).map((members) => structure(members, true, 1));
const nested = fc
  .tuple(fc.array(fc.oneof(scalar, scalarArray, plain, packed), { minLength: 1, maxLength: 8 }), align)
  .map(([members, alignment]) => structure(members, false, alignment));

test('sizes, offsets and alignments are those of the C compiler', () => {
  const samples = fc.sample(fc.oneof(plain, packed, nested), { numRuns: 300, seed: 1 });
  const lines = samples.flatMap(({ before, kind }, i) => [
    `typedef ${before} s${i};`,
    `static void print${i}(void) { printf("%zu %zu", sizeof(s${i}), _Alignof(s${i}));`,
    ...Object.keys(kind.offsets).map((field) => `printf(" %zu", offsetof(s${i}, ${field}));`),
    'puts(""); }',
  ]);
  const source = [
    '#include <stddef.h>',
    '#include <stdint.h>',
    '#include <stdio.h>',
    ...lines,
    `int main(void) { ${samples.map((_, i) => `print${i}();`).join(' ')} return 0; }`,
  ].join('\n');

  const directory = mkdtempSync(join(tmpdir(), 'tsvmm-struct-'));
  try {
    writeFileSync(join(directory, 'layouts.c'), source);
    execFileSync('gcc', ['-O0', '-o', join(directory, 'layouts'), join(directory, 'layouts.c')]);
    const output = execFileSync(join(directory, 'layouts'), { encoding: 'utf8' }).trimEnd().split('\n');
    const ours = samples.map(({ kind }) =>
      [kind.size, kind.alignment, ...Object.values(kind.offsets)].join(' '),
    );
    expect(ours).toEqual(output);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('64-bit numbers and bigints lie where each other do', () => {
  expect(struct({ a: u8, b: u64 }).offsets).toEqual(struct({ a: u8, b: u64big }).offsets);
});

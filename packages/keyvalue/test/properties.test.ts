import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bigint,
  boolean,
  cpuSet,
  formatPciAddress,
  KeyValueError,
  nearest,
  number,
  oneOf,
  optional,
  parse,
  pciAddress,
  quote,
  record,
  type Schema,
  size,
  string,
  tagged,
  tuple,
  vector,
} from '../src/index.ts';

interface Example {
  readonly schema: Schema<unknown>;
  readonly text: string;
  readonly value: unknown;
}

const example = (schema: Schema<unknown>, text: string, value: unknown): Example => ({ schema, text, value });
const radixes: [string, number][] = [
  ['', 10],
  ['0x', 16],
  ['0o', 8],
  ['0b', 2],
];
const single = (text: string) => (text.includes("'") ? quote(text) : `'${text}'`);

const leaf: fc.Arbitrary<Example> = fc.oneof(
  fc.boolean().map((value) => example(boolean(), String(value), value)),
  fc
    .tuple(fc.maxSafeInteger(), fc.constantFrom(...radixes))
    .map(([value, [prefix, radix]]) =>
      example(
        number({ min: Number.MIN_SAFE_INTEGER }),
        `${value < 0 ? '-' : ''}${prefix}${Math.abs(value).toString(radix)}`,
        value === 0 ? 0 : value,
      ),
    ),
  fc
    .bigInt({ min: 0n, max: 2n ** 64n - 1n })
    .map((value) => example(bigint(), `0x${value.toString(16)}`, value)),
  fc.nat().map((kib) => example(size(), `${kib}K`, kib * 1024)),
  fc.string({ unit: 'binary' }).map((value) => example(string(), quote(value), value)),
  fc.string().map((value) => example(string(), single(value), value)),
  fc.constantFrom('a', 'b-c', '2d').map((value) => example(oneOf('a', 'b-c', '2d'), value, value)),
  fc.uniqueArray(fc.nat(200)).map((cpus) =>
    example(
      cpuSet(),
      `[${cpus}]`,
      cpus.toSorted((a, b) => a - b),
    ),
  ),
  fc
    .record({ domain: fc.nat(0xffff), bus: fc.nat(0xff), device: fc.nat(31), function: fc.nat(7) })
    .map((value) => example(pciAddress(), formatPciAddress(value), value)),
);

const name = fc.stringMatching(/^[a-z_][a-z0-9_-]{0,6}$/).filter((text) => text !== '__proto__');

function fields(of: fc.Arbitrary<Example>): fc.Arbitrary<Example> {
  return fc
    .array(fc.tuple(name, of), { minLength: 1, maxLength: 5 })
    .map((entries) => new Map(entries))
    .chain((entries) => fc.tuple(fc.constant(entries), fc.shuffledSubarray([...entries.keys()])))
    .map(([entries, given]) => {
      const values = Object.fromEntries(given.map((key) => [key, entries.get(key)?.value]));
      const schema = record(
        Object.fromEntries([...entries].map(([key, { schema }]) => [key, optional(schema)])),
      );
      return example(schema, given.map((key) => `${key}=${entries.get(key)?.text}`).join(','), values);
    });
}

const value: fc.Arbitrary<Example> = fc.letrec<{ node: Example }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fields(tie('node')).map(({ schema, text, value }) => example(schema, `[${text}]`, value)),
    fc.array(tie('node'), { maxLength: 4 }).map((elements) =>
      example(
        tuple(...elements.map(({ schema }) => schema)),
        `[${elements.map(({ text }) => text).join(',')}]`,
        elements.map(({ value }) => value),
      ),
    ),
    fc
      .tuple(name, fields(tie('node')))
      .map(([type, { schema, text, value }]) =>
        example(tagged({ [type]: schema }), `${type}[${text}]`, { type, value }),
      ),
  ),
})).node;

test('every value written in the grammar is read back', () => {
  fc.assert(
    fc.property(fields(value), ({ schema, text, value }) => {
      expect(parse(schema, text)).toEqual(value);
    }),
    { numRuns: 500 },
  );
});

const everything = record({
  path: string(),
  flag: boolean(),
  n: optional(number()),
  big: optional(bigint()),
  bytes: optional(size()),
  cpus: optional(cpuSet()),
  at: optional(pciAddress()),
  list: optional(vector(record({ a: optional(tuple(number(), string())), b: optional(string()) }))),
  how: optional(tagged({ x: record({ y: optional(number()) }), z: null })),
});

const refusal = (text: string): KeyValueError | undefined => {
  try {
    parse(everything, text);
    return undefined;
  } catch (error) {
    if (error instanceof KeyValueError) return error;
    throw error;
  }
};

describe('any text is read or refused with a position inside it', () => {
  const keys = ['path', 'flag', 'n', 'big', 'bytes', 'cpus', 'at', 'list', 'how', 'x', 'y', 'z'];
  const pieces = [
    ...keys,
    '=',
    '=',
    ',',
    '[',
    ']',
    '"',
    "'",
    '\\',
    '0x1f',
    '-',
    '4K',
    '00:05.0',
    'true',
    'é',
  ];
  const grammarLike = fc.array(fc.constantFrom(...pieces), { maxLength: 30 }).map((parts) => parts.join(''));
  test.each([
    ['any characters', fc.string({ unit: 'binary' })],
    ['pieces of the grammar', grammarLike],
  ])('%s', (_, texts) => {
    fc.assert(
      fc.property(texts, (text) => {
        const error = refusal(text);
        if (!error) return;
        expect(error.position).toBeGreaterThanOrEqual(0);
        expect(error.position + error.length).toBeLessThanOrEqual(text.length);
        expect(error.pretty(text).split('\n')[1]).toMatch(/^ *\^+$/);
      }),
      { numRuns: 3000 },
    );
  });
});

test('hostile texts of a megabyte are answered at once', () => {
  const million = 1_000_000;
  const texts = [
    '['.repeat(million),
    `list=${'['.repeat(million)}`,
    `n=${'9'.repeat(million)}`,
    `${'a'.repeat(million)}=1`,
    `"${'\\"'.repeat(million / 2)}`,
    `p,${'flag,'.repeat(million / 5)}`,
    `p,cpus=[${'0-8191,'.repeat(million / 7)}`,
    `p,list=[${'[b=x],'.repeat(million / 6)}`,
    ','.repeat(million),
  ];
  for (const text of texts) expect(refusal(text)).toBeInstanceOf(KeyValueError);
});

describe('nearest', () => {
  test('undoes one slip of the hand', () => {
    const names = ['path', 'sparse', 'block-size', 'pci-address', 'packed-queue'];
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.nat(10), fc.nat(3), (candidate, place, kind) => {
        const at = place % (candidate.length - 1);
        const [head, a, b, tail] = [
          candidate.slice(0, at),
          candidate[at] ?? '',
          candidate[at + 1] ?? '',
          candidate.slice(at + 2),
        ];
        const slip = [
          `${head}${b}${a}${tail}`,
          `${head}${b}${tail}`,
          `${head}x${a}${b}${tail}`,
          `${head}z${b}${tail}`,
        ];
        expect(nearest(slip[kind] ?? '', names)).toBe(candidate);
      }),
    );
  });

  test('takes underscores and capitals for what they are, and guesses no further than that', () => {
    expect(nearest('Block_Size', ['path', 'block-size'])).toBe('block-size');
    expect(nearest('kernel', ['path', 'block-size'])).toBeUndefined();
    expect(nearest('', ['path'])).toBeUndefined();
  });
});

import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  bigint,
  boolean,
  cpuSet,
  field,
  formatPciAddress,
  KeyValueError,
  type KeyValueErrorCode,
  named,
  number,
  oneOf,
  optional,
  parse,
  pciAddress,
  record,
  type Schema,
  size,
  string,
  tagged,
  tuple,
  type ValueOf,
  vector,
} from '../src/index.ts';

const block = record({
  path: string(),
  ro: boolean(),
  sparse: boolean({ default: true }),
  'block-size': number({
    alias: 'block_size',
    default: 512,
    check: (value) => (value % 512 === 0 ? undefined : 'the block size must be a multiple of 512'),
  }),
  id: optional(string({ maxBytes: 20 })),
  'pci-address': optional(pciAddress()),
});
const BLOCK = { path: 'a.img', ro: false, sparse: true, 'block-size': 512 };

const gpu = record({
  backend: field(oneOf('2d', 'virglrenderer'), { default: '2d' }),
  displays: optional(
    vector(
      record({
        mode: tagged({ windowed: tuple(number({ max: 65535 }), number({ max: 65535 })), off: null }),
        hidden: boolean(),
        dpi: optional(tuple(number(), number())),
      }),
    ),
  ),
});
const hypervisor = tagged({
  kvm: record({ device: optional(string()) }),
  gunyah: record({ device: string(), 'trusted-id': optional(number()) }),
  whpx: null,
});

test('types follow from the schema', () => {
  expectTypeOf<ValueOf<typeof block>['block-size']>().toEqualTypeOf<number>();
  expectTypeOf<ValueOf<typeof block>['id']>().toEqualTypeOf<string | undefined>();
  expectTypeOf<ValueOf<typeof gpu>['backend']>().toEqualTypeOf<'2d' | 'virglrenderer'>();
  const value = parse(hypervisor, 'kvm[device=/dev/kvm]');
  expectTypeOf(value.type).toEqualTypeOf<'kvm' | 'gunyah' | 'whpx'>();
  if (value.type === 'gunyah') expectTypeOf(value.value.device).toEqualTypeOf<string>();
});

/** A schema with a single field, to look at one value at a time. */
const m = <T>(schema: Schema<T>) => record({ m: schema });

describe('what the grammar reads', () => {
  const accepted: [Schema<unknown>, string, unknown][] = [
    [block, 'a.img', BLOCK],
    [block, 'path=a.img', BLOCK],
    [block, 'a.img,', BLOCK],
    [block, 'a.img,ro', { ...BLOCK, ro: true }],
    [block, 'ro,path=a.img', { ...BLOCK, ro: true }],
    [block, 'ro=true,sparse=false,path=a.img', { ...BLOCK, ro: true, sparse: false }],
    [block, 'ro.img', { ...BLOCK, path: 'ro.img' }],
    [block, 'path=ro', { ...BLOCK, path: 'ro' }],
    [block, '"a,[b].img",ro', { ...BLOCK, path: 'a,[b].img', ro: true }],
    [block, 'path=x=y', { ...BLOCK, path: 'x=y' }],
    [block, 'a.img,block_size=0x1000', { ...BLOCK, 'block-size': 4096 }],
    [m(string()), 'm=two words', { m: 'two words' }],
    [m(string()), 'm=false', { m: 'false' }],
    [m(string()), 'm=""', { m: '' }],
    [m(string()), "m=''", { m: '' }],
    [m(string()), 'm="say \\"a\\\\b\\""', { m: 'say "a\\b"' }],
    [m(string()), "m='no \\ escape'", { m: 'no \\ escape' }],
    [m(number()), 'm=0o755', { m: 0o755 }],
    [m(number()), 'm=0b1100', { m: 12 }],
    [m(number()), '7', { m: 7 }],
    [m(number({ min: -0x2000 })), 'm=-0x1fff', { m: -0x1fff }],
    [m(bigint()), 'm=0xffffffffffffffff', { m: 2n ** 64n - 1n }],
    [m(size()), 'm=16MiB', { m: 16 * 2 ** 20 }],
    [m(size()), 'm=4096', { m: 4096 }],
    [m(size()), 'm=2g', { m: 2 ** 31 }],
    [m(named({ virglrenderer: 3, '3d': 3 })), 'm=3d', { m: 3 }],
    [m(field(number(), { bare: 9 })), 'm', { m: 9 }],
    [m(cpuSet()), 'm=[0,2,4-7]', { m: [0, 2, 4, 5, 6, 7] }],
    [m(cpuSet()), 'm=2-3', { m: [2, 3] }],
    [cpuSet(), '5,0-1,1', [0, 1, 5]],
    [
      m(vector(string())),
      `m=[plain,"in, quotes",'and "these"']`,
      { m: ['plain', 'in, quotes', 'and "these"'] },
    ],
    [m(vector(number())), 'm=[]', { m: [] }],
    [m(vector(number())), 'm=[1,2,]', { m: [1, 2] }],
    [m(vector(cpuSet())), 'm=[[0-1],[2]]', { m: [[0, 1], [2]] }],
    [
      gpu,
      'displays=[[windowed[640,480]],[mode=windowed[800,600],hidden,dpi=[96,96]],[off]]',
      {
        backend: '2d',
        displays: [
          { mode: { type: 'windowed', value: [640, 480] }, hidden: false },
          { mode: { type: 'windowed', value: [800, 600] }, hidden: true, dpi: [96, 96] },
          { mode: { type: 'off', value: undefined }, hidden: false },
        ],
      },
    ],
    [gpu, 'virglrenderer', { backend: 'virglrenderer' }],
    [gpu, '', { backend: '2d' }],
    [hypervisor, 'kvm', { type: 'kvm', value: {} }],
    [hypervisor, 'kvm[]', { type: 'kvm', value: {} }],
    [hypervisor, 'kvm[/dev/kvm2]', { type: 'kvm', value: { device: '/dev/kvm2' } }],
    [hypervisor, 'whpx', { type: 'whpx', value: undefined }],
  ];
  test.each(accepted.filter(([, , value]) => value !== undefined))('%#: %j', (schema, text, value) => {
    expect(parse(schema, text)).toEqual(value);
  });

  test('PCI addresses', () => {
    expect(parse(pciAddress(), '00:1f.3')).toEqual({ domain: 0, bus: 0, device: 0x1f, function: 3 });
    expect(formatPciAddress(parse(pciAddress(), '1:ab:5.0'))).toBe('0001:ab:05.0');
  });

  test('fields separated by colons', () => {
    const options = record({ type: oneOf('p9', 'fs'), cache: optional(string()) });
    expect(parse(options, 'type=fs:cache=a,b', { separator: ':' })).toEqual({ type: 'fs', cache: 'a,b' });
  });
});

describe('what it refuses, and where', () => {
  const refused: [Schema<unknown>, string, KeyValueErrorCode, number, string][] = [
    [block, '', 'MISSING_FIELD', 0, 'path'],
    [block, 'ro', 'MISSING_FIELD', 0, 'path'],
    [block, 'a.img,rp', 'UNKNOWN_FIELD', 6, ''],
    [block, 'a.img,path=b.img', 'DUPLICATE_FIELD', 6, 'path'],
    [block, 'a.img,block-size=512,block_size=512', 'DUPLICATE_FIELD', 21, 'block-size'],
    [block, 'a.img,id', 'EXPECTED_EQUAL', 8, 'id'],
    [block, 'a.img,ro:', 'EXPECTED_EQUAL', 8, 'ro'],
    [block, 'a.img,ro=yes', 'EXPECTED_BOOLEAN', 9, 'ro'],
    [block, 'a.img,ro=trueish', 'EXPECTED_BOOLEAN', 9, 'ro'],
    [block, 'a.img,ro=', 'EXPECTED_BOOLEAN', 9, 'ro'],
    [block, 'a.img,block-size=513', 'BAD_VALUE', 17, 'block-size'],
    [block, 'a.img,id=123456789012345678901', 'OUT_OF_RANGE', 9, 'id'],
    [block, 'a.img,id=ééééééééééé', 'OUT_OF_RANGE', 9, 'id'],
    [block, 'a.img,pci-address=00:20.0', 'BAD_VALUE', 18, 'pci-address'],
    [block, 'a.img,,', 'EXPECTED_IDENTIFIER', 6, ''],
    [block, 'a.img]', 'TRAILING_CHARACTERS', 5, ''],
    [m(string()), 'm=', 'EXPECTED_STRING', 2, 'm'],
    [m(string()), 'm=a"b"', 'INVALID_CHARACTER', 3, 'm'],
    [m(string()), 'm=a[b]', 'INVALID_CHARACTER', 3, 'm'],
    [m(string()), 'm="a"b', 'INVALID_CHARACTER', 5, 'm'],
    [m(string()), 'm="a', 'UNTERMINATED_STRING', 2, 'm'],
    [m(string()), "m='a", 'UNTERMINATED_STRING', 2, 'm'],
    [m(string()), 'm="a\\n"', 'BAD_ESCAPE', 4, 'm'],
    [m(string()), 'm="a\\', 'BAD_ESCAPE', 4, 'm'],
    [m(number()), 'm=-1', 'OUT_OF_RANGE', 2, 'm'],
    [m(number({ max: 255 })), 'm=256', 'OUT_OF_RANGE', 2, 'm'],
    [m(number()), 'm=9007199254740992', 'OUT_OF_RANGE', 2, 'm'],
    [m(number()), 'm=0xg', 'BAD_NUMBER', 2, 'm'],
    [m(number()), 'm=0o8', 'BAD_NUMBER', 2, 'm'],
    [m(number()), 'm=0b2', 'BAD_NUMBER', 2, 'm'],
    [m(number()), 'm=1.5', 'BAD_NUMBER', 2, 'm'],
    [m(number()), 'm=0x', 'BAD_NUMBER', 2, 'm'],
    [m(size()), 'm=12Q', 'BAD_NUMBER', 2, 'm'],
    [m(size()), 'm=9000000T', 'OUT_OF_RANGE', 2, 'm'],
    [m(tuple(number(), number())), 'm=[320]', 'WRONG_LENGTH', 2, 'm'],
    [m(tuple(number(), number())), 'm=[320,200,255]', 'EXPECTED_CLOSE_BRACKET', 11, 'm'],
    [m(tuple(number(), number())), 'm=[320,200', 'EXPECTED_CLOSE_BRACKET', 10, 'm'],
    [m(vector(number())), 'm=1', 'EXPECTED_OPEN_BRACKET', 2, 'm'],
    [m(vector(number())), 'm=[1,x]', 'BAD_NUMBER', 5, 'm.1'],
    [m(vector(cpuSet())), 'm=[[1][2]]', 'EXPECTED_SEPARATOR', 6, 'm'],
    [m(cpuSet()), 'm=[3-1]', 'OUT_OF_RANGE', 3, 'm'],
    [m(cpuSet()), 'm=[0-99999]', 'OUT_OF_RANGE', 3, 'm'],
    [gpu, 'backend=vulkan', 'UNKNOWN_VARIANT', 8, 'backend'],
    [gpu, 'displays=[[mode=windowed[1,99999]]]', 'OUT_OF_RANGE', 27, 'displays.0.mode.windowed.1'],
    [gpu, 'displays=[[mode=windowed]]', 'EXPECTED_OPEN_BRACKET', 24, 'displays.0.mode.windowed'],
    [hypervisor, 'gunyah', 'EXPECTED_OPEN_BRACKET', 6, 'gunyah'],
    [hypervisor, 'whpx[]', 'TRAILING_CHARACTERS', 4, ''],
    [hypervisor, 'kvm[device=P', 'EXPECTED_CLOSE_BRACKET', 12, 'kvm'],
  ];
  test.each(refused)('%#: %j', (schema, text, code, position, path) => {
    try {
      parse(schema, text);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(KeyValueError);
      expect(error).toMatchObject({ code, position, field: path });
    }
  });
});

describe('how it says so', () => {
  const failure = (schema: Schema<unknown>, text: string) => {
    try {
      parse(schema, text);
    } catch (error) {
      if (error instanceof KeyValueError) return error;
    }
    throw new Error('it was accepted');
  };

  test('with the position, the choices and a guess', () => {
    expect(failure(block, 'a.img,spasre').message).toBe(
      'unknown field `spasre`, expected one of `path`, `ro`, `sparse`, `block-size`, `block_size`, `id`, ' +
        '`pci-address` (did you mean `sparse`?) at position 6',
    );
  });

  test('with carets under the problem', () => {
    const text = 'a.img,ro=maybe,id=x';
    expect(failure(block, text).pretty(text)).toBe(
      "a.img,ro=maybe,id=x\n         ^^^^^\nexpected 'true' or 'false'",
    );
  });

  test('with a short line, however long the text and whatever is in it', () => {
    const text = `"${'x'.repeat(5000)}\n",bad=1`;
    const [line = '', carets = ''] = failure(block, text).pretty(text).split('\n');
    expect(line.length).toBeLessThan(80);
    expect(line.slice(carets.indexOf('^'))).toMatch(/^bad=1/);
    expect(line).toContain('·');
  });
});

test('a record whose names clash is a mistake of the program', () => {
  expect(() => record({ a: number(), b: number({ alias: 'a' }) })).toThrow(TypeError);
});

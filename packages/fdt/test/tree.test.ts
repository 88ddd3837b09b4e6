import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeviceTree, FdtError, type FdtNode, parseFdt, toBytes, toDts } from '../src/index.ts';
import { machine } from './machine.ts';

interface Shape {
  readonly properties: [string, Uint8Array][];
  readonly children: [string, Shape][];
}

const byName = { selector: ([name]: [string, unknown]) => name };
const nodeName = fc.stringMatching(/^[a-z][0-9A-Za-z,._+-]{0,30}(@[0-9a-f]{1,16})?$/);
const propertyName = fc
  .stringMatching(/^[a-z#][0-9A-Za-z,._+?#-]{0,30}$/)
  .filter((name) => name !== 'phandle');
const value = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.array(fc.string({ minLength: 1 })).map((strings) => new TextEncoder().encode(`${strings.join('\0')}\0`)),
);
const level = (children: fc.Arbitrary<Shape['children']>): fc.Arbitrary<Shape> =>
  fc.record({
    properties: fc.uniqueArray(fc.tuple(propertyName, value), { maxLength: 5, ...byName }),
    children,
  });
const above = (below: fc.Arbitrary<Shape>) =>
  level(fc.uniqueArray(fc.tuple(nodeName, below), { maxLength: 3, ...byName }));
const shape = above(above(above(level(fc.constant([])))));

function fill(node: FdtNode, { properties, children }: Shape): void {
  for (const [name, value] of properties) node.bytes(name, value);
  for (const [name, child] of children) fill(node.node(name), child);
}

function shapeOf(node: FdtNode): Shape {
  return {
    properties: [...node.properties],
    children: [...node.children].map(([name, child]) => [name, shapeOf(child)]),
  };
}

const treeOf = (shape: Shape) => {
  const tree = new DeviceTree();
  fill(tree.root, shape);
  return tree;
};
const u64 = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n });

test('any tree is read back as it was written', () => {
  fc.assert(
    fc.property(
      shape,
      fc.array(fc.record({ address: u64, size: u64 })),
      fc.nat(),
      (shape, reservations, bootCpuId) => {
        const blob = toBytes(treeOf(shape), { reservations, bootCpuId });
        const tree = parseFdt(blob);
        expect(shapeOf(tree.root)).toEqual(shape);
        expect(tree).toMatchObject({ reservations, bootCpuId });
        expect(toBytes(tree)).toEqual(blob);
      },
    ),
  );
});

test('any tree is printed as dtc understands it', () => {
  fc.assert(
    fc.property(shape, (shape) => {
      const tree = treeOf(shape);
      // -f: dtc has opinions on what properties such as #size-cells contain.
      const { stdout } = spawnSync('dtc', ['-q', '-f', '-I', 'dts', '-O', 'dtb'], { input: toDts(tree) });
      expect(shapeOf(parseFdt(stdout).root)).toEqual(shape);
    }),
    { numRuns: 40 },
  );
});

describe('the builder', () => {
  test.each(['', '1cpu', 'a b', 'a/b', 'a@', 'a@b@c', 'x'.repeat(32), 'grüße'])(
    'refuses the node name %j',
    (name) => {
      expect(() => new DeviceTree().root.node(name)).toThrow(expect.objectContaining({ code: 'BAD_NAME' }));
    },
  );

  test.each(['', 'a b', 'a/b', 'a@b', 'x'.repeat(32)])('refuses the property name %j', (name) => {
    expect(() => new DeviceTree().root.empty(name)).toThrow(expect.objectContaining({ code: 'BAD_NAME' }));
  });

  test('refuses values that do not fit, and says of which property', () => {
    const node = new DeviceTree().root.node('cpus');
    const refused = expect.objectContaining({
      code: 'BAD_VALUE',
      message: expect.stringContaining('/cpus: a'),
    });
    for (const value of [-1, 2 ** 32, 1.5, Number.NaN]) expect(() => node.u32('a', value)).toThrow(refused);
    for (const value of [-1, 2 ** 53, -1n, 2n ** 64n]) expect(() => node.u64('a', value)).toThrow(refused);
    expect(() => node.string('a', 'b\0c')).toThrow(refused);
    expect(() => node.cells('a', new DeviceTree().root)).toThrow(refused);
    expect(() => node.bytes('a', new Uint8Array(3)).getU32s('a')).toThrow(refused);
    expect(() => node.getU64s('a')).toThrow(refused);
    expect(() => node.bytes('a', Uint8Array.of(65)).getStrings('a')).toThrow(refused);
  });

  test('replaces and removes properties, and removes nodes, but adds none twice', () => {
    const { root } = new DeviceTree();
    root.node('a').u32('x', 1).u32('x', 2);
    expect(() => root.node('a')).toThrow(expect.objectContaining({ code: 'DUPLICATE' }));
    expect(root.children.get('a')?.getU32s('x')).toEqual([2]);
    expect(root.children.get('a')?.remove('x')).toBe(true);
    expect(root.remove('a')).toBe(true);
    expect(root.remove('a')).toBe(false);
    expect(root.getU32s('a')).toBeUndefined();
  });

  test('nests as deep as Linux reads', () => {
    let node = new DeviceTree().root;
    for (let depth = 0; depth < 64; depth++) node = node.node('n');
    expect(() => node.node('n')).toThrow(expect.objectContaining({ code: 'TOO_DEEP' }));
  });

  test('keeps to the size it is given', () => {
    const { length } = toBytes(machine());
    expect(toBytes(machine(), { maxSize: length })).toHaveLength(length);
    expect(() => toBytes(machine(), { maxSize: length - 1 })).toThrow(
      expect.objectContaining({ code: 'TOO_LARGE' }),
    );
  });
});

describe('the reader refuses', () => {
  const good = toBytes(machine());
  const header = (word: number, value: number) => {
    const copy = good.slice();
    new DataView(copy.buffer).setUint32(word * 4, value);
    return copy;
  };
  const words = (...values: number[]) => {
    const structure = Uint8Array.from(
      values.flatMap((value) => [value >>> 24, value >>> 16, value >>> 8, value]),
    );
    const blob = new Uint8Array(56 + structure.length + 4);
    const data = new DataView(blob.buffer);
    const head = [0xd00dfeed, blob.length, 56, 56 + structure.length, 40, 17, 16, 0, 4, structure.length];
    for (const [index, value] of head.entries()) data.setUint32(index * 4, value);
    blob.set(structure, 56);
    blob.set([0x61, 0, 0x2f, 0], 56 + structure.length);
    return blob;
  };
  const A = 0x6100_0000;
  const cases: [string, Uint8Array, string][] = [
    ['nothing', new Uint8Array(), 'NOT_FDT'],
    ['another magic number', header(0, 0x7f454c46), 'NOT_FDT'],
    ['a cut header', good.subarray(0, 30), 'TRUNCATED'],
    ['cut contents', good.subarray(0, -1), 'TRUNCATED'],
    ['an old version', header(5, 15), 'UNSUPPORTED_VERSION'],
    ['a version to come', header(6, 18), 'UNSUPPORTED_VERSION'],
    ['a structure outside', header(2, 0xffff_fff0), 'BAD_STRUCTURE'],
    ['an odd structure', header(2, 57), 'BAD_STRUCTURE'],
    ['strings outside', header(3, 0xffff_fff0), 'BAD_STRUCTURE'],
    ['reservations outside', header(4, 0xffff_fff0), 'BAD_STRUCTURE'],
    ['no root', words(9), 'BAD_STRUCTURE'],
    ['a root with a name', words(1, A, 2, 9), 'BAD_STRUCTURE'],
    ['a node without a name', words(1, 0, 1, 0, 2, 2, 9), 'BAD_STRUCTURE'],
    ['no end', words(1, 0, 2), 'BAD_STRUCTURE'],
    ['an open node', words(1, 0, 9), 'BAD_STRUCTURE'],
    ['an unknown token', words(1, 0, 5, 2, 9), 'BAD_STRUCTURE'],
    ['a property after a node', words(1, 0, 1, A, 2, 3, 0, 0, 2, 9), 'BAD_STRUCTURE'],
    ['a property of four gigabytes', words(1, 0, 3, 0xffff_ffff, 0, 2, 9), 'BAD_STRUCTURE'],
    ['a property named nowhere', words(1, 0, 3, 0, 0xffff_ffff, 2, 9), 'BAD_STRUCTURE'],
    ['a property without a name', words(1, 0, 3, 0, 1, 2, 9), 'BAD_STRUCTURE'],
    ['a property named /', words(1, 0, 3, 0, 2, 2, 9), 'BAD_STRUCTURE'],
    ['a property twice', words(1, 0, 3, 0, 0, 3, 0, 0, 2, 9), 'DUPLICATE'],
    ['a node twice', words(1, 0, 1, A, 2, 1, A, 2, 2, 9), 'DUPLICATE'],
    ['endless nodes', words(1, 0, ...Array(10_000).fill([1, A]).flat()), 'TOO_DEEP'],
  ];
  test.each(cases)('%s', (_, blob, code) => {
    expect(() => parseFdt(blob)).toThrow(expect.objectContaining({ name: 'FdtError', code }));
  });

  test('and takes what is like it, but right', () => {
    expect(shapeOf(parseFdt(words(1, 0, 4, 3, 0, 0, 4, 1, A, 2, 4, 2, 9)).root).properties).toHaveLength(1);
  });

  test('damage of any kind, by no other error', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const blob = good.slice();
          for (const [at, value] of changes) blob[at] = value;
          try {
            toDts(parseFdt(blob));
          } catch (error) {
            expect(error).toBeInstanceOf(FdtError);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GuestMemory, GuestMemoryError, type MemoryRegion } from '../src/index.ts';

const PAGE = 4096;

/** Two regions that touch, a hole, and RAM above 4 GiB. */
const REGIONS: readonly MemoryRegion[] = [
  { base: 0x1_0000_0000, size: 2 * PAGE },
  { base: 0, size: PAGE },
  { base: PAGE, size: 2 * PAGE },
  { base: 0x8000_0000, size: PAGE },
];

function outOfRange(action: () => unknown): void {
  expect(action).toThrow(expect.objectContaining({ name: 'GuestMemoryError', code: 'OUT_OF_RANGE' }));
}

/** Addresses near the edges of regions, in the middle of nowhere, and no addresses at all. */
const address = fc.oneof(
  { weight: 8, arbitrary: fc.nat(3 * PAGE + 20) },
  {
    weight: 8,
    arbitrary: fc
      .tuple(
        fc.constantFrom(0, PAGE, 3 * PAGE, 0x8000_0000, 0x8000_1000, 0x1_0000_0000, 0x1_0000_2000),
        fc.integer({ min: -16, max: 16 }),
      )
      .map(([edge, distance]) => edge + distance),
  },
  { weight: 2, arbitrary: fc.maxSafeNat() },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      -1,
      -0.5,
      0.5,
      4095.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.MAX_SAFE_INTEGER,
      Number.MAX_VALUE,
      2 ** 64,
    ),
  },
);
const length = fc.oneof(fc.nat(40), fc.constantFrom(-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53));

/** Guest memory as a map from address to byte: slow, and obviously right. */
class Model {
  readonly #bytes = new Map<number, number>();

  has(start: number, size: number): boolean {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(size) || size < 0 || start < 0) return false;
    if (size === 0) return REGIONS.some(({ base, size: all }) => start >= base && start <= base + all);
    for (let at = start; at < start + Math.min(size, 100); at++) {
      if (!REGIONS.some(({ base, size: all }) => at >= base && at < base + all)) return false;
    }
    return size <= 100;
  }

  read(start: number, size: number): number[] {
    return Array.from({ length: size }, (_, i) => this.#bytes.get(start + i) ?? 0);
  }

  write(start: number, bytes: Iterable<number>): void {
    let at = start;
    for (const byte of bytes) this.#bytes.set(at++, byte);
  }
}

function littleEndian(value: bigint, size: number): number[] {
  return Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

const WIDTHS = [8, 16, 32, 53] as const;

describe.each(['file', 'anonymous'] as const)('GuestMemory with backing %s', (backing) => {
  it('agrees with a model on every access, and refuses exactly what is not RAM', () => {
    using memory = GuestMemory.create({ regions: REGIONS, backing });
    const model = new Model();
    const words = new Uint32Array(2);
    const operation = fc.oneof(
      fc.record({
        kind: fc.constant('field' as const),
        width: fc.constantFrom(...WIDTHS),
        address,
        value: fc.maxSafeNat(),
      }),
      fc.record({ kind: fc.constant('bytes' as const), address, value: fc.uint8Array({ maxLength: 40 }) }),
      fc.record({ kind: fc.constant('fill' as const), address, length, value: fc.nat(255) }),
      fc.record({ kind: fc.constant('copy' as const), address, to: address, length }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
        for (const step of operations) {
          const at = step.address;
          if (step.kind === 'field') {
            const size = step.width === 53 ? 8 : step.width / 8;
            const value = step.width === 53 ? step.value : step.value % 2 ** step.width;
            const write = () => memory[`writeUint${step.width}`](at, value);
            if (model.has(at, size)) {
              write();
              model.write(at, littleEndian(BigInt(value), size));
              expect(memory[`readUint${step.width}`](at)).toBe(value);
              if (size === 8) {
                memory.readUint64(at, words);
                expect(words[0]).toBe(value % 2 ** 32);
                expect(words[1]).toBe(Math.floor(value / 2 ** 32));
              }
            } else {
              outOfRange(write);
              outOfRange(() => memory[`readUint${step.width}`](at));
              outOfRange(() => memory.hostOffset(at, size));
            }
            expect(memory.contains(at, size)).toBe(model.has(at, size));
          } else if (step.kind === 'bytes') {
            if (model.has(at, step.value.length)) {
              memory.copyIn(at, step.value);
              model.write(at, step.value);
              const copy = new Uint8Array(step.value.length);
              memory.copyOut(at, copy);
              expect(copy).toEqual(step.value);
            } else {
              outOfRange(() => memory.copyIn(at, step.value));
              outOfRange(() => memory.copyOut(at, step.value));
            }
          } else if (step.kind === 'fill') {
            if (model.has(at, step.length)) {
              memory.fill(at, step.length, step.value);
              model.write(at, new Uint8Array(step.length).fill(step.value));
              expect([...memory.bytes(at, step.length)]).toEqual(model.read(at, step.length));
            } else {
              outOfRange(() => memory.fill(at, step.length, step.value));
              outOfRange(() => memory.bytes(at, step.length));
            }
          } else if (model.has(at, step.length) && model.has(step.to, step.length)) {
            memory.copyWithin(step.to, at, step.length);
            model.write(step.to, model.read(at, step.length));
          } else {
            outOfRange(() => memory.copyWithin(step.to, at, step.length));
          }
        }
        for (const { base, size } of REGIONS) {
          for (const edge of [base, base + size - 64]) {
            expect([...memory.bytes(edge, 64)]).toEqual(model.read(edge, 64));
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('synchronises by aligned 16 and 32-bit fields', () => {
    using memory = GuestMemory.create({ regions: REGIONS, backing });
    memory.storeUint16(0x8000_0002, 0xfffe);
    expect(memory.loadUint16(0x8000_0002)).toBe(0xfffe);
    expect(memory.readUint16(0x8000_0002)).toBe(0xfffe);
    memory.storeUint32(0x1_0000_0004, 0xdead_beef);
    expect(memory.loadUint32(0x1_0000_0004)).toBe(0xdead_beef);
    expect(memory.compareExchangeUint32(0x1_0000_0004, 1, 2)).toBe(0xdead_beef);
    expect(memory.compareExchangeUint32(0x1_0000_0004, 0xdead_beef, 2)).toBe(0xdead_beef);
    expect(memory.readUint32(0x1_0000_0004)).toBe(2);
    const unaligned = expect.objectContaining({ code: 'UNALIGNED' });
    expect(() => memory.loadUint16(1)).toThrow(unaligned);
    expect(() => memory.storeUint32(2, 0)).toThrow(unaligned);
    outOfRange(() => memory.loadUint16(0x8000_1000));
    outOfRange(() => memory.loadUint32(Number.NaN));
  });

  it('zeroes discarded pages and leaves the others', () => {
    using memory = GuestMemory.create({ regions: [{ base: 0, size: 4 * 65536 }], backing });
    memory.fill(0, 4 * 65536, 0xaa);
    memory.discard(65536, 2 * 65536);
    expect(memory.readUint8(65535)).toBe(0xaa);
    expect(memory.bytes(65536, 2 * 65536).every((byte) => byte === 0)).toBe(true);
    expect(memory.readUint8(3 * 65536)).toBe(0xaa);
    expect(() => memory.discard(1, 4096)).toThrow(expect.objectContaining({ code: 'UNALIGNED' }));
    outOfRange(() => memory.discard(3 * 65536, 2 * 65536));
  });
});

describe('GuestMemory', () => {
  it('says where bytes are, in the buffer and in the file', () => {
    using memory = GuestMemory.create({ regions: REGIONS });
    expect(memory.regions.map(({ base }) => base)).toEqual([0, PAGE, 0x8000_0000, 0x1_0000_0000]);
    expect(memory.size).toBe(6 * PAGE);
    expect(memory.end).toBe(0x1_0000_0000 + 2 * PAGE);
    for (const region of memory.regions) {
      expect(memory.hostOffset(region.base, region.size)).toBe(region.hostOffset);
      memory.writeUint8(region.base, 0x5a);
      expect(memory.hostBytes[region.hostOffset]).toBe(0x5a);
    }
  });

  it('shows the address in hexadecimal', () => {
    using memory = GuestMemory.create({ regions: REGIONS });
    expect(() => memory.readUint32(0xdead0000)).toThrow(
      '4 bytes at guest-physical address 0xdead0000 are not RAM',
    );
  });

  it('refuses 64-bit values that no number holds', () => {
    using memory = GuestMemory.create({ regions: REGIONS });
    memory.writeUint64(8, 0xffff_ffff, 0x1f_ffff);
    expect(memory.readUint53(8)).toBe(Number.MAX_SAFE_INTEGER);
    memory.writeUint64(8, 0, 0x20_0000);
    const tooLarge = expect.objectContaining({ code: 'VALUE_TOO_LARGE' });
    expect(() => memory.readUint53(8)).toThrow(tooLarge);
    for (const value of [-1, 0.5, 2 ** 53, Number.NaN]) {
      expect(() => memory.writeUint53(8, value)).toThrow(tooLarge);
    }
  });

  it.each([
    ['no region', []],
    ['an empty region', [{ base: 0, size: 0 }]],
    ['half a page', [{ base: 2048, size: 4096 }]],
    ['a fraction', [{ base: 0, size: 4096.5 }]],
    ['a negative base', [{ base: -4096, size: 8192 }]],
    ['an end above 2^53', [{ base: 2 ** 53 - 4096, size: 8192 }]],
    [
      'an overlap',
      [
        { base: 0x1000, size: 0x2000 },
        { base: 0x2000, size: 0x1000 },
      ],
    ],
    ['not numbers', [{ base: Number.NaN, size: Number.NaN }]],
  ])('refuses %s', (_, regions) => {
    expect(() => GuestMemory.create({ regions })).toThrow(
      expect.objectContaining({ code: 'INVALID_LAYOUT' }),
    );
    expect(() => GuestMemory.create({ regions })).toThrow(GuestMemoryError);
  });

  it('refuses a WebAssembly memory that does not fit', () => {
    const invalid = expect.objectContaining({ code: 'INVALID_LAYOUT' });
    const regions = [{ base: 0, size: 0x10000 }];
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    expect(() => GuestMemory.create({ regions, memory, memoryOffset: 0x1000 })).toThrow(invalid);
    expect(() => GuestMemory.create({ regions, memory, memoryOffset: 1 })).toThrow(invalid);
    expect(() => GuestMemory.create({ regions, memoryOffset: 0x1000 })).toThrow(invalid);
    expect(() => GuestMemory.create({ regions, memory: new WebAssembly.Memory({ initial: 1 }) })).toThrow(
      invalid,
    );
  });

  it('makes more memory than 32-bit WebAssembly addresses reach', () => {
    const size = 5 * 2 ** 30;
    for (const backing of ['file', 'anonymous'] as const) {
      using memory = GuestMemory.create({ regions: [{ base: 0x8000_0000, size }], backing });
      const last = 0x8000_0000 + size - 8;
      memory.writeUint53(last, 0x1f_ffff_1234_5678);
      memory.storeUint16(last, 0xabcd);
      expect(memory.readUint53(last)).toBe(0x1f_ffff_1234_abcd);
      expect(memory.hostOffset(last, 8)).toBe(size - 8);
    }
  });
});

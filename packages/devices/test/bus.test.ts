import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type AccessSize,
  Bus,
  type BusAccess,
  type BusDevice,
  createBusAccess,
  DeviceError,
} from '../src/index.ts';

/** Remembers the last access and answers reads with the offset and a mark of its own. */
class Probe implements BusDevice {
  last: BusAccess | undefined;
  readonly mark: number;
  constructor(mark: number) {
    this.mark = mark;
  }
  read(access: BusAccess): void {
    this.last = { ...access };
    access.low = ((this.mark << 16) | access.offset) >>> 0;
    access.high = 0x8765_4321;
  }
  write(access: BusAccess): void {
    this.last = { ...access };
  }
}

test('an access reaches the device that has all of it, and nothing else answers', () => {
  const range = fc.record({ start: fc.nat(300), length: fc.integer({ min: 1, max: 40 }) });
  const probe = fc.record({ address: fc.nat(360), size: fc.constantFrom<AccessSize>(1, 2, 4, 8) });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), fc.array(probe, { maxLength: 30 }), (ranges, probes) => {
      const bus = new Bus();
      const claimed: { start: number; end: number; device: Probe }[] = [];
      for (const [mark, { start, length }] of ranges.entries()) {
        const end = start + length;
        const device = new Probe(mark + 1);
        if (claimed.some((other) => start < other.end && other.start < end)) {
          expect(() => bus.insert(start, length, device)).toThrow(DeviceError);
        } else {
          bus.insert(start, length, device);
          claimed.push({ start, end, device });
        }
      }
      const access = createBusAccess();
      for (const { address, size } of probes) {
        const owner = claimed.find(({ start, end }) => address >= start && address + size <= end);
        access.size = size;
        expect(bus.read(address, access)).toBe(owner !== undefined);
        const value = owner ? ((owner.device.mark << 16) | (address - owner.start)) >>> 0 : 0xffff_ffff;
        expect(access.low).toBe(size < 4 ? value & (2 ** (8 * size) - 1) : value);
        expect(access.high).toBe(size < 8 ? 0 : owner ? 0x8765_4321 : 0xffff_ffff);
        access.low = 0xfedc_ba98;
        expect(bus.write(address, access)).toBe(owner !== undefined);
        if (owner) expect(owner.device.last).toMatchObject({ offset: address - owner.start, size });
      }
    }),
  );
});

test('addresses above 4 GiB are exact', () => {
  const bus = new Bus();
  const device = new Probe(0);
  bus.insert(2 ** 46 - 16, 16, device);
  const access = createBusAccess();
  access.size = 1;
  expect(bus.read(2 ** 46 - 1, access)).toBe(true);
  expect(device.last?.offset).toBe(15);
  expect(bus.read(2 ** 46, access)).toBe(false);
});

test('an impossible range is refused', () => {
  const bus = new Bus();
  for (const [start, length] of [
    [-1, 2],
    [0, 0],
    [0.5, 1],
    [2 ** 53, 1],
    [0, Number.NaN],
  ] as const) {
    expect(() => bus.insert(start, length, new Probe(0))).toThrow(
      expect.objectContaining({ code: 'BAD_RANGE' }),
    );
  }
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AddressAllocator, alignUp } from '../src/address-allocator.ts';

describe('alignUp', () => {
  it('is the next multiple, beyond 32 bits too', () => {
    expect(alignUp(0x1_0000_0001, 0x1000)).toBe(0x1_0000_1000);
    expect(alignUp(0x1000, 0x1000)).toBe(0x1000);
  });
});

describe('AddressAllocator', () => {
  it('never hands an address out twice, keeps alignment and range, and says when it is full', () => {
    const request = fc.record({
      size: fc.integer({ min: 1, max: 0x4000 }),
      alignment: fc.constantFrom(1, 16, 0x1000, 0x8000),
      at: fc.option(fc.integer({ min: 0x0f00, max: 0x2_1000 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 40 }), (requests) => {
        const range = { start: 0x1001, end: 0x2_0000 };
        const allocator = new AddressAllocator('test', range);
        const taken: { start: number; end: number }[] = [];
        for (const { size, alignment, at } of requests) {
          try {
            let start = at;
            if (start === undefined) {
              start = allocator.allocate(size, alignment, 'part');
              expect(start % alignment).toBe(0);
            } else {
              allocator.reserve(start, size, 'part');
            }
            expect(start).toBeGreaterThanOrEqual(range.start);
            expect(start + size).toBeLessThanOrEqual(range.end);
            expect(taken.some((other) => start < other.end && other.start < start + size)).toBe(false);
            taken.push({ start, end: start + size });
          } catch (error) {
            expect(error).toHaveProperty('code', expect.stringMatching(/NO_ADDRESS_SPACE|OVERLAP/));
          }
        }
        const starts = allocator.allocations.map((allocation) => allocation.start);
        expect(starts).toEqual(starts.toSorted((a, b) => a - b));
        expect(starts).toHaveLength(taken.length);
      }),
    );
  });

  it('fills gaps between reservations', () => {
    const allocator = new AddressAllocator('test', { start: 0, end: 0x3000 });
    allocator.reserve(0x1000, 0x1000, 'middle');
    expect(allocator.allocate(0x1000, 0x1000, 'a')).toBe(0);
    expect(allocator.allocate(0x1000, 0x1000, 'b')).toBe(0x2000);
    expect(() => allocator.allocate(1, 1, 'c')).toThrow(/no room for 1 bytes of c in test/);
    expect(() => allocator.reserve(0x1800, 1, 'd')).toThrow(/overlaps middle/);
  });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packedBase, packedPositions } from '../src/protocol/packed-base.ts';

test('a packed ring starts at its first entries with both wrap counters set', () => {
  // What QEMU sends for a ring that was never used (hw/virtio/virtio.c, virtio_queue_packed_get_last_avail_idx).
  expect(packedBase(0, 0, 256)).toBe(0x8000_8000);
});

test('positions come back as they were, and those that no ring has are refused', () => {
  const rings = fc.integer({ min: 1, max: 32_768 }).chain((size) => {
    const position = fc.integer({ min: 0, max: 2 * size - 1 });
    return fc.record({ size: fc.constant(size), nextAvailable: position, nextUsed: position });
  });
  fc.assert(
    fc.property(rings, ({ size, nextAvailable, nextUsed }) => {
      const base = packedBase(nextAvailable, nextUsed, size);
      expect(packedPositions(base, size)).toEqual({ nextAvailable, nextUsed });
    }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffff_ffff }),
      fc.integer({ min: 0, max: 32_768 }),
      (base, size) => {
        const positions = packedPositions(base, size);
        if (positions === undefined) return;
        expect(positions.nextAvailable).toBeLessThan(2 * size);
        expect(positions.nextUsed).toBeLessThan(2 * size);
      },
    ),
  );
});

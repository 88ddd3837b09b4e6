import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IoEventTable } from '../src/soft/io-event-table.ts';

describe('IoEventTable', () => {
  it('finds what a plain list finds, from a second attachment too', () => {
    const entry = fc.record({
      address: fc.constantFrom(0x300_3000, 0x300_3004, 2 ** 40),
      length: fc.constantFrom(0, 2, 4),
      match: fc.constantFrom(undefined, 0, 1, 0xffff_ffff),
      descriptor: fc.integer({ min: 3, max: 1000 }),
    });
    const step = fc.record({ entry, add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step), fc.array(entry), (steps, probes) => {
        const state = new SharedArrayBuffer(IoEventTable.stateSize);
        const writer = new IoEventTable(state);
        const reader = new IoEventTable(state);
        const model = new Map<string, { address: number; length: number; match: number | undefined }>();
        for (const { entry, add } of steps) {
          const key = `${entry.address} ${entry.length} ${entry.match}`;
          if (!add) {
            expect(writer.remove(entry)).toBe(model.delete(key));
          } else if (model.has(key)) {
            expect(() => writer.add(entry)).toThrow(/registered already/);
          } else {
            writer.add(entry);
            model.set(key, entry);
          }
        }
        for (const probe of probes) {
          const size = probe.length || 8;
          const low = probe.match ?? 7;
          const expected = [...model.values()].some(
            (event) =>
              event.address === probe.address &&
              (event.length === 0 || event.length === size) &&
              (event.match === undefined || event.match === low),
          );
          expect(reader.find(probe.address, size, low) !== undefined).toBe(expected);
        }
      }),
    );
  });

  it('says when it is full', () => {
    const table = new IoEventTable(new SharedArrayBuffer(IoEventTable.stateSize));
    for (let index = 0; index < 1024; index++) {
      table.add({ address: index * 4, length: 4, match: undefined, descriptor: 3 });
    }
    expect(() => table.add({ address: 2 ** 20, length: 4, match: undefined, descriptor: 3 })).toThrow(
      /at most 1024/,
    );
  });
});

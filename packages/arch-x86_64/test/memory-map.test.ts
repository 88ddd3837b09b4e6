import { MachineError } from '@tsvmm/arch';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryMap } from '../src/memory-map.ts';

const MIB = 2 ** 20;
const options = { vcpuCount: 1, addressBits: 40 };

describe('the memory map', () => {
  it('has one piece of RAM below the PCI hole, and the rest from 4 GiB on', () => {
    expect(memoryMap({ ...options, ramSize: 256 * MIB }).ram).toEqual([{ guestAddress: 0, size: 256 * MIB }]);
    expect(memoryMap({ ...options, ramSize: 8192 * MIB }).ram).toEqual([
      { guestAddress: 0, size: 0xd000_0000 },
      { guestAddress: 0x1_0000_0000, size: 8192 * MIB - 0xd000_0000 },
    ]);
  });

  it("has crosvm's PCI ranges unless it is told otherwise", () => {
    const map = memoryMap({ ...options, ramSize: 256 * MIB });
    expect(map.lowWindow).toEqual({ start: 0xd000_0000, end: 0xf400_0000 });
    expect(map.configuration).toEqual({ start: 0xf400_0000, end: 0xf800_0000 });
    expect(map.highWindow).toEqual({ start: 0x1_0800_0000, end: 2 ** 40 });
    const moved = memoryMap({
      ...options,
      ramSize: 4096 * MIB,
      pci: {
        configuration: { start: 0x8000_0000, end: 0x8100_0000 },
        memory: { start: 0x9000_0000, end: 0xa000_0000 },
      },
    });
    expect(moved.lowRamEnd).toBe(0x8000_0000);
    expect(moved.lowWindow).toEqual({ start: 0x9000_0000, end: 0xa000_0000 });
  });

  it('puts firmware in front of 4 GiB', () => {
    const map = memoryMap({ ...options, ramSize: 64 * MIB, firmwareSize: 256 * 1024 });
    expect(map.firmware).toEqual({ start: 0xfffc_0000, end: 0x1_0000_0000 });
    expect(map.ram).toContainEqual({ guestAddress: 0xfffc_0000, size: 256 * 1024 });
  });

  it('puts flash memory in front of firmware', () => {
    const of = (flashSize: number) =>
      memoryMap({ ...options, ramSize: 64 * MIB, firmwareSize: 2 * MIB, flashSize });
    const { flash, e820, ram } = of(4096);
    expect(flash).toEqual({ start: 0xffdf_f000, end: 0xffe0_0000 });
    expect(e820).toContainEqual({ start: 0xffdf_f000, end: 0xffe0_0000, type: 2 });
    expect(ram.some(({ guestAddress }) => guestAddress === 0xffdf_f000)).toBe(false);
    expect(of(14 * MIB).flash?.start).toBe(0xff00_0000);
    expect(() => of(14 * MIB + 4096)).toThrow(expect.objectContaining({ code: 'MEMORY_TOO_SMALL' }));
  });

  it('has entries that follow each other without overlap, whatever its size, or says what is wrong', () => {
    const address = fc.integer({ min: 0, max: 4096 }).map((mib) => mib * MIB);
    const range = fc.tuple(address, address).map(([start, end]) => ({ start, end }));
    fc.assert(
      fc.property(
        fc.integer({ min: 32, max: 2 ** 22 }),
        fc.integer({ min: 36, max: 52 }),
        fc.option(range, { nil: undefined }),
        fc.option(range, { nil: undefined }),
        fc.option(fc.integer({ min: 0, max: 32 * MIB }), { nil: undefined }),
        (mib, addressBits, memory, configuration, firmwareSize) => {
          try {
            const map = memoryMap({
              vcpuCount: 1,
              addressBits,
              ramSize: mib * MIB,
              pci: { ...(memory && { memory }), ...(configuration && { configuration }) },
              ...(firmwareSize !== undefined && { firmwareSize }),
            });
            const windows = [
              map.lowWindow,
              map.highWindow,
              ...(map.spareWindow ? [map.spareWindow] : []),
            ].map((window) => ({ ...window, type: 0 }));
            const all = [...map.e820, ...windows].toSorted((a, b) => a.start - b.start);
            for (const [index, entry] of all.entries()) {
              expect(entry.end).toBeGreaterThan(entry.start);
              expect(entry.start).toBeGreaterThanOrEqual(all[index - 1]?.end ?? 0);
            }
          } catch (error) {
            expect(error).toBeInstanceOf(MachineError);
          }
        },
      ),
    );
  });
});

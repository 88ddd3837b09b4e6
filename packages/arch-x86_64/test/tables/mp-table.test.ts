import { expect, test } from 'vitest';
import { layout, mpTable } from '../../src/index.ts';

const OPTIONS = {
  address: layout.MP_TABLE,
  size: layout.MP_FLOATING_POINTER - layout.MP_TABLE,
  floatingPointerAddress: layout.MP_FLOATING_POINTER,
  vcpuCount: 2,
  localApicAddress: layout.LOCAL_APIC,
  ioApicAddress: layout.IO_APIC,
  sciSource: layout.SCI_SOURCE,
  pciInterrupts: [
    { device: 1, function: 0, pin: 1, source: 9 },
    { device: 2, function: 1, pin: 4, source: 10 },
  ],
};

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

/** A reader written from the MultiProcessor Specification 1.4, chapter 4. */
function read(images: ReturnType<typeof mpTable>) {
  const memory = new Uint8Array(0xa_0000);
  for (const { address, bytes } of images) memory.set(bytes, address);
  const view = new DataView(memory.buffer);

  // 4.1: the last kilobyte of base memory is searched, at 16-byte boundaries.
  const pointers = Array.from({ length: 64 }, (_, i) => 639 * 1024 + 16 * i).filter(
    (address) => text(memory.subarray(address, address + 4)) === '_MP_',
  );
  expect(pointers).toHaveLength(1);
  const [pointer = 0] = pointers;
  expect(memory[pointer + 8]).toBe(1);
  expect(memory[pointer + 9]).toBe(4);
  expect(sum(memory.subarray(pointer, pointer + 16))).toBe(0);
  expect([...memory.subarray(pointer + 11, pointer + 16)]).toEqual([0, 0, 0, 0, 0]);

  // 4.2: the header.
  const table = view.getUint32(pointer + 4, true);
  expect(text(memory.subarray(table, table + 4))).toBe('PCMP');
  const length = view.getUint16(table + 4, true);
  expect(memory[table + 6]).toBe(4);
  expect(sum(memory.subarray(table, table + length))).toBe(0);
  expect(view.getUint32(table + 36, true)).toBe(0xfee0_0000);

  // 4.3: entries of 20 bytes for processors and 8 bytes for all others, sorted by type.
  const entries: number[][] = [];
  for (let offset = table + 44; offset < table + length; ) {
    const size = memory[offset] === 0 ? 20 : 8;
    entries.push([...memory.subarray(offset, offset + size)]);
    offset += size;
  }
  expect(entries).toHaveLength(view.getUint16(table + 34, true));
  const types = entries.map(([type = 0]) => type);
  expect(types).toEqual(types.toSorted((a, b) => a - b));
  return (type: number) => entries.filter(([own]) => own === type);
}

test('a system without ACPI finds processors, buses and interrupts', () => {
  const entries = read(mpTable(OPTIONS));
  // Local APIC id, version, flags: enabled, the first is the boot processor.
  expect(entries(0).map((entry) => entry.slice(1, 4))).toEqual([
    [0, 0x14, 3],
    [1, 0x14, 1],
  ]);
  expect(entries(1).map(([, id = 0, ...name]) => [id, text(Uint8Array.from(name))])).toEqual([
    [0, 'PCI   '],
    [1, 'ISA   '],
  ]);
  expect(entries(2)).toEqual([[2, 3, 0x14, 1, 0, 0, 0xc0, 0xfe]]);
  // Interrupt type, flags, bus, irq on it, I/O APIC, input.
  const isa = (irq: number) => [3, 0, irq === 5 ? 0x0d : 0, 0, 1, irq, 3, irq];
  expect(entries(3)).toEqual([
    ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15].map(isa),
    [3, 0, 0, 0, 0, (1 << 2) | 0, 3, 9],
    [3, 0, 0, 0, 0, (2 << 2) | 3, 3, 10],
  ]);
  // ExtINT and NMI of all local APICs, at their inputs 0 and 1.
  expect(entries(4)).toEqual([
    [4, 3, 0, 0, 1, 0, 0xff, 0],
    [4, 1, 0, 0, 1, 0, 0xff, 1],
  ]);
});

test('as many processors as a machine can have fit, with an id left for the I/O APIC', () => {
  const entries = read(mpTable({ ...OPTIONS, vcpuCount: layout.MAXIMUM_VCPUS }));
  const ids = entries(0).map(([, id]) => id);
  expect(ids).toHaveLength(254);
  const [[, ioApicId = 0] = []] = entries(2);
  expect(ids).not.toContain(ioApicId);
  expect(ioApicId).toBeLessThan(255);
});

test('a table without room is refused', () => {
  const refused = expect.objectContaining({ name: 'MachineError', code: 'MEMORY_TOO_SMALL' });
  expect(() => mpTable({ ...OPTIONS, size: 200 })).toThrow(refused);
});

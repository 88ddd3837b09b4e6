import { GuestMemory } from '@tsvmm/vm-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bootOrderFile, describeFwCfg, FwCfg, type FwCfgFile } from '../../src/index.ts';
import { registersOf } from '../support/registers.ts';

// docs/specs/fw_cfg.rst of QEMU: the selector at 0x510, the data at 0x511, DMA at 0x514; the directory is big-endian.
const [SELECTOR, DATA, DMA] = [0, 1, 4];
const [SIGNATURE, REVISION, FILE_DIRECTORY] = [0x00, 0x01, 0x19];
/** In memory: data, selector (big-endian), DMA. */
const MEMORY_MAP = { data: 0, selector: 8, dma: 16 };
const [ERROR, READ, SKIP, SELECT, WRITE] = [1, 2, 4, 8, 16];
const RAM = 0x1_0000;

function attach(registers: 'ports' | 'memory', files: readonly FwCfgFile[]) {
  const memory = GuestMemory.create({ regions: [{ base: 0, size: RAM }], backing: 'anonymous' });
  return {
    memory,
    bus: registersOf(new FwCfg(structuredClone(describeFwCfg({ registers, files })), memory)),
  };
}

function machine(files: readonly FwCfgFile[]) {
  const { bus, memory } = attach('ports', files);
  const select = (key: number) => bus.write(SELECTOR, key, 2);
  const take = (length: number) => Buffer.from(Array.from({ length }, () => bus.read(DATA)));
  /** A file as firmware finds it: through the directory. */
  const file = (name: string) => {
    select(FILE_DIRECTORY);
    const count = take(4).readUInt32BE();
    for (let i = 0; i < count; i++) {
      const entry = take(64);
      if (entry.toString('latin1', 8).replace(/\0.*$/, '') !== name) continue;
      select(entry.readUInt16BE(4));
      return take(entry.readUInt32BE(0));
    }
    return undefined;
  };
  /** Describes a DMA at 0x100 and starts it; what is left of its control field. */
  const dma = (control: number, length: number, address: number) => {
    const description = Buffer.alloc(16);
    description.writeUInt32BE(control >>> 0, 0);
    description.writeUInt32BE(length, 4);
    description.writeBigUInt64BE(BigInt(address), 8);
    memory.copyIn(0x100, description);
    bus.write(DMA, 0, 4);
    bus.write(DMA + 4, Buffer.from([0, 0, 1, 0]).readUInt32LE(), 4);
    return Buffer.from(memory.bytes(0x100, 4)).readUInt32BE();
  };
  return { bus, memory, select, take, file, dma };
}

test('firmware recognises the device and its interface', () => {
  const { select, take } = machine([]);
  select(SIGNATURE);
  expect(take(6).toString('latin1')).toBe('QEMU\0\0');
  select(REVISION);
  expect(take(4).readUInt32LE()).toBe(3);
  select(FILE_DIRECTORY);
  expect(take(8)).toEqual(Buffer.alloc(8));
});

test('files are found by their names', () => {
  const name = `opt/${'x'.repeat(51)}`;
  const files = [
    { name, data: Buffer.from('first') },
    { name: 'empty', data: new Uint8Array() },
    { name: 'opt/binary', data: Buffer.from([0, 1, 0xff, 0]) },
  ];
  const { file } = machine(files);
  for (const { name, data } of files) expect(file(name)).toEqual(Buffer.from(data));
  expect(file('other')).toBeUndefined();
});

test('behind the end of an item, and of items that are not there, are zeros', () => {
  const { select, take } = machine([{ name: 'a', data: Uint8Array.of(7) }]);
  select(0x20);
  expect([...take(3)]).toEqual([7, 0, 0]);
  // Bit 14 is the old write bit, bit 15 leads to the architecture's own items.
  select(0x4020);
  expect([...take(1)]).toEqual([7]);
  for (const key of [0x21, 0x8020, 0xffff]) {
    select(key);
    expect([...take(2)]).toEqual([0, 0]);
  }
});

test('a wide read of the data takes as many bytes, and other accesses do nothing', () => {
  const { bus, select } = machine([{ name: 'a', data: Uint8Array.of(1, 2, 3, 4, 5) }]);
  select(0x20);
  expect(bus.read(DATA, 2)).toBe(0x0201);
  bus.write(SELECTOR, 0);
  bus.write(DATA, 0);
  expect(bus.read(SELECTOR, 2)).toBe(0);
  expect(bus.read(DATA)).toBe(3);
});

test('DMA tells that it is there', () => {
  const { bus } = machine([]);
  const words = [bus.read(DMA, 4), bus.read(DMA + 4, 4)];
  expect(Buffer.from(Uint32Array.from(words).buffer).toString()).toBe('QEMU CFG');
});

test('DMA selects, skips and reads an item, and what is behind its end as zeros', () => {
  const { memory, dma, take } = machine([{ name: 'a', data: Uint8Array.of(1, 2, 3, 4, 5) }]);
  memory.fill(0x200, 16, 0xee);
  expect(dma(0x20 * 0x1_0000 + SELECT + READ, 2, 0x200)).toBe(0);
  expect(dma(SKIP, 1, 0)).toBe(0);
  expect([...take(1)]).toEqual([4]);
  expect(dma(READ, 3, 0x204)).toBe(0);
  expect([...memory.bytes(0x200, 9)]).toEqual([1, 2, 0xee, 0xee, 5, 0, 0, 0xee, 0xee]);
  expect(dma(0x20 * 0x1_0000 + SELECT, 0, 0)).toBe(0);
  expect([...take(2)]).toEqual([1, 2]);
});

test('DMA does not write items, nor beside memory', () => {
  const { bus, memory, dma, take } = machine([{ name: 'a', data: Uint8Array.of(7) }]);
  expect(dma(0x20 * 0x1_0000 + SELECT + WRITE, 1, 0x200)).toBe(ERROR);
  expect(dma(READ, 2, RAM - 1)).toBe(ERROR);
  expect(dma(READ, 0xffff_ffff, 0x200)).toBe(ERROR);
  expect([...take(1)]).toEqual([7]);
  const before = Buffer.from(memory.bytes(0, RAM));
  // A description that is not in memory, the last one past 2^53.
  bus.write(DMA, 0xffff_ffff, 4);
  bus.write(DMA + 4, 0xffff_ffff, 4);
  expect(Buffer.from(memory.bytes(0, RAM))).toEqual(before);
});

test('in memory, the data has eight bytes, and the selector the other order of bytes', () => {
  const { data, selector, dma } = MEMORY_MAP;
  const contents = Uint8Array.of(1, 2, 3, 4, 5);
  const { bus, memory } = attach('memory', [{ name: 'a', data: contents }]);
  bus.write(selector, 0x2000, 2);
  expect(bus.read(data, 4)).toBe(0x0403_0201);
  expect(bus.read(data, 8)).toBe(5);
  const description = Buffer.alloc(16);
  description.writeUInt32BE(0x20 * 0x1_0000 + SELECT + READ, 0);
  description.writeUInt32BE(contents.length, 4);
  description.writeUInt32BE(0x200, 12);
  memory.copyIn(0x100, description);
  bus.write(dma, 0, 8, Buffer.from([0, 0, 1, 0]).readUInt32LE());
  expect([...memory.bytes(0x200, 5)]).toEqual([...contents]);
  expect(memory.readUint32(0x100)).toBe(0);
});

test('boot order is in Open Firmware paths', () => {
  const devices = [
    { device: 2, function: 0 },
    { device: 0x1f, function: 3 },
  ];
  const { file } = machine([bootOrderFile(devices)]);
  expect(file('bootorder')?.toString('latin1')).toBe(
    '/pci@i0cf8/scsi@2/disk@0,0\n/pci@i0cf8/scsi@1f,3/disk@0,0\0',
  );
});

describe('what cannot be is refused', () => {
  const data = new Uint8Array();
  test.for([
    ['a name of 56 characters', [{ name: 'x'.repeat(56), data }]],
    ['a name of no characters', [{ name: '', data }]],
    ['a name with a NUL', [{ name: 'a\0b', data }]],
    ['two files of one name', ['a', 'a'].map((name) => ({ name, data }))],
  ] as const)('%s', ([, files]) => {
    expect(() => describeFwCfg({ registers: 'ports', files })).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });
});

test('whatever a guest does, it gets bytes', () => {
  const access = fc.record({
    write: fc.boolean(),
    offset: fc.nat(8),
    size: fc.constantFrom(1 as const, 2 as const, 4 as const),
    value: fc.oneof(fc.constant(0), fc.nat(0xffff_ffff)),
  });
  fc.assert(
    fc.property(fc.array(access), (accesses) => {
      const { bus } = machine([{ name: 'a', data: Uint8Array.of(1, 2, 3) }]);
      for (const { write, offset, size, value } of accesses) {
        if (write) bus.write(offset, value, size);
        else expect(bus.read(offset, size)).toBeGreaterThanOrEqual(0);
      }
    }),
  );
});

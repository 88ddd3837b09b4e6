import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bootOrderFile, describeFwCfg, FwCfg, type FwCfgFile } from '../../src/index.ts';
import { registersOf } from '../support/registers.ts';

// docs/specs/fw_cfg.rst of QEMU: the selector at 0x510, the data at 0x511; the directory is big-endian.
const [SELECTOR, DATA] = [0, 1];
const [SIGNATURE, REVISION, FILE_DIRECTORY] = [0x00, 0x01, 0x19];

function machine(files: readonly FwCfgFile[]) {
  const bus = registersOf(new FwCfg(structuredClone(describeFwCfg({ files }))));
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
  return { bus, select, take, file };
}

test('firmware recognises the device and its interface', () => {
  const { select, take } = machine([]);
  select(SIGNATURE);
  expect(take(6).toString('latin1')).toBe('QEMU\0\0');
  select(REVISION);
  expect(take(4).readUInt32LE()).toBe(1);
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
    expect(() => describeFwCfg({ files })).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
  });
});

test('whatever a guest does, it gets bytes', () => {
  const access = fc.record({
    write: fc.boolean(),
    offset: fc.nat(3),
    size: fc.constantFrom(1 as const, 2 as const, 4 as const),
    value: fc.nat(0xffff),
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

import { expect, test } from 'vitest';
import { createSsdt, placeTables } from '../src/index.ts';
import { disassemble } from './support/iasl.ts';
import { dsdt, fadt, mcfg, OEM, TABLES } from './support/machine.ts';

const ADDRESS = 0xe_0000;
const SIZE = 0x1_0000;

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

/** Follows the pointers as an operating system does: ACPI 6.4, section 5.2.5 on. */
function follow(memory: Uint8Array) {
  const view = new DataView(memory.buffer);
  const at = (address: number | bigint, length: number) => {
    const offset = Number(address) - ADDRESS;
    expect(offset).toBeGreaterThan(0);
    expect(offset % 64).toBe(0);
    return memory.subarray(offset, offset + length);
  };
  const table = (address: number | bigint) => {
    const bytes = at(address, view.getUint32(Number(address) - ADDRESS + 4, true));
    expect(sum(bytes)).toBe(0);
    return bytes;
  };
  expect(text(memory.subarray(0, 8))).toBe('RSD PTR ');
  expect(memory[15]).toBe(2);
  expect(view.getUint32(20, true)).toBe(36);
  expect(sum(memory.subarray(0, 20))).toBe(0);
  expect(sum(memory.subarray(0, 36))).toBe(0);
  const xsdt = table(view.getBigUint64(24, true));
  expect(text(xsdt.subarray(0, 4))).toBe('XSDT');
  const pointers = new DataView(xsdt.buffer, xsdt.byteOffset + 36, xsdt.length - 36);
  const listed = Array.from({ length: pointers.byteLength / 8 }, (_, i) =>
    table(pointers.getBigUint64(8 * i, true)),
  );
  const facp = listed.find((bytes) => text(bytes.subarray(0, 4)) === 'FACP');
  if (facp === undefined) throw new Error('no FADT');
  const fields = new DataView(facp.buffer, facp.byteOffset, facp.length);
  expect(fields.getBigUint64(140, true)).toBe(BigInt(fields.getUint32(40, true)));
  return {
    listed: listed.map((bytes) => text(bytes.subarray(0, 4))),
    facp,
    dsdt: table(fields.getBigUint64(140, true)),
    facs: at(fields.getUint32(36, true), 64),
  };
}

test('an operating system finds every table', () => {
  const { address, bytes } = placeTables({ address: ADDRESS, size: SIZE, oem: OEM, tables: TABLES });
  expect(address).toBe(ADDRESS);
  const found = follow(bytes);
  expect(found.listed).toEqual(['FACP', 'APIC', 'MCFG']);
  expect(found.dsdt).toEqual(dsdt.bytes);
  expect(disassemble(found.facp)).toMatch(/DSDT Address : 00000000000E0080/);
  expect(disassemble(found.facs)).toMatch(/Version : 02/);
});

test('what cannot be placed is refused', () => {
  const place = (options: Partial<Parameters<typeof placeTables>[0]>) => () =>
    placeTables({ address: ADDRESS, size: SIZE, oem: OEM, tables: TABLES, ...options });
  const refused = (code: string) => expect.objectContaining({ name: 'AcpiError', code });
  const large = createSsdt({ ...OEM, tableId: 'LARGE' }, []);
  expect(place({ size: 1024 })).toThrow(refused('TOO_LARGE'));
  expect(place({ tables: [...TABLES, large], size: 0 })).toThrow(refused('TOO_LARGE'));
  expect(place({ tables: [fadt, mcfg] })).toThrow(refused('WRONG_TABLES'));
  expect(place({ tables: [...TABLES, dsdt] })).toThrow(refused('WRONG_TABLES'));
  expect(place({ address: ADDRESS + 16 })).toThrow(refused('BAD_VALUE'));
});

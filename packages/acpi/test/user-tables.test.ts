import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Name } from '../src/aml/index.ts';
import { AcpiError, createDsdt, createSsdt, mergeUserTables, parseTable, placeTables } from '../src/index.ts';
import { compile, disassemble } from './support/iasl.ts';
import { dsdt, fadt, madt, mcfg, OEM, TABLES } from './support/machine.ts';

const THEIRS = { ...OEM, id: 'USER' };
const refused = (code: string) => expect.objectContaining({ name: 'AcpiError', code });

/** A table that iasl compiles from a template. */
const compiled = (source: string) => parseTable(compile(source));

describe('a file is a table', () => {
  test('that iasl has compiled', () => {
    const source = 'DefinitionBlock ("", "SSDT", 2, "USER", "EXTRA", 1) { Name (FOO, 1) }';
    expect(compiled(source).signature).toBe('SSDT');
  });

  test('with the length and the checksum of its header, and nothing else', () => {
    expect(parseTable(mcfg.bytes)).toEqual(mcfg);
    expect(() => parseTable(mcfg.bytes.subarray(0, 35))).toThrow(refused('BAD_TABLE'));
    expect(() => parseTable(mcfg.bytes.subarray(0, -1))).toThrow(refused('BAD_TABLE'));
    expect(() => parseTable(Uint8Array.of(...mcfg.bytes, 0))).toThrow(refused('BAD_TABLE'));
    expect(() => parseTable(mcfg.bytes.with(40, 1))).toThrow(refused('BAD_TABLE'));
    expect(() => parseTable(new Uint8Array(64))).toThrow(refused('BAD_TABLE'));
  });
});

describe("a user's table", () => {
  test('DSDT or FACP replaces ours', () => {
    const ownDsdt = createDsdt(THEIRS, [Name('USER', 1)]);
    expect(mergeUserTables(TABLES, [ownDsdt], OEM)).toEqual([ownDsdt, fadt, madt, mcfg]);
    const facp = compiled(disassemble(fadt.bytes).replace('SCI Interrupt : 0005', 'SCI Interrupt : 000B'));
    expect(mergeUserTables(TABLES, [facp], OEM)).toEqual([dsdt, facp, madt, mcfg]);
    expect(() => mergeUserTables(TABLES, [facp, facp], OEM)).toThrow(refused('WRONG_TABLES'));
  });

  test('APIC adds its interrupt source overrides to ours', () => {
    const source = disassemble(madt.bytes).replace('Source : 07', 'Source : 09');
    const merged = mergeUserTables(TABLES, [compiled(source)], OEM);
    const sources = disassemble(merged[2]?.bytes ?? new Uint8Array()).matchAll(/ Source : ([0-9A-F]{2})/g);
    expect([...sources].map(([, source]) => source)).toEqual(['00', '05', '07', '00', '05', '09']);
    expect(merged).toHaveLength(TABLES.length);
  });

  test('of any other kind is appended, even if there is one', () => {
    const ssdt = createSsdt(THEIRS, []);
    expect(mergeUserTables(TABLES, [ssdt, mcfg], OEM)).toEqual([...TABLES, ssdt, mcfg]);
  });

  test('APIC whose structures do not add up is refused', () => {
    // A structure of length 0, and one that ends behind the table.
    for (const length of [0, 200]) {
      const bytes = madt.bytes.with(45, length);
      const fixed = bytes.with(9, ((bytes[9] ?? 0) + (madt.bytes[45] ?? 0) - length) & 0xff);
      const broken = parseTable(fixed);
      expect(() => mergeUserTables(TABLES, [broken], OEM)).toThrow(refused('BAD_TABLE'));
    }
  });
});

test('bytes of any kind become a machine with them, or a typed error', () => {
  /** A table whose header is right and whose content is anything. */
  const table = fc
    .tuple(fc.constantFrom('FACP', 'APIC', 'DSDT', 'SSDT', 'FACS', 'XYZ1'), fc.uint8Array({ maxLength: 400 }))
    .map(([signature, content]) => {
      const bytes = new Uint8Array(36 + content.length);
      bytes.set(Buffer.from(signature));
      new DataView(bytes.buffer).setUint32(4, bytes.length, true);
      bytes.set(content, 36);
      bytes[9] = -bytes.reduce((total, byte) => total + byte, 0);
      return bytes;
    });
  const input = fc.oneof(table, fc.uint8Array({ maxLength: 80 }));
  fc.assert(
    fc.property(fc.array(input, { maxLength: 3 }), (files) => {
      try {
        const tables = mergeUserTables(TABLES, files.map(parseTable), OEM);
        placeTables({ address: 0xe_0000, size: 0x1_0000, oem: OEM, tables });
      } catch (error) {
        if (!(error instanceof AcpiError)) throw error;
      }
    }),
  );
});

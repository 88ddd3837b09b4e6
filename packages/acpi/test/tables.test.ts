import { expect, test } from 'vitest';
import { Name, Scope } from '../src/aml/index.ts';
import { AcpiError, createMadt, createMcfg, createSsdt, sciInterrupt } from '../src/index.ts';
import { compile, disassemble, HEADER } from './support/iasl.ts';
import { dsdt, fadt, madt, mcfg, OEM } from './support/machine.ts';

/** What iasl prints for a field of a data table. */
const field = (source: string, name: string): string | undefined =>
  source.split('\n').flatMap((line) => {
    const [key = '', value] = line.replace(/^\[.*?\]/, '').split(' : ');
    return key.trim() === name && value !== undefined ? [value.trim()] : [];
  })[0];

test.for([dsdt, fadt, madt, mcfg])(
  'iasl reads $signature without a warning, and compiles what it read to the same bytes',
  ({ bytes }) => {
    expect(compile(disassemble(bytes)).subarray(HEADER)).toEqual(bytes.subarray(HEADER));
  },
);

test('a table starts with the header that its maker wants', () => {
  const source = disassemble(dsdt.bytes);
  expect(source).toContain('DefinitionBlock ("", "DSDT", 2, "TSVMM", "MACHINE", 0x00000001)');
  expect(source).toContain('Compiler ID      "TSVM"');
});

test('integers of an SSDT have 64 bits', () => {
  const ssdt = createSsdt(OEM, [Scope('\\_SB', [Name('BIG_', 0xfedc_ba98_7654_3210n)])]);
  expect(disassemble(ssdt.bytes)).toContain('Name (BIG, 0xFEDCBA9876543210)');
});

test('the FADT says where the fixed hardware is', () => {
  const source = disassemble(fadt.bytes);
  const expected = {
    Revision: '06',
    'FADT Minor Revision': '03',
    'SCI Interrupt': '0005',
    'SMI Command Port': '00000000',
    'PM1A Event Block Address': '00000600',
    'PM1A Control Block Address': '00000604',
    'PM Timer Block Address': '00000000',
    'GPE0 Block Address': '00000608',
    'PM1 Event Block Length': '04',
    'PM1 Control Block Length': '02',
    'GPE0 Block Length': '40',
    'RTC Day Alarm Index': '0D',
    'RTC Month Alarm Index': '7E',
    'RTC Century Index': '32',
    'Legacy Devices Supported (V2)': '1',
    '8042 Present on ports 60/64 (V2)': '0',
    'VGA Not Present (V4)': '1',
    'CMOS RTC Not Present (V5)': '0',
    'Control Method Power Button (V1)': '0',
    'Control Method Sleep Button (V1)': '1',
    'Reset Register Supported (V2)': '1',
    'Low Power S0 Idle (V5)': '0',
    'Value to cause reset': '06',
    // TSVMM, from the last character to the first.
    'Hypervisor ID': '0000004D4D565354',
  };
  const read = Object.fromEntries(Object.keys(expected).map((name) => [name, field(source, name)]));
  expect(read).toEqual(expected);
  expect(source).toMatch(
    /Reset Register :.*\n.*SystemIO[\s\S]{1,200}Byte Access:8[^\n]*\n.*: 0000000000000CF9/,
  );
  expect(sciInterrupt(fadt)).toBe(5);
});

test('the MADT has processors by the width of their ids', () => {
  const source = disassemble(madt.bytes);
  const ids = (name: string) =>
    [...source.matchAll(new RegExp(`${name} : ([0-9A-F]+)`, 'g'))].map(([, id = '']) =>
      Number.parseInt(id, 16),
    );
  expect(ids('Local Apic ID')).toEqual([0, 1, 254]);
  expect(ids('Processor x2Apic ID')).toEqual([255, 1000]);
  expect(ids('Interrupt Input LINT')).toEqual([1, 1]);
});

test('what does not fit its field is refused', () => {
  const refused = expect.objectContaining({ name: 'AcpiError', code: 'OUT_OF_RANGE' });
  expect(() => createMcfg(OEM, [{ address: 0, firstBus: 0, lastBus: 256 }])).toThrow(refused);
  const options = { localApicAddress: 0, has8259: false, processors: [], ioApics: [], overrides: [] };
  expect(() => createMadt(OEM, { ...options, localApicAddress: 2 ** 32 })).toThrow(refused);
  expect(() => createMadt({ ...OEM, id: 'SEVENTH' }, options)).toThrow(AcpiError);
});

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SmbiosOptions } from '@tsvmm/arch';
import { expect, test } from 'vitest';
import { smbiosTables } from '../../src/index.ts';

const SIZE = 0x1_0000;

/** What dmidecode says of the tables; it must have nothing to complain about. */
function dmidecode(options: SmbiosOptions, ...args: string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'tsvmm-smbios-'));
  try {
    // A dump has its addresses from its own start on.
    const dump = join(directory, 'dump');
    writeFileSync(dump, smbiosTables(0, SIZE, options).bytes);
    const command = 'PATH=$PATH:/usr/sbin; dmidecode --from-dump "$0" "$@" 2>&1';
    const said = execFileSync('/bin/sh', ['-c', command, dump, ...args], { encoding: 'utf8' });
    expect(said).not.toMatch(/invalid|broken|wrong|truncated|bad |<BAD INDEX>|<OUT OF SPEC>/i);
    return said;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('dmidecode reads what every machine has', () => {
  const said = dmidecode({});
  expect(said).toContain('SMBIOS 3.2.0 present.');
  expect(said).toMatch(/DMI type 0, 26 bytes\nBIOS Information\n\tVendor: tsvmm\n\tVersion: 0\n/);
  expect(said).toContain('PCI is supported');
  expect(said).toContain('ACPI is supported');
  expect(said).toContain('System is a virtual machine');
  expect(said).toMatch(/System Information\n\tManufacturer: tsvmm\n\tProduct Name: tsvmm\n/);
  expect(said).toContain('Serial Number: Not Specified');
  expect(said).toContain('End Of Table');
  expect(said).not.toContain('OEM Strings');
});

test('dmidecode reads what the user says', () => {
  const options = {
    biosVendor: 'Vendor',
    biosVersion: '1.2.3',
    manufacturer: 'Maker',
    productName: 'A machine of ours',
    serialNumber: 'S/N 0042',
    uuid: '00112233-4455-6677-8899-aabbccddeeff',
    oemStrings: ['first', 'second=2', 'x'.repeat(300)],
  };
  const keyword = (name: string) => dmidecode(options, '-s', name).trim();
  expect(keyword('bios-vendor')).toBe('Vendor');
  expect(keyword('bios-version')).toBe('1.2.3');
  expect(keyword('system-manufacturer')).toBe('Maker');
  expect(keyword('system-product-name')).toBe('A machine of ours');
  expect(keyword('system-serial-number')).toBe('S/N 0042');
  expect(keyword('system-uuid')).toBe('00112233-4455-6677-8899-aabbccddeeff');
  expect(dmidecode(options)).toMatch(
    /OEM Strings\n\tString 1: first\n\tString 2: second=2\n\tString 3: x{300}\n/,
  );
});

test('a string that is empty is none', () => {
  const said = dmidecode({ biosVendor: '', productName: '' });
  expect(said).toContain('Vendor: Not Specified\n\tVersion: 0');
  expect(said).toContain('Manufacturer: tsvmm\n\tProduct Name: Not Specified');
});

test('what the tables cannot hold is refused', () => {
  const refused = (code: string) => expect.objectContaining({ name: 'MachineError', code });
  const make =
    (options: SmbiosOptions, size = SIZE) =>
    () =>
      smbiosTables(0xf_0000, size, options);
  expect(make({ uuid: '0011' })).toThrow(refused('UNSUPPORTED'));
  expect(make({ manufacturer: 'a\0b' })).toThrow(refused('UNSUPPORTED'));
  expect(make({ oemStrings: new Array(256).fill('x') })).toThrow(refused('UNSUPPORTED'));
  expect(make({ oemStrings: ['x'.repeat(SIZE)] })).toThrow(refused('MEMORY_TOO_SMALL'));
  expect(make({}, 64)).toThrow(refused('MEMORY_TOO_SMALL'));
});

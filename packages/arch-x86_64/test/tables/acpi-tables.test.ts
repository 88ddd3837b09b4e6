import { describe, expect, it } from 'vitest';
import { disassemble } from '../../../acpi/test/support/iasl.ts';
import { type AcpiMachine, acpiTables } from '../../src/tables/acpi-tables.ts';

const machine: AcpiMachine = {
  vcpuCount: 254,
  powerManagementPort: 0xc000,
  hasRtc: true,
  configuration: { start: 0xf400_0000, end: 0xf800_0000 },
  lowWindow: { start: 0xd000_0000, end: 0xf400_0000 },
  highWindow: { start: 0x1_0800_0000, end: 2 ** 46 },
  pciInterrupts: [
    { device: 1, function: 0, pin: 1, source: 9 },
    { device: 31, function: 7, pin: 4, source: 12 },
  ],
};

const sources = new Map(acpiTables(machine).map(({ signature, bytes }) => [signature, disassemble(bytes)]));

describe('the tables of the board, as iasl reads them', () => {
  it('are those that a PC has', () => {
    expect([...sources.keys()]).toEqual(['DSDT', 'FACP', 'APIC', 'MCFG']);
  });

  it('say where PCI is', () => {
    const dsdt = sources.get('DSDT');
    expect(dsdt).toMatch(/0xD0000000, +\/\/ Range Minimum\s+0xF3FFFFFF, +\/\/ Range Maximum/);
    expect(dsdt).toMatch(/0x0000000108000000, +\/\/ Range Minimum\s+0x00003FFFFFFFFFFF, +\/\/ Range Maximum/);
    expect(dsdt).toMatch(/Memory32Fixed \(ReadWrite,\s+0xF4000000, +\/\/ Address Base\s+0x04000000,/);
    // Device and any function, pin A as 0, no link device, and the input of the I/O APIC.
    expect(dsdt).toMatch(/0x0001FFFF,\s+Zero,\s+Zero,\s+0x09\s/);
    expect(dsdt).toMatch(/0x001FFFFF,\s+0x03,\s+Zero,\s+0x0C\s/);
    expect(sources.get('MCFG')).toMatch(/Base Address : 00000000F4000000[\s\S]*End Bus Number : 3F/);
  });

  it('say how the machine is turned off and reset', () => {
    const fadt = sources.get('FACP');
    expect(fadt).toMatch(/PM1A Control Block Address : 0000C004/);
    expect(fadt).toMatch(/SCI Interrupt : 0005/);
    expect(fadt).toMatch(/Reset Register : [\s\S]*?Address : 0000000000000CF9/);
    expect(fadt).toMatch(/Value to cause reset : 06/);
    expect(sources.get('DSDT')).toMatch(/Name \(_S5, Package/);
  });

  it('list all processors, and the interrupts that are not as on the ISA bus', () => {
    const madt = sources.get('APIC');
    expect(madt?.match(/Processor Enabled : 1/g)).toHaveLength(254);
    expect(madt?.match(/Interrupt Source Override/g)).toHaveLength(3);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { executableSize } from '../src/portable-executable.ts';

/** A PE file with two sections, by its specification: what the EFI stub of a kernel has. */
function executable(sections: readonly { readonly offset: number; readonly size: number }[]): Uint8Array {
  const file = new DataView(new ArrayBuffer(512));
  file.setUint16(0, 0x5a4d, true);
  file.setUint32(0x3c, 0x40, true);
  file.setUint32(0x40, 0x4550, true);
  file.setUint16(0x46, sections.length, true);
  file.setUint16(0x54, 16, true); // optional header
  sections.forEach(({ offset, size }, index) => {
    file.setUint32(0x68 + index * 40 + 16, size, true);
    file.setUint32(0x68 + index * 40 + 20, offset, true);
  });
  return new Uint8Array(file.buffer);
}

describe('executableSize', () => {
  it('is the end of the last section', () => {
    const sections = [
      { offset: 0x1000, size: 0x2000 },
      { offset: 0x3000, size: 0x500 },
    ];
    expect(executableSize(executable(sections))).toBe(0x3500);
  });

  it('takes any bytes', () => {
    const head = executable([{ offset: 0x1000, size: 0x1000 }]);
    fc.assert(
      fc.property(fc.nat(511), fc.nat(255), fc.nat(512), (index, value, length) => {
        const bytes = new Uint8Array(head);
        bytes[index] = value;
        expect(executableSize(bytes.subarray(0, length))).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

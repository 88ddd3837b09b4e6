import { bytes, struct, u8, u32, u64 } from '@tsvmm/struct';
import { ascii } from '../bytes.ts';

/** Firmware ACPI Control Structure, ACPI 6.4 section 5.2.10: shared by firmware and system, without checksum. */
const facs = struct(
  {
    signature: bytes(4),
    length: u32,
    hardwareSignature: u32,
    firmwareWakingVector: u32,
    globalLock: u32,
    flags: u32,
    xFirmwareWakingVector: u64,
    version: u8,
    reserved1: bytes(3),
    ospmFlags: u32,
    reserved2: bytes(24),
  },
  { name: 'FACS', packed: true },
);

/** A FACS in which nothing has happened yet. It must be at a multiple of 64 bytes. */
export function createFacs(): Uint8Array<ArrayBuffer> {
  const content = new Uint8Array(facs.size);
  const table = facs.attach(content.buffer);
  table.signature.set(ascii('FACS', 4, 'signature'));
  table.length = facs.size;
  table.version = 2;
  return content;
}

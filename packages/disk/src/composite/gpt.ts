import { randomUUID } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { DiskError } from '../errors.ts';

/** UEFI specification, chapter 5. Sectors are 512 bytes here. */
export const SECTOR = 512;
const ENTRY_COUNT = 128;
const ENTRY_LENGTH = 128;
const ENTRIES_LENGTH = ENTRY_COUNT * ENTRY_LENGTH;
const HEADER_LENGTH = 92;
const REVISION = 0x0001_0000;
const MAX_LABEL = 36;
const LINUX_FILESYSTEM = '0FC63DAF-8483-4772-8E79-3D69D8477DE4';
/** What is before the first partition, and what partitions are aligned to. Bytes. */
export const GPT_HEADER_LENGTH = 20 * 1024;
export const PARTITION_ALIGNMENT = 4096;
/** The second table and its header. */
const BACKUP_LENGTH = ENTRIES_LENGTH + SECTOR;
/** Bytes that the end of the disk takes, so that it is aligned too. */
export const GPT_FOOTER_LENGTH = Math.ceil(BACKUP_LENGTH / PARTITION_ALIGNMENT) * PARTITION_ALIGNMENT;

/** A partition; positions in bytes. */
export interface Partition {
  readonly label: string;
  readonly start: number;
  readonly length: number;
  readonly guid: string;
}

const GUID = /^([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})$/i;

export function isGuid(text: string): boolean {
  return GUID.test(text);
}

/** A GUID's bytes: the first three fields are little-endian. */
function guidBytes(text: string): Uint8Array {
  const [, a = '', b = '', c = '', d = '', e = ''] = GUID.exec(text) ?? [];
  const reversed = (hex: string) => Buffer.from(hex, 'hex').reverse();
  return Buffer.concat([reversed(a), reversed(b), reversed(c), Buffer.from(d + e, 'hex')]);
}

/**
 * The two ends of a disk with a GUID partition table.
 * @param diskSize bytes, a multiple of the alignment
 * @throws DiskError BAD_OPTION for labels that are too long or not unique, and for too many partitions
 */
export function buildGpt(
  partitions: readonly Partition[],
  diskSize: number,
): { readonly header: Uint8Array; readonly footer: Uint8Array } {
  if (partitions.length > ENTRY_COUNT) {
    throw new DiskError(
      'BAD_OPTION',
      `A disk has up to ${ENTRY_COUNT} partitions, not ${partitions.length}.`,
    );
  }
  if (new Set(partitions.map(({ label }) => label)).size < partitions.length) {
    throw new DiskError('BAD_OPTION', 'Each partition needs a label of its own.');
  }
  const entries = Buffer.alloc(ENTRIES_LENGTH);
  for (const [index, { label, start, length, guid }] of partitions.entries()) {
    if (label.length > MAX_LABEL) {
      throw new DiskError('BAD_OPTION', `The label '${label}' is longer than ${MAX_LABEL} characters.`);
    }
    const entry = entries.subarray(index * ENTRY_LENGTH);
    entry.set(guidBytes(LINUX_FILESYSTEM), 0);
    entry.set(guidBytes(guid), 16);
    entry.writeBigUInt64LE(BigInt(start / SECTOR), 32);
    entry.writeBigUInt64LE(BigInt((start + length) / SECTOR - 1), 40);
    entry.write(label, 56, 'utf16le');
  }
  const diskGuid = guidBytes(randomUUID());
  const last = diskSize / SECTOR - 1;
  const backupEntries = last - ENTRIES_LENGTH / SECTOR;
  const table = (own: number, other: number, entriesAt: number) => {
    const bytes = Buffer.alloc(SECTOR);
    bytes.write('EFI PART', 0, 'latin1');
    bytes.writeUInt32LE(REVISION, 8);
    bytes.writeUInt32LE(HEADER_LENGTH, 12);
    bytes.writeBigUInt64LE(BigInt(own), 24);
    bytes.writeBigUInt64LE(BigInt(other), 32);
    bytes.writeBigUInt64LE(BigInt(GPT_HEADER_LENGTH / SECTOR), 40);
    bytes.writeBigUInt64LE(BigInt(backupEntries - 1), 48);
    bytes.set(diskGuid, 56);
    bytes.writeBigUInt64LE(BigInt(entriesAt), 72);
    bytes.writeUInt32LE(ENTRY_COUNT, 80);
    bytes.writeUInt32LE(ENTRY_LENGTH, 84);
    bytes.writeUInt32LE(crc32(entries), 88);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_LENGTH)), 16);
    return bytes;
  };
  const header = Buffer.alloc(GPT_HEADER_LENGTH);
  header.set(protectiveMbr(diskSize), 0);
  header.set(table(1, last, 2), SECTOR);
  header.set(entries, 2 * SECTOR);
  // The second header has to be the last sector, so the padding comes first.
  const footer = Buffer.alloc(GPT_FOOTER_LENGTH);
  footer.set(entries, GPT_FOOTER_LENGTH - BACKUP_LENGTH);
  footer.set(table(last, 1, backupEntries), GPT_FOOTER_LENGTH - SECTOR);
  return { header, footer };
}

/** Section 5.2.3: one partition of type 0xEE over the whole disk. */
function protectiveMbr(diskSize: number): Uint8Array {
  const bytes = Buffer.alloc(SECTOR);
  const entry = bytes.subarray(446);
  entry.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff]);
  entry.writeUInt32LE(1, 8);
  entry.writeUInt32LE(Math.min(0xffff_ffff, diskSize / SECTOR - 1), 12);
  bytes.writeUInt16LE(0xaa55, 510);
  return bytes;
}

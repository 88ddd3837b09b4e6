import { bytes, struct, u8, u32 } from '@tsvmm/struct';
import { ascii, concat } from '../bytes.ts';
import { AcpiError } from '../errors.ts';

/** Who made the tables, as their headers say it. */
export interface OemIdentity {
  /** Up to 6 characters. */
  readonly id: string;
  /** Up to 8 characters. */
  readonly tableId: string;
  readonly revision: number;
  /** The vendor of the program that wrote the tables: up to 4 characters. */
  readonly creatorId: string;
  readonly creatorRevision: number;
}

/** DESCRIPTION_HEADER, ACPI 6.4 section 5.2.6: how every table but RSDP and FACS starts. */
export const tableHeader = struct(
  {
    signature: bytes(4),
    length: u32,
    revision: u8,
    checksum: u8,
    oemId: bytes(6),
    oemTableId: bytes(8),
    oemRevision: u32,
    creatorId: bytes(4),
    creatorRevision: u32,
  },
  { name: 'DESCRIPTION_HEADER', packed: true },
);

/** A whole table, with its header and a checksum that is right. */
export interface AcpiTable {
  /** Four characters. */
  readonly signature: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Sum of the bytes modulo 256: zero for a table whose checksum is right. */
export function sum(bytes: Uint8Array): number {
  let total = 0;
  for (const byte of bytes) total = (total + byte) & 0xff;
  return total;
}

/** Makes a table of what follows its header. */
export function createTable(
  signature: string,
  revision: number,
  oem: OemIdentity,
  body: readonly Uint8Array[],
): AcpiTable {
  const content = concat([new Uint8Array(tableHeader.size), ...body]);
  const header = tableHeader.attach(content.buffer);
  header.signature.set(ascii(signature, 4, 'signature'));
  header.length = content.length;
  header.revision = revision;
  header.oemId.set(ascii(oem.id, 6, 'OEM id'));
  header.oemTableId.set(ascii(oem.tableId, 8, 'OEM table id'));
  header.oemRevision = oem.revision;
  header.creatorId.set(ascii(oem.creatorId, 4, 'creator id'));
  header.creatorRevision = oem.creatorRevision;
  return withChecksum(content);
}

/** The table with the checksum that its bytes need. */
export function withChecksum(content: Uint8Array<ArrayBuffer>): AcpiTable {
  const header = tableHeader.attach(content.buffer, content.byteOffset);
  header.checksum = (header.checksum - sum(content)) & 0xff;
  return { signature: String.fromCharCode(...header.signature), bytes: content };
}

/** Tables that are not found through the XSDT, and those that are made when the others are placed. */
const NOT_FOR_USERS = ['FACS', 'RSDT', 'XSDT'];

/**
 * A table that was dumped or compiled: `iasl`'s output, or a file of `/sys/firmware/acpi/tables`.
 * @throws AcpiError BAD_TABLE
 */
export function parseTable(file: Uint8Array): AcpiTable {
  const refuse = (what: string) => new AcpiError('BAD_TABLE', `This is no ACPI table: ${what}.`);
  if (file.length < tableHeader.size) {
    throw refuse(`${file.length} bytes are less than the ${tableHeader.size} of a header`);
  }
  const content = new Uint8Array(file);
  const header = tableHeader.attach(content.buffer);
  const signature = String.fromCharCode(...header.signature);
  if (!/^[A-Z0-9_]{4}$/.test(signature)) throw refuse(`its signature is ${JSON.stringify(signature)}`);
  if (header.length !== content.length) {
    throw refuse(`its header gives a length of ${header.length} bytes, but it has ${content.length}`);
  }
  if (sum(content) !== 0) throw refuse('its checksum is wrong');
  if (NOT_FOR_USERS.includes(signature)) {
    throw new AcpiError('BAD_TABLE', `A table ${signature} cannot be given: it is made for the machine.`);
  }
  return { signature, bytes: content };
}

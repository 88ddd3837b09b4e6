import { bytes, struct, u8, u32, u64 } from '@tsvmm/struct';
import { ascii, concat, little } from '../bytes.ts';
import { AcpiError } from '../errors.ts';
import { createFacs } from './facs.ts';
import { linkFadt } from './fadt.ts';
import { type AcpiTable, createTable, type OemIdentity, sum } from './header.ts';

/** Root System Description Pointer, ACPI 6.4 section 5.2.5.3. */
const rsdp = struct(
  {
    signature: bytes(8),
    checksum: u8,
    oemId: bytes(6),
    revision: u8,
    rsdtAddress: u32,
    length: u32,
    xsdtAddress: u64,
    extendedChecksum: u8,
    reserved: bytes(3),
  },
  { name: 'RSDP', packed: true },
);

/** What the first checksum covers: the structure of ACPI 1.0. */
const RSDP_1_0_LENGTH = 20;

/** Of ACPI 2.0 and later. */
const RSDP_REVISION = 2;
const XSDT_REVISION = 1;

/** What the FACS needs, and the others get too. */
const ALIGNMENT = 64;

/** A piece of guest memory to write. */
export interface AcpiImage {
  readonly address: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface PlaceTablesOptions {
  /** Where the RSDP goes, a multiple of 64 below 4 GiB; the BIOS area 0xE0000 to 0xFFFFF is where it is looked for. */
  readonly address: number;
  /** Bytes that there are from there on. */
  readonly size: number;
  readonly oem: OemIdentity;
  /** One FACP, one DSDT, and any others. */
  readonly tables: readonly AcpiTable[];
}

/**
 * Lays out the tables behind an RSDP, each at a multiple of 64 bytes: FACS, DSDT, FADT, the others in their order, XSDT.
 * @throws AcpiError WRONG_TABLES, TOO_LARGE, BAD_VALUE for an address that cannot be, BAD_TABLE for a FADT older than
 * ACPI 2.0
 */
export function placeTables({ address, size, oem, tables }: PlaceTablesOptions): AcpiImage {
  if (!Number.isSafeInteger(address) || address < 0 || address % ALIGNMENT !== 0 || address > 0xffff_ffff) {
    const message = `The RSDP cannot be at ${address}: it needs a multiple of ${ALIGNMENT} below 4 GiB.`;
    throw new AcpiError('BAD_VALUE', message);
  }
  const dsdt = theOnly('DSDT', tables);
  const fadt = theOnly('FACP', tables);
  const others = tables.filter((table) => table !== dsdt && table !== fadt);

  const parts: Uint8Array[] = [];
  let end = address;
  const place = (part: Uint8Array): number => {
    const start = end;
    end += Math.ceil(part.length / ALIGNMENT) * ALIGNMENT;
    if (end - address > size) {
      throw new AcpiError('TOO_LARGE', `The ACPI tables need more than the ${size} bytes that there are.`);
    }
    parts.push(part, new Uint8Array(end - start - part.length));
    return start;
  };

  const pointer = new Uint8Array(rsdp.size);
  place(pointer);
  const facsAddress = place(createFacs());
  const dsdtAddress = place(dsdt.bytes);
  const addresses = [linkFadt(fadt, facsAddress, dsdtAddress), ...others].map(({ bytes }) => place(bytes));
  const entries = addresses.map((entry) => little(entry, 8, 'address of a table'));
  fillRsdp(pointer, oem, place(createTable('XSDT', XSDT_REVISION, oem, entries).bytes));
  return { address, bytes: concat(parts) };
}

function theOnly(signature: string, tables: readonly AcpiTable[]): AcpiTable {
  const [table, second] = tables.filter((candidate) => candidate.signature === signature);
  if (table !== undefined && second === undefined) return table;
  const message = `A machine has one table ${signature}; ${table === undefined ? 'none was' : 'several were'} given.`;
  throw new AcpiError('WRONG_TABLES', message);
}

function fillRsdp(pointer: Uint8Array<ArrayBuffer>, oem: OemIdentity, xsdtAddress: number): void {
  const fields = rsdp.attach(pointer.buffer);
  fields.signature.set(ascii('RSD PTR ', 8, 'signature'));
  fields.oemId.set(ascii(oem.id, 6, 'OEM id'));
  fields.revision = RSDP_REVISION;
  fields.length = rsdp.size;
  fields.xsdtAddress = xsdtAddress;
  fields.checksum = -sum(pointer.subarray(0, RSDP_1_0_LENGTH)) & 0xff;
  fields.extendedChecksum = -sum(pointer) & 0xff;
}

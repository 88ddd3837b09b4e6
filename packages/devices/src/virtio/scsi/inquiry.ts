import type { Cdb } from './cdb.ts';
import type { Medium } from './medium.ts';
import { invalidFieldInCdb } from './sense.ts';

const VENDOR = 'TSVMM';
const PRODUCT = 'VIRTIO DISK';
const REVISION = '1.0';

const DIRECT_ACCESS_BLOCK_DEVICE = 0x00;
/** Qualifier 011b and type 1Fh: there is no logical unit here, and none can be. */
const NO_LOGICAL_UNIT = 0x7f;
const SPC_4 = 0x06;
/** SAM-5, SPC-4, SBC-3 without a version. */
const VERSION_DESCRIPTORS: readonly number[] = [0x00a0, 0x0460, 0x04c0];
const STANDARD_LENGTH = 96;

const Page = {
  supported: 0x00,
  serialNumber: 0x80,
  identification: 0x83,
  blockLimits: 0xb0,
  blockCharacteristics: 0xb1,
  provisioning: 0xb2,
} as const;
const SUPPORTED_PAGES: readonly number[] = Object.values(Page);

const BLOCK_PAGE_LENGTH = 64;
const NON_ROTATING = 1;
/** LBPU, LBPWS and LBPWS10: UNMAP, and WRITE SAME of either length with the bit of that name. What they leave is not said. */
const UNMAP_BY_ALL_COMMANDS = 0xe0;
const THIN_PROVISIONED = 2;
/** Code set ASCII; designator of the logical unit, by a T10 vendor id. */
const ASCII = 2;
const T10_VENDOR_ID = 1;

/** What of a logical unit INQUIRY tells. */
export interface Identity {
  readonly medium: Medium;
  /** ASCII. */
  readonly serial: string;
}

/**
 * The answer to INQUIRY (SPC-4, section 6.6), of a place without logical unit if there is none.
 * @throws CheckCondition
 */
export function inquire(cdb: Cdb, unit: Identity | undefined): Uint8Array {
  const hasPage = cdb.has(1, 0x01);
  const page = cdb.bits(2, 0xff);
  if (!hasPage) {
    if (page !== 0) throw invalidFieldInCdb(2);
    return standardData(unit);
  }
  if (unit === undefined) throw invalidFieldInCdb(1);
  const data = vitalProductData(page, unit);
  data[0] = DIRECT_ACCESS_BLOCK_DEVICE;
  data[1] = page;
  new DataView(data.buffer).setUint16(2, data.length - 4);
  return data;
}

function standardData(unit: Identity | undefined): Uint8Array {
  const data = new Uint8Array(STANDARD_LENGTH);
  const view = new DataView(data.buffer);
  data[0] = unit ? DIRECT_ACCESS_BLOCK_DEVICE : NO_LOGICAL_UNIT;
  data[2] = SPC_4;
  // Hierarchical LUNs, and data of this form.
  data[3] = 0x12;
  data[4] = STANDARD_LENGTH - 5;
  // Commands are queued.
  data[7] = 0x02;
  data.set(ascii(VENDOR, 8), 8);
  data.set(ascii(PRODUCT, 16), 16);
  data.set(ascii(REVISION, 4), 32);
  for (const [index, version] of VERSION_DESCRIPTORS.entries()) view.setUint16(58 + 2 * index, version);
  return data;
}

/** A page of vital product data (SPC-4, section 7.8, and SBC-3, section 6.5), without its first four bytes. */
function vitalProductData(page: number, { medium, serial }: Identity): Uint8Array {
  switch (page) {
    case Page.supported:
      return withHeader(Uint8Array.from(SUPPORTED_PAGES));
    case Page.serialNumber:
      return withHeader(ascii(serial, serial.length));
    case Page.identification: {
      const name = ascii(VENDOR.padEnd(8) + serial, 8 + serial.length);
      return withHeader(Uint8Array.of(ASCII, T10_VENDOR_ID, 0, name.length, ...name));
    }
    case Page.blockLimits:
      return blockLimits(medium);
    case Page.blockCharacteristics: {
      const data = new Uint8Array(BLOCK_PAGE_LENGTH);
      new DataView(data.buffer).setUint16(4, NON_ROTATING);
      return data;
    }
    case Page.provisioning:
      return withHeader(
        medium.readOnly ? new Uint8Array(4) : Uint8Array.of(0, UNMAP_BY_ALL_COMMANDS, THIN_PROVISIONED, 0),
      );
    default:
      throw invalidFieldInCdb(2);
  }
}

function blockLimits({ readOnly, limits }: Medium): Uint8Array {
  const data = new Uint8Array(BLOCK_PAGE_LENGTH);
  const view = new DataView(data.buffer);
  // WSNZ: WRITE SAME of no blocks does not mean all that follow.
  view.setUint8(4, 1);
  if (readOnly) return data;
  view.setUint32(20, limits.unmapBlocks);
  view.setUint32(24, limits.unmapDescriptors);
  view.setUint32(28, 1);
  view.setUint32(40, limits.writeSameBlocks);
  return data;
}

function withHeader(content: Uint8Array): Uint8Array {
  const data = new Uint8Array(4 + content.length);
  data.set(content, 4);
  return data;
}

function ascii(text: string, length: number): Uint8Array {
  return new TextEncoder().encode(text.padEnd(length).slice(0, length));
}

import type { Cdb } from './cdb.ts';
import type { Medium } from './medium.ts';
import { CheckCondition, invalidFieldInCdb, invalidFieldInParameterList, Sense } from './sense.ts';

const CACHING = 0x08;
const CONTROL = 0x0a;
const ALL_PAGES = 0x3f;
const ALL_SUBPAGES = 0xff;

/** PC: what is asked for of a page's values. */
const PageControl = { current: 0, changeable: 1, default: 2, saved: 3 } as const;

const WRITE_PROTECTED = 0x80;
/** The DPO and FUA bits are understood. */
const DPOFUA = 0x10;
const LONG_LBA = 0x01;
const HEADER = { short: 4, long: 8 } as const;
const BLOCK_DESCRIPTOR = { short: 8, long: 16 } as const;

/** The pages, as they are for a medium: nothing of them can be changed. */
function pagesOf({ readOnly }: Medium): ReadonlyMap<number, Uint8Array> {
  const caching = new Uint8Array(20);
  caching.set([CACHING, caching.length - 2]);
  // WCE: what was written is kept by SYNCHRONIZE CACHE.
  if (!readOnly) caching[2] = 0x04;
  const control = new Uint8Array(12);
  // GLTSD: nothing is logged. Commands may be reordered without restriction.
  control.set([CONTROL, control.length - 2, 0x02, 0x10]);
  return new Map([
    [CACHING, caching],
    [CONTROL, control],
  ]);
}

/**
 * The answer to MODE SENSE of either length (SPC-4, sections 6.13 and 6.14).
 * @throws CheckCondition
 */
export function modeSense(cdb: Cdb, medium: Medium): Uint8Array {
  const isLong = cdb.operation === 'mode-sense-10';
  const asked = cdb.bits(2, ALL_PAGES);
  const control = cdb.bits(2, 0xc0) >>> 6;
  const subpage = cdb.bits(3, 0xff);
  if (control === PageControl.saved) throw new CheckCondition(Sense.savingParametersNotSupported);
  const pages = [...pagesOf(medium)].filter(([code]) => asked === ALL_PAGES || asked === code);
  if (pages.length === 0) throw invalidFieldInCdb(2);
  if (subpage !== 0 && subpage !== ALL_SUBPAGES) throw invalidFieldInCdb(3);
  const values = pages.map(([, page]) =>
    control === PageControl.changeable ? page.map((byte, index) => (index < 2 ? byte : 0)) : page,
  );
  const hasDescriptor = !cdb.has(1, 0x08);
  const isLongLba = cdb.has(1, 0x10) && isLong;
  const descriptor = hasDescriptor ? blockDescriptor(medium, isLongLba) : new Uint8Array(0);
  const content = Buffer.concat([descriptor, ...values]);
  const header = modeHeader(isLong, content.length, medium.readOnly, descriptor.length, isLongLba);
  return Buffer.concat([header, content]);
}

/**
 * Takes what MODE SELECT of either length brings (SPC-4, sections 6.11 and 6.12), which has to be what is so already.
 * @throws CheckCondition
 */
export function modeSelect(cdb: Cdb, list: Uint8Array, medium: Medium): void {
  if (cdb.has(1, 0x01)) throw invalidFieldInCdb(1);
  if (list.length === 0) return;
  const isLong = cdb.operation === 'mode-select-10';
  const headerLength = isLong ? HEADER.long : HEADER.short;
  if (list.length < headerLength) throw new CheckCondition(Sense.parameterListLengthError);
  const view = new DataView(list.buffer, list.byteOffset, list.length);
  const isLongLba = isLong && (view.getUint8(4) & LONG_LBA) !== 0;
  const descriptorLength = isLong ? view.getUint16(6) : view.getUint8(3);
  const expected = blockDescriptor(medium, isLongLba);
  if (descriptorLength !== 0) {
    if (descriptorLength !== expected.length) throw invalidFieldInParameterList(isLong ? 6 : 3);
    checkEqual(list, headerLength, expected);
  }
  for (let start = headerLength + descriptorLength; start < list.length; ) {
    // The bit beside the code is PS, which says nothing here.
    const page = pagesOf(medium).get((list[start] ?? 0) & ALL_PAGES);
    if (page === undefined) throw invalidFieldInParameterList(start);
    if (list.length - start < page.length) throw new CheckCondition(Sense.parameterListLengthError);
    checkEqual(list, start + 1, page.subarray(1));
    start += page.length;
  }
}

function checkEqual(list: Uint8Array, start: number, expected: Uint8Array): void {
  if (list.length - start < expected.length) throw new CheckCondition(Sense.parameterListLengthError);
  const other = expected.findIndex((byte, index) => byte !== list[start + index]);
  if (other >= 0) throw invalidFieldInParameterList(start + other);
}

function modeHeader(
  isLong: boolean,
  contentLength: number,
  readOnly: boolean,
  descriptorLength: number,
  isLongLba: boolean,
): Uint8Array {
  const header = new Uint8Array(isLong ? HEADER.long : HEADER.short);
  const view = new DataView(header.buffer);
  const parameter = DPOFUA | (readOnly ? WRITE_PROTECTED : 0);
  if (isLong) {
    view.setUint16(0, header.length + contentLength - 2);
    view.setUint8(3, parameter);
    view.setUint8(4, isLongLba ? LONG_LBA : 0);
    view.setUint16(6, descriptorLength);
  } else {
    view.setUint8(0, header.length + contentLength - 1);
    view.setUint8(2, parameter);
    view.setUint8(3, descriptorLength);
  }
  return header;
}

/** Number and length of blocks (SBC-3, section 6.4.2). */
function blockDescriptor({ blockCount, blockSize }: Medium, isLong: boolean): Uint8Array {
  const descriptor = new Uint8Array(isLong ? BLOCK_DESCRIPTOR.long : BLOCK_DESCRIPTOR.short);
  const view = new DataView(descriptor.buffer);
  if (isLong) {
    view.setBigUint64(0, BigInt(blockCount));
    view.setUint32(12, blockSize);
  } else {
    view.setUint32(0, Math.min(blockCount, 0xffff_ffff));
    // 24 bits, behind a byte that is reserved.
    view.setUint32(4, blockSize);
  }
  return descriptor;
}

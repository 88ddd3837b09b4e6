import { concat, little } from '../bytes.ts';
import { AcpiError } from '../errors.ts';

// How AML writes lengths, names and integers: ACPI 6.4, sections 20.2.2 to 20.2.4.

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const QWORD_PREFIX = 0x0e;
const ONES_OP = 0xff;

const DUAL_NAME_PREFIX = 0x2e;
const MULTI_NAME_PREFIX = 0x2f;
const NULL_NAME = 0x00;

/** One segment of a name: 1 to 4 characters, the first of them no digit. */
const SEGMENT = /^[A-Z_][A-Z0-9_]{0,3}$/;

/** Most that a PkgLength can say: 28 bits. */
const MAX_PKG_LENGTH = 2 ** 28 - 1;

/** `length` as a PkgLength of as few bytes as can hold it; what it counts does not include these bytes. */
export function encodePkgLength(length: number): Uint8Array {
  if (!Number.isInteger(length) || length < 0 || length > MAX_PKG_LENGTH) {
    throw new AcpiError('OUT_OF_RANGE', `${length} is no length that AML can write (28 bits).`);
  }
  if (length <= 0x3f) return Uint8Array.of(length);
  const following = length <= 0xfff ? 1 : length <= 0xf_ffff ? 2 : 3;
  const bytes = [(following << 6) | (length & 0x0f)];
  for (let i = 0; i < following; i++) bytes.push((length >>> (4 + 8 * i)) & 0xff);
  return Uint8Array.from(bytes);
}

/** `opcode PkgLength content`, where the length counts itself and the content. */
export function encodePackage(
  opcode: readonly number[],
  content: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const body = concat(content);
  // The length's own bytes count, and may make it longer by one of themselves.
  let length = encodePkgLength(body.length + 1);
  for (let size = 0; size !== length.length; ) {
    size = length.length;
    length = encodePkgLength(body.length + size);
  }
  return concat([Uint8Array.from(opcode), length, body]);
}

/**
 * One segment of a name, padded with underscores to its four characters.
 * @throws AcpiError BAD_NAME
 */
export function encodeNameSegment(segment: string): Uint8Array {
  if (!SEGMENT.test(segment)) {
    const message = `${JSON.stringify(segment)} is no name: 1 to 4 of A-Z, 0-9 and _, the first no digit.`;
    throw new AcpiError('BAD_NAME', message);
  }
  return Uint8Array.from(segment.padEnd(4, '_'), (character) => character.charCodeAt(0));
}

/**
 * A NameString such as `_HID`, `\_SB.PC00` or `^^FOO`.
 * @throws AcpiError BAD_NAME
 */
export function encodeName(name: string): Uint8Array {
  const [, prefix = '', path = ''] = /^(\\|\^*)(.*)$/s.exec(name) ?? [];
  if (path === '' && prefix === '') throw new AcpiError('BAD_NAME', 'A name cannot be empty.');
  const segments = path === '' ? [] : path.split('.').map(encodeNameSegment);
  if (segments.length > 0xff) throw new AcpiError('BAD_NAME', 'A name has at most 255 segments.');
  return concat([
    Uint8Array.from(prefix, (character) => character.charCodeAt(0)),
    Uint8Array.from(segmentsPrefix(segments.length)),
    ...segments,
  ]);
}

function segmentsPrefix(count: number): readonly number[] {
  switch (count) {
    case 0:
      return [NULL_NAME];
    case 1:
      return [];
    case 2:
      return [DUAL_NAME_PREFIX];
    default:
      return [MULTI_NAME_PREFIX, count];
  }
}

/**
 * An integer of up to 64 bits in its shortest form.
 * @throws AcpiError OUT_OF_RANGE
 */
export function encodeInteger(value: number | bigint): Uint8Array {
  const bytes = little(value, 8, 'AML integer');
  const significant = 8 - [...bytes].reverse().findIndex((byte) => byte !== 0);
  if (value === 0 || value === 0n) return Uint8Array.of(ZERO_OP);
  if (bytes.every((byte) => byte === 0xff)) return Uint8Array.of(ONES_OP);
  if (significant === 1 && bytes[0] === 1) return Uint8Array.of(ONE_OP);
  if (significant === 1) return Uint8Array.of(BYTE_PREFIX, ...bytes.subarray(0, 1));
  if (significant === 2) return Uint8Array.of(WORD_PREFIX, ...bytes.subarray(0, 2));
  if (significant <= 4) return Uint8Array.of(DWORD_PREFIX, ...bytes.subarray(0, 4));
  return Uint8Array.of(QWORD_PREFIX, ...bytes);
}

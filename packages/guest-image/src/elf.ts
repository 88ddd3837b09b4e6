import { GuestImageError } from './errors.ts';

const MAGIC = 0x7f454c46;
const CLASS_64 = 2;
const DATA_LITTLE_ENDIAN = 1;
const FILE_HEADER_BYTES = 64;
const SECTION_HEADER_BYTES = 64;

/** Section types (sh_type) this package knows. */
export const SectionType = {
  SYMTAB: 2,
  STRTAB: 3,
  RELA: 4,
  NOBITS: 8,
  REL: 9,
  GROUP: 17,
  SYMTAB_SHNDX: 18,
} as const;

/** A section header, and the bytes it speaks of; fields are called as in the ELF specification, without `sh_`. */
export interface Section {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  /** Offset in the file, bytes. */
  readonly offset: number;
  readonly link: number;
  readonly info: number;
  readonly addralign: number;
  /** Empty for NOBITS. */
  readonly data: Uint8Array;
}

/**
 * Reads the sections of a 64-bit little-endian ELF file.
 * @throws {GuestImageError} BAD_MODULE for anything else, and for headers that point outside of the file
 */
export function readSections(file: Uint8Array): Section[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.byteLength < FILE_HEADER_BYTES || view.getUint32(0) !== MAGIC) throw damaged('it is no ELF file');
  if (file[4] !== CLASS_64 || file[5] !== DATA_LITTLE_ENDIAN) throw damaged('it is not 64-bit little-endian');
  const tableOffset = Number(view.getBigUint64(40, true));
  const entryBytes = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  const namesIndex = view.getUint16(62, true);
  if (entryBytes !== SECTION_HEADER_BYTES || namesIndex >= count)
    throw damaged('its section table is malformed');
  if (tableOffset + count * entryBytes > file.byteLength) throw damaged('its section table is cut off');

  const dataOf = (index: number): Uint8Array => {
    const header = tableOffset + index * entryBytes;
    if (view.getUint32(header + 4, true) === SectionType.NOBITS) return file.subarray(0, 0);
    const offset = Number(view.getBigUint64(header + 24, true));
    const size = Number(view.getBigUint64(header + 32, true));
    if (offset + size > file.byteLength) throw damaged(`its section ${index} is cut off`);
    return file.subarray(offset, offset + size);
  };
  const names = dataOf(namesIndex);
  return Array.from({ length: count }, (_, index) => {
    const header = tableOffset + index * entryBytes;
    return {
      index,
      name: stringAt(names, view.getUint32(header, true)),
      type: view.getUint32(header + 4, true),
      offset: Number(view.getBigUint64(header + 24, true)),
      link: view.getUint32(header + 40, true),
      info: view.getUint32(header + 44, true),
      addralign: Number(view.getBigUint64(header + 48, true)),
      data: dataOf(index),
    };
  });
}

/** The NUL-terminated string at an offset of a string table. */
export function stringAt(table: Uint8Array, offset: number): string {
  const end = table.indexOf(0, offset);
  const bytes = Buffer.from(table.buffer, table.byteOffset, table.byteLength);
  return bytes.toString('latin1', offset, end < 0 ? table.byteLength : end);
}

export function damaged(reason: string): GuestImageError {
  return new GuestImageError('BAD_MODULE', `The kernel module cannot be read: ${reason}.`);
}

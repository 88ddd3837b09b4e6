/** A part of an ELF file that is loaded. */
export interface Segment {
  readonly physicalAddress: number;
  readonly virtualAddress: number;
  readonly data: Uint8Array;
  /** Bytes of memory, of which those behind the data are zero. */
  readonly size: number;
}

export interface ElfImage {
  readonly entry: number;
  readonly segments: readonly Segment[];
}

const PT_LOAD = 1;

/** Reads what there is to load of a 64-bit little-endian ELF executable. */
export function readElf(file: Uint8Array): ElfImage {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const number = (offset: number): number => Number(view.getBigUint64(offset, true));
  const segments: Segment[] = [];
  for (let index = 0; index < view.getUint16(56, true); index++) {
    const header = number(32) + index * view.getUint16(54, true);
    if (view.getUint32(header, true) === PT_LOAD) {
      const offset = number(header + 8);
      segments.push({
        virtualAddress: number(header + 16),
        physicalAddress: number(header + 24),
        data: file.subarray(offset, offset + number(header + 32)),
        size: number(header + 40),
      });
    }
  }
  return { entry: number(24), segments };
}

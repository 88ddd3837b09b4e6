/** Incompatible features (bits of header bytes 72 to 79): an image with an unknown one cannot be read. */
export const Incompatible = {
  /** Refcounts may be wrong: they have to be rebuilt before the image is written. */
  dirty: 1 << 0,
  /** The image contradicts itself: it may be read only. */
  corrupt: 1 << 1,
  externalData: 1 << 2,
  /** The header has a compression type other than zlib. */
  compressionType: 1 << 3,
  extendedL2: 1 << 4,
} as const;

export const KNOWN_INCOMPATIBLE = 0b11111;

/** Compatible features (bytes 80 to 87). */
export const Compatible = {
  lazyRefcounts: 1 << 0,
} as const;

/** Autoclear features (bytes 88 to 95): whoever writes without knowing one clears it. */
export const Autoclear = {
  bitmaps: 1 << 0,
  rawExternalData: 1 << 1,
} as const;

/**
 * What a writer here keeps. Bitmaps record what changed since a backup, and changes made here would be missing in them:
 * clearing the bit says so to whoever reads them.
 */
export const KEPT_AUTOCLEAR = Autoclear.rawExternalData;

/** Types of header extensions. */
export const Extension = {
  end: 0,
  backingFormat: 0xe279_2aca,
  featureNames: 0x6803_f857,
  bitmaps: 0x2385_2875,
  encryptionHeader: 0x0537_be77,
  externalData: 0x4441_5441,
} as const;

interface FeatureName {
  /** 0 incompatible, 1 compatible, 2 autoclear. */
  readonly type: number;
  readonly bit: number;
  readonly name: string;
}

const NAMES: readonly FeatureName[] = [
  { type: 0, bit: 0, name: 'dirty bit' },
  { type: 0, bit: 1, name: 'corrupt bit' },
  { type: 0, bit: 2, name: 'external data file' },
  { type: 0, bit: 3, name: 'compression type' },
  { type: 0, bit: 4, name: 'extended L2 entries' },
  { type: 1, bit: 0, name: 'lazy refcounts' },
  { type: 2, bit: 0, name: 'bitmaps' },
  { type: 2, bit: 1, name: 'raw external data' },
];

const RECORD_LENGTH = 48;
const NAME_START = 2;

/** The feature name table that new images carry, so that older programs can say what they lack. */
export function featureNameTable(): Uint8Array {
  const bytes = new Uint8Array(NAMES.length * RECORD_LENGTH);
  for (const [index, { type, bit, name }] of NAMES.entries()) {
    const start = index * RECORD_LENGTH;
    bytes[start] = type;
    bytes[start + 1] = bit;
    new TextEncoder().encodeInto(name, bytes.subarray(start + NAME_START, start + RECORD_LENGTH));
  }
  return bytes;
}

/** What the image itself calls an incompatible feature, by its feature name table. */
export function incompatibleName(table: Uint8Array | undefined, bit: number): string {
  for (let start = 0; table && start + RECORD_LENGTH <= table.length; start += RECORD_LENGTH) {
    if (table[start] !== 0 || table[start + 1] !== bit) continue;
    const name = table.subarray(start + NAME_START, start + RECORD_LENGTH);
    const end = name.indexOf(0);
    return `'${new TextDecoder().decode(end < 0 ? name : name.subarray(0, end))}' (incompatible bit ${bit})`;
  }
  return `incompatible bit ${bit}`;
}

import type { Range } from '../entry.ts';
import type { ByteReader } from './byte-reader.ts';
import { BLOCK_LENGTH, decodeNumber, type Header } from './header.ts';
import { decodeDecimal, type PaxRecord } from './pax.ts';

// GNU tar's manual, "Storing Sparse Files": one form in the header, and three in extended headers.

/** Pieces of a file at most: more cost more than the file. */
const MAX_PIECES = 2 ** 20;

/** A file of which the archive has pieces only. */
export interface SparseMap {
  /** Bytes of the file. */
  readonly size: number;
  readonly ranges: readonly Range[];
  /** Bytes of data in the archive that the map itself took. */
  readonly length: number;
}

/** What is wrong with a map. */
export class SparseMapError extends Error {}

/** The old form: four pieces in the header, and 21 in each block that follows it. */
export async function oldSparseMap(header: Header, reader: ByteReader): Promise<SparseMap> {
  const { block } = header;
  const numbers: (number | undefined)[] = [];
  const collect = (bytes: Buffer, start: number, count: number) => {
    for (let i = 0; i < 2 * count; i++) {
      const at = start + i * 12;
      // A piece without a length field ends the list.
      if (i % 2 === 0 && bytes[at + 12] === 0) return;
      numbers.push(decodeNumber(bytes.subarray(at, at + 12)));
    }
  };
  collect(block, 386, 4);
  let isExtended = block[482] !== 0;
  while (isExtended) {
    const bytes = await reader.read(BLOCK_LENGTH);
    if (!bytes) throw reader.truncated();
    collect(bytes, 0, 21);
    isExtended = bytes[504] !== 0;
    if (numbers.length > 2 * MAX_PIECES) throw new SparseMapError('too many pieces');
  }
  return toMap(decodeNumber(block.subarray(483, 495)), numbers, 0);
}

/** The map that an extended header has, or announces; undefined when the file is not sparse. */
export async function paxSparseMap(
  records: readonly PaxRecord[],
  reader: ByteReader,
): Promise<SparseMap | undefined> {
  const value = (key: string) => records.findLast((record) => record.key === `GNU.sparse.${key}`)?.value;
  const size = value('realsize') ?? value('size');
  if (!size) return undefined;
  if (value('major')?.toString() === '1') return await inlineMap(decodeDecimal(size), reader);
  const map = value('map');
  if (map) {
    const numbers = map.length === 0 ? [] : map.toString('latin1').split(',');
    if (numbers.length > 2 * MAX_PIECES) throw new SparseMapError('too many pieces');
    return toMap(
      decodeDecimal(size),
      numbers.map((text) => decodeDecimal(Buffer.from(text))),
      0,
    );
  }
  const numbers = records
    .filter(({ key }) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
    .map((record) => decodeDecimal(record.value));
  return toMap(decodeDecimal(size), numbers, 0);
}

/** Version 1.0: lines of numbers in front of the data, to the end of a block; the first says how many pieces. */
async function inlineMap(size: number | undefined, reader: ByteReader): Promise<SparseMap> {
  const numbers: (number | undefined)[] = [];
  let length = 0;
  let rest = '';
  let count: number | undefined;
  while (count === undefined || numbers.length < 2 * count) {
    const block = await reader.read(BLOCK_LENGTH);
    if (!block) throw reader.truncated();
    length += BLOCK_LENGTH;
    const lines = (rest + block.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > 2 * BLOCK_LENGTH) throw new SparseMapError('a number without an end');
    for (const line of lines) {
      const number = decodeDecimal(Buffer.from(line));
      if (count !== undefined) {
        if (numbers.length < 2 * count) numbers.push(number);
        continue;
      }
      if (number === undefined || number > MAX_PIECES) throw new SparseMapError('no number of pieces');
      count = number;
    }
  }
  return toMap(size, numbers, length);
}

function toMap(
  size: number | undefined,
  numbers: readonly (number | undefined)[],
  length: number,
): SparseMap {
  if (size === undefined) throw new SparseMapError('no size');
  if (numbers.length % 2 !== 0) throw new SparseMapError('an offset without a length');
  const ranges: Range[] = [];
  let end = 0;
  for (let i = 0; i < numbers.length; i += 2) {
    const [position, count] = [numbers[i], numbers[i + 1]];
    if (position === undefined || count === undefined)
      throw new SparseMapError('something that is no number');
    if (position < end || position + count > size) throw new SparseMapError('pieces out of their order');
    if (count > 0) ranges.push({ position, length: count });
    end = position + count;
  }
  return { size, ranges, length };
}

import { StreamBytes } from './stream-bytes.ts';
import { XxHash32, xxHash32 } from './xxhash.ts';

// LZ4 Frame Format 1.6.4 and LZ4 Block Format. No package on npm unpacks frames piece by piece without native code, so
// that a small file that claims to be endless costs no memory; hence this one.

const FRAME_MAGIC = 0x184d_2204;
/** What `lz4 -l` writes, and with it the kernel's own build (Image.lz4). */
const LEGACY_MAGIC = 0x184c_2102;
/** The low four bits are the user's. */
const SKIPPABLE_MAGIC = 0x184d_2a50;

/** How far back a match reaches. */
const WINDOW = 1 << 16;
const LEGACY_BLOCK = 8 << 20;
/** By the code in bits 6:4 of the BD byte. */
const BLOCK_SIZES = new Map([
  [4, 64 << 10],
  [5, 256 << 10],
  [6, 1 << 20],
  [7, 4 << 20],
]);
/** Bit 31 of a block's size. */
const IS_STORED = 0x8000_0000;
const MINIMUM_MATCH = 4;
/** Below it, a loop is quicker than a call. */
const SHORT = 32;

/** Unpacks LZ4 frames, legacy and skippable ones too, one after the other. */
export async function* unlz4(packed: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  using input = new StreamBytes(packed);
  let magic = await input.word();
  while (magic !== undefined) {
    if (magic === FRAME_MAGIC) {
      yield* frame(input);
      magic = await input.word();
    } else if (magic === LEGACY_MAGIC) {
      magic = yield* legacyFrame(input);
    } else if ((magic & ~0xf) >>> 0 === SKIPPABLE_MAGIC) {
      await input.skip(needed(await input.word()));
      magic = await input.word();
    } else {
      throw new Error('something that is no LZ4 frame follows one');
    }
  }
}

async function* frame(input: StreamBytes): AsyncGenerator<Uint8Array> {
  const { isIndependent, hasBlockChecksum, hasContentChecksum, contentSize, blockSize } =
    await frameDescriptor(input);
  const output = new Window(blockSize);
  const checksum = hasContentChecksum ? new XxHash32() : undefined;
  let size = 0n;
  for (;;) {
    const word = needed(await input.word());
    if (word === 0) break;
    const length = word & ~IS_STORED;
    if (length > blockSize) throw new Error('a block is larger than its frame allows');
    const block = await input.take(length);
    if (hasBlockChecksum && needed(await input.word()) !== xxHash32(block)) {
      throw new Error('the checksum of a block is wrong');
    }
    if (isIndependent) output.forget();
    const bytes = word >>> 31 === 1 ? output.store(block) : output.unpack(block);
    checksum?.update(bytes);
    size += BigInt(bytes.length);
    yield bytes;
  }
  if (checksum && needed(await input.word()) !== checksum.digest()) {
    throw new Error('the checksum of the contents is wrong');
  }
  if (contentSize !== undefined && contentSize !== size)
    throw new Error('the frame has not the size it names');
}

/** Frame Format, "Frame Descriptor": FLG, BD, perhaps content size and dictionary id, then a byte of their checksum. */
async function frameDescriptor(input: StreamBytes) {
  const flags = await input.take(2);
  const [flg = 0, bd = 0] = flags;
  const hasContentSize = (flg & 0x08) !== 0;
  const blockSize = BLOCK_SIZES.get(bd >> 4);
  if (flg >> 6 !== 1 || (flg & 0x02) !== 0 || blockSize === undefined || (bd & 0x0f) !== 0) {
    throw new Error('the frame is of a version that is not known');
  }
  if ((flg & 0x01) !== 0) throw new Error('the frame needs a dictionary');
  const sizeField = await input.take(hasContentSize ? 8 : 0);
  const descriptor = new Uint8Array([...flags, ...sizeField]);
  const [checksum] = await input.take(1);
  if (checksum !== ((xxHash32(descriptor) >> 8) & 0xff)) {
    throw new Error('the checksum of the frame descriptor is wrong');
  }
  return {
    isIndependent: (flg & 0x20) !== 0,
    hasBlockChecksum: (flg & 0x10) !== 0,
    hasContentChecksum: (flg & 0x04) !== 0,
    contentSize: hasContentSize ? new DataView(descriptor.buffer).getBigUint64(2, true) : undefined,
    blockSize,
  };
}

/**
 * Blocks of 8 MiB up to the end, or up to another magic number.
 * @returns that number
 */
async function* legacyFrame(input: StreamBytes): AsyncGenerator<Uint8Array, number | undefined> {
  const output = new Window(LEGACY_BLOCK);
  let size = 0;
  for (;;) {
    const length = await input.word();
    if (length === undefined || isMagic(length)) return length;
    // The kernel's build appends the size of what it packed, modulo 2^32, for loaders that want it.
    if (length === size % 2 ** 32 && (await input.isAtEnd())) return undefined;
    // What does not shrink still needs a length byte for each 255.
    if (length > LEGACY_BLOCK + LEGACY_BLOCK / 255 + 16) throw new Error('a block is larger than it can be');
    output.forget();
    const bytes = output.unpack(await input.take(length));
    size += bytes.length;
    yield bytes;
  }
}

const isMagic = (word: number) =>
  word === FRAME_MAGIC || word === LEGACY_MAGIC || (word & ~0xf) >>> 0 === SKIPPABLE_MAGIC;

function needed(word: number | undefined): number {
  if (word === undefined) throw new Error('the data ends early');
  return word;
}

/** What was unpacked last, as far back as matches reach, and room for one more block. */
class Window {
  readonly #bytes: Uint8Array;
  /** Where the next block goes; before it is what it may refer to. */
  #start = 0;
  #end = 0;

  constructor(blockSize: number) {
    this.#bytes = new Uint8Array(WINDOW + blockSize);
  }

  /** The next block refers to nothing before itself. */
  forget(): void {
    this.#start = 0;
    this.#end = 0;
  }

  /** Appends bytes as they are. */
  store(block: Uint8Array): Uint8Array {
    this.#slide();
    this.#bytes.set(block, this.#start);
    this.#end = this.#start + block.length;
    return this.#bytes.slice(this.#start, this.#end);
  }

  /** Appends what a block unpacks to. */
  unpack(block: Uint8Array): Uint8Array {
    this.#slide();
    this.#end = unpackBlock(block, this.#bytes, this.#start);
    return this.#bytes.slice(this.#start, this.#end);
  }

  /** Moves the last 64 KiB to the front. */
  #slide(): void {
    const keep = Math.min(this.#end, WINDOW);
    this.#bytes.copyWithin(0, this.#end - keep, this.#end);
    this.#start = keep;
  }
}

/**
 * Block Format: sequences of a token, literals, and a match, but for the last sequence, which has no match.
 * @param start where the output goes in `output`; matches reach to its first byte
 * @returns the end of the output
 */
function unpackBlock(block: Uint8Array, output: Uint8Array, start: number): number {
  const { length } = block;
  let from = 0;
  let to = start;
  /** A length of four bits or, when all of them are set, of the bytes that follow too. */
  const lengthOf = (bits: number): number => {
    if (bits !== 15) return bits;
    let sum = bits;
    let byte: number | undefined;
    do {
      byte = block[from++];
      sum += byte ?? 0;
    } while (byte === 255);
    return sum;
  };
  while (from < length) {
    const token = block[from++] ?? 0;

    const literals = lengthOf(token >> 4);
    if (from + literals > length || to + literals > output.length) throw malformed();
    if (literals < SHORT) {
      for (let i = 0; i < literals; i++) output[to + i] = block[from + i] ?? 0;
    } else {
      output.set(block.subarray(from, from + literals), to);
    }
    from += literals;
    to += literals;
    if (from === length) return to;

    const distance = (block[from] ?? 0) | ((block[from + 1] ?? 0) << 8);
    from += 2;
    const match = lengthOf(token & 15) + MINIMUM_MATCH;
    const end = to + match;
    if (from > length || distance === 0 || distance > to || end > output.length) throw malformed();
    if (distance >= match && match >= SHORT) {
      output.copyWithin(to, to - distance, to - distance + match);
      to = end;
    } else {
      // A match may reach into itself: then it repeats what it has just written.
      for (; to < end; to++) output[to] = output[to - distance] ?? 0;
    }
  }
  // The last sequence has no match, so the block ends inside one.
  throw malformed();
}

const malformed = () => new Error('a block is damaged');

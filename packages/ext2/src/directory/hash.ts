// The kernel's fs/ext4/hash.c in words: a name, stretched to blocks of 32 bytes, goes through half of MD4.

const K2 = 0x5a82_7999;
const K3 = 0x6ed9_eba1;
const INITIAL = Uint32Array.of(0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476);
/** The largest hash stands for the end of a directory. */
const END_OF_DIRECTORY = 0xffff_fffe;
const BLOCK_WORDS = 8;

/** Which words of a block each step of the three rounds takes, and by how much it rotates. */
const ROUNDS = [
  { words: [0, 1, 2, 3, 4, 5, 6, 7], shifts: [3, 7, 11, 19], constant: 0 },
  { words: [1, 3, 5, 7, 0, 2, 4, 6], shifts: [3, 5, 9, 13], constant: K2 },
  { words: [3, 7, 2, 6, 1, 5, 0, 4], shifts: [3, 9, 11, 15], constant: K3 },
] as const;

const MIX = [
  (x: number, y: number, z: number) => z ^ (x & (y ^ z)),
  (x: number, y: number, z: number) => ((x & y) + ((x ^ y) & z)) | 0,
  (x: number, y: number, z: number) => x ^ y ^ z,
] as const;

/** Hashes names as a file system with the seed of its superblock does (`half_md4`, signed characters). */
export class NameHasher {
  readonly #seed: Uint32Array;
  readonly #state = new Uint32Array(4);
  readonly #words = new Uint32Array(BLOCK_WORDS);

  /** @param seed s_hash_seed, 16 bytes; all zero stands for MD4's own */
  constructor(seed: Uint8Array) {
    const view = new DataView(seed.buffer, seed.byteOffset, seed.byteLength);
    const words = Uint32Array.from({ length: 4 }, (_, i) => view.getUint32(i * 4, true));
    this.#seed = words.every((word) => word === 0) ? INITIAL : words;
  }

  /** The order of a name in its directory: hash and minor hash, 32 bits each; the hash is even. */
  hash(name: Uint8Array): { readonly major: number; readonly minor: number } {
    this.#state.set(this.#seed);
    for (let at = 0; at < name.length; at += 4 * BLOCK_WORDS) {
      fillWords(this.#words, name, at);
      transform(this.#state, this.#words);
    }
    const major = ((this.#state[1] ?? 0) & ~1) >>> 0;
    return {
      major: major === END_OF_DIRECTORY ? END_OF_DIRECTORY - 2 : major,
      minor: this.#state[2] ?? 0,
    };
  }
}

/** Packs the name from `start` on, big end first; what is missing is made of the length of the rest. */
function fillWords(words: Uint32Array, name: Uint8Array, start: number): void {
  const left = name.length - start;
  const pad = (left & 0xff) * 0x0101_0101;
  for (let word = 0; word < BLOCK_WORDS; word++) {
    let value = pad;
    const end = Math.min(start + 4 * word + 4, name.length);
    for (let at = start + 4 * word; at < end; at++) {
      const byte = name[at] ?? 0;
      value = (value << 8) + (byte < 0x80 ? byte : byte - 0x100);
    }
    words[word] = value;
  }
}

function transform(state: Uint32Array, words: Uint32Array): void {
  let [a = 0, b = 0, c = 0, d = 0] = state;
  ROUNDS.forEach((round, index) => {
    const mix = MIX[index] ?? MIX[0];
    for (let step = 0; step < BLOCK_WORDS; step++) {
      const shift = round.shifts[step & 3] ?? 0;
      const sum = (a + mix(b, c, d) + (words[round.words[step] ?? 0] ?? 0) + round.constant) | 0;
      a = d;
      d = c;
      c = b;
      b = (sum << shift) | (sum >>> (32 - shift));
    }
  });
  state[0] = (state[0] ?? 0) + a;
  state[1] = (state[1] ?? 0) + b;
  state[2] = (state[2] ?? 0) + c;
  state[3] = (state[3] ?? 0) + d;
}

/** Random numbers that a seed repeats (xorshift32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** A whole number from 0 to `limit`, without it. */
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % Math.max(1, limit);
  }

  pick<T>(values: readonly T[]): T {
    // Every list that is passed has something in it.
    return values[this.below(values.length)] as T;
  }
}

/** Values at which code that counts goes wrong. */
export const INTERESTING: readonly bigint[] = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x1ffn,
  0x200n,
  0x1000n,
  0x7fffn,
  0xffffn,
  0x10000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x8000_0000_0000_0000n,
  0x8000_0000_0000_0200n,
  0x8000_0000_0001_0000n,
  0x4000_0000_0000_0000n,
  0x00ff_ffff_ffff_fe00n,
  0x1f_ffff_ffff_ffffn,
  0x20_0000_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0xffff_ffff_ffff_ffffn,
];
/** Bytes. QEMU's smallest VMDK image has 128 KiB. */
const MAX_LENGTH = 144 * 1024;
const HEADER = 256;

/** An input like `input` with something wrong, or something of `other` in it. */
export function mutate(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes: Uint8Array = input.slice(0, MAX_LENGTH);
  const times = 1 + random.below(random.below(2) === 0 ? 2 : 6);
  for (let i = 0; i < times; i++) bytes = once(bytes, other, random);
  return bytes;
}

function once(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const { length } = bytes;
  if (length < 16) return other.slice(0, MAX_LENGTH);
  const at = random.below(random.below(2) === 0 ? Math.min(length, HEADER) : length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  switch (random.below(10)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return bytes;
    case 1:
      bytes[at] = random.below(256);
      return bytes;
    case 2:
    case 3:
    case 4:
      setNumber(view, at, random.pick(INTERESTING), random);
      return bytes;
    case 5: {
      // A little more or less than what is there.
      const aligned = Math.min(at - (at % 8), length - 8);
      const step = BigInt(random.pick([1, -1, 8, 512, -512, 4096]));
      view.setBigUint64(aligned, BigInt.asUintN(64, view.getBigUint64(aligned) + step));
      return bytes;
    }
    case 6:
      setNumber(view, at, BigInt(random.below(length)), random);
      return bytes;
    case 7: {
      // What stands elsewhere.
      const size = 1 + random.below(64);
      const from = random.below(length - Math.min(size, length - 1));
      bytes.copyWithin(at, from, from + size);
      return bytes;
    }
    case 8: {
      const size = Math.min(1 + random.below(600), other.length);
      const from = random.below(other.length - size + 1);
      bytes.set(other.subarray(from, from + Math.min(size, length - at)), at);
      return bytes;
    }
    default:
      return resized(bytes, at, random);
  }
}

function setNumber(view: DataView, at: number, value: bigint, random: Random): void {
  const width = random.pick([2, 4, 8]);
  const aligned = random.below(4) === 0 ? at : at - (at % width);
  const place = Math.min(aligned, view.byteLength - width);
  const isLittle = random.below(2) === 0;
  if (width === 2) view.setUint16(place, Number(value & 0xffffn), isLittle);
  else if (width === 4) view.setUint32(place, Number(value & 0xffff_ffffn), isLittle);
  else view.setBigUint64(place, value, isLittle);
}

function resized(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const size = random.pick([1, 4, 12, 512, 4096]);
  if (random.below(2) === 0) return bytes.slice(0, at + 1);
  if (random.below(2) === 0 || bytes.length + size > MAX_LENGTH) {
    return new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)]));
  }
  const longer = new Uint8Array(bytes.length + size);
  longer.set(bytes.subarray(0, at));
  longer.set(bytes.subarray(at), at + size);
  return longer;
}

// xxHash, 32 bits, as LZ4 frames check themselves with it: xxHash specification 0.1.1, XXH32.

const PRIME1 = 0x9e37_79b1;
const PRIME2 = 0x85eb_ca77;
const PRIME3 = 0xc2b2_ae3d;
const PRIME4 = 0x27d4_eb2f;
const PRIME5 = 0x1656_67b1;
const STRIPE = 16;

const { imul } = Math;
const rotate = (value: number, by: number) => (value << by) | (value >>> (32 - by));
const round = (lane: number, input: number) => imul(rotate((lane + imul(input, PRIME2)) | 0, 13), PRIME1) | 0;

/** XXH32 with seed 0, of bytes that come in pieces. */
export class XxHash32 {
  readonly #rest = new Uint8Array(STRIPE);
  #restLength = 0;
  #length = 0;
  #lanes: [number, number, number, number] = [(PRIME1 + PRIME2) | 0, PRIME2 | 0, 0, -PRIME1 | 0];

  update(bytes: Uint8Array): this {
    this.#length += bytes.length;
    let from = 0;
    if (this.#restLength > 0) {
      from = Math.min(STRIPE - this.#restLength, bytes.length);
      this.#rest.set(bytes.subarray(0, from), this.#restLength);
      this.#restLength += from;
      if (this.#restLength < STRIPE) return this;
      this.#stripes(this.#rest, 0, 1);
    }
    const stripes = Math.floor((bytes.length - from) / STRIPE);
    this.#stripes(bytes, from, stripes);
    const rest = bytes.subarray(from + stripes * STRIPE);
    this.#rest.set(rest);
    this.#restLength = rest.length;
    return this;
  }

  /** Unsigned. */
  digest(): number {
    const [a, b, c, d] = this.#lanes;
    let hash = this.#length >= STRIPE ? rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18) : PRIME5;
    hash = (hash + this.#length) | 0;
    const view = new DataView(this.#rest.buffer);
    let at = 0;
    for (; at + 4 <= this.#restLength; at += 4) {
      hash = imul(rotate((hash + imul(view.getUint32(at, true), PRIME3)) | 0, 17), PRIME4);
    }
    for (; at < this.#restLength; at++) {
      hash = imul(rotate((hash + imul(view.getUint8(at), PRIME5)) | 0, 11), PRIME1);
    }
    hash = imul(hash ^ (hash >>> 15), PRIME2);
    hash = imul(hash ^ (hash >>> 13), PRIME3);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  #stripes(bytes: Uint8Array, offset: number, count: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let [a, b, c, d] = this.#lanes;
    for (let at = offset; at < offset + count * STRIPE; at += STRIPE) {
      a = round(a, view.getUint32(at, true));
      b = round(b, view.getUint32(at + 4, true));
      c = round(c, view.getUint32(at + 8, true));
      d = round(d, view.getUint32(at + 12, true));
    }
    this.#lanes = [a, b, c, d];
  }
}

/** XXH32 of bytes that are all there. */
export const xxHash32 = (bytes: Uint8Array) => new XxHash32().update(bytes).digest();

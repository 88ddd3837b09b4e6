import { DETECTION_LENGTH, formatOfStart } from './detect.ts';
import { checkRange, checkWritable } from './disk.ts';
import { DiskError } from './errors.ts';
import { RawDisk } from './raw.ts';
import { gather, SegmentList, type Segments, toSegments } from './segments.ts';
import type { Storage } from './storage/storage.ts';

/**
 * A raw image of which nobody said that it is raw: its bytes only look like no other format. A guest that wrote the start
 * of, say, a qcow2 image to it, with a backing file of its choice, would read that file when the image is opened the next
 * time. So such a write is refused, as QEMU does. Zeroes and discards need no look: no format starts with a zero, nor has
 * one in what it is known by.
 */
export class ProbedRawDisk extends RawDisk {
  readonly #name: string;
  /** The write that looks at the start now: two at once could each look harmless. */
  #turn: Promise<void> = Promise.resolve();

  /** Takes over `storage`. */
  constructor(storage: Storage) {
    super(storage);
    this.#name = storage.name;
  }

  /** @throws DiskError FORMAT_UNKNOWN */
  override write(position: number, source: Uint8Array | Segments): Promise<void> {
    if (position >= DETECTION_LENGTH) return super.write(position, source);
    const segments = toSegments(source);
    const turn = this.#turn.then(() => this.#writeStart(position, segments));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #writeStart(position: number, segments: Segments): Promise<void> {
    checkRange(this, position, segments.byteLength);
    checkWritable(this);
    const start = new Uint8Array(DETECTION_LENGTH);
    await super.read(0, start.subarray(0, this.size));
    const end = Math.min(DETECTION_LENGTH, position + segments.byteLength);
    // What is looked at is what is written: a guest can change its own buffers in between.
    const checked = start.subarray(position, end);
    gather(segments, 0, checked);
    const format = formatOfStart(start);
    if (format !== undefined) {
      throw new DiskError(
        'FORMAT_UNKNOWN',
        `${this.#name} was opened without saying that it is raw, and these bytes at its start would make a ${format} image of it: give the format 'raw' to allow them.`,
      );
    }
    await super.write(position, checked);
    const left = segments.byteLength - checked.length;
    if (left > 0) await super.write(end, new SegmentList().setSlice(segments, checked.length, left));
  }
}

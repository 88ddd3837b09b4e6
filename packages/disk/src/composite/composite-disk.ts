import { checkRange, checkWritable, type Disk, type Extent, type WriteZeroesOptions } from '../disk.ts';
import { DiskError } from '../errors.ts';
import { findStart } from '../formats/read-only-disk.ts';
import type { OpenContext } from '../open.ts';
import { SegmentList, type Segments, sliceSegments, toSegments, zeroSegments } from '../segments.ts';
import type { Storage } from '../storage/storage.ts';
import { type CompositeSpecification, parseSpecification } from './specification.ts';

const MAX_SPECIFICATION = 2 ** 20;

/** A disk put together from images of any format. */
export class CompositeDisk implements Disk {
  readonly format = 'composite';
  readonly blockSize = 512;
  readonly size: number;
  readonly readOnly: boolean;
  readonly specification: CompositeSpecification;
  readonly #storage: Storage;
  readonly #parts: readonly Disk[];
  readonly #starts: readonly number[];
  /** Parts that were written since the last flush. */
  readonly #changed = new Set<Disk>();
  #isOpen = true;

  private constructor(storage: Storage, specification: CompositeSpecification, parts: readonly Disk[]) {
    this.#storage = storage;
    this.specification = specification;
    this.#parts = parts;
    this.#starts = specification.components.map(({ offset }) => offset);
    this.size = specification.length;
    this.readOnly = storage.readOnly;
  }

  /** Opens the parts too, the writable ones for writing if `storage` is. */
  static async open(storage: Storage, context: OpenContext): Promise<CompositeDisk> {
    const bytes = new Uint8Array(Math.min(storage.size, MAX_SPECIFICATION));
    await storage.read(0, SegmentList.of(bytes));
    const specification = parseSpecification(bytes, storage.name);
    await using opened = new AsyncDisposableStack();
    const parts: Disk[] = [];
    for (const { path, writable } of specification.components) {
      const part = await context.openImage(path, { writable: writable && !storage.readOnly });
      parts.push(opened.use(part));
    }
    opened.move();
    return new CompositeDisk(storage, specification, parts);
  }

  async read(position: number, target: Uint8Array | Segments): Promise<void> {
    const segments = toSegments(target);
    this.#check(position, segments.byteLength);
    const scratch = new SegmentList();
    await this.#visit(position, segments.byteLength, async (part, at, done, length) => {
      const inside = part ? Math.max(0, Math.min(length, part.size - at)) : 0;
      if (part && inside > 0) await part.read(at, sliceSegments(segments, done, inside, scratch));
      zeroSegments(segments, done + inside, length - inside);
    });
  }

  async write(position: number, source: Uint8Array | Segments): Promise<void> {
    const segments = toSegments(source);
    const scratch = new SegmentList();
    await this.#change(position, segments.byteLength, (part, at, done, length) =>
      part.write(at, sliceSegments(segments, done, length, scratch)),
    );
  }

  async discard(position: number, length: number): Promise<void> {
    await this.#change(position, length, (part, at, _, size) => part.discard(at, size));
  }

  async writeZeroes(position: number, length: number, options?: WriteZeroesOptions): Promise<void> {
    await this.#change(position, length, (part, at, _, size) => part.writeZeroes(at, size, options));
  }

  async flush(): Promise<void> {
    this.#check(0, 0);
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const part of changed) await part.flush();
  }

  async resize(): Promise<void> {
    this.#check(0, 0);
    checkWritable(this);
    throw new DiskError('UNSUPPORTED', 'The size of a composite disk is that of its parts: create it anew.');
  }

  async extentAt(position: number): Promise<Extent> {
    this.#check(position, 1);
    const index = findStart(this.#starts, position);
    const start = this.#starts[index] ?? 0;
    const end = this.#starts[index + 1] ?? this.size;
    const part = this.#parts[index];
    if (position < start) return { kind: 'unallocated', length: start - position, depth: 0 };
    if (!part || position - start >= part.size) {
      return { kind: 'unallocated', length: end - position, depth: 0 };
    }
    const { offset: _, ...extent } = await part.extentAt(position - start);
    return { ...extent, length: Math.min(extent.length, end - position), depth: extent.depth + 1 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await using closing = new AsyncDisposableStack();
    closing.use(this.#storage);
    for (const part of this.#parts) closing.use(part);
  }

  #check(position: number, length: number): void {
    if (!this.#isOpen) throw new DiskError('CLOSED', `${this.#storage.name} was closed.`);
    checkRange(this, position, length);
  }

  /** Calls back for each part that a range touches: with the position in the part and what lies before in the range. */
  async #visit(
    position: number,
    length: number,
    visit: (part: Disk | undefined, at: number, done: number, length: number) => Promise<void>,
  ): Promise<void> {
    for (let done = 0; done < length; ) {
      const at = position + done;
      const index = findStart(this.#starts, at);
      const start = this.#starts[index] ?? 0;
      const isBefore = at < start;
      const end = isBefore ? start : (this.#starts[index + 1] ?? this.size);
      const size = Math.min(length - done, end - at);
      await visit(isBefore ? undefined : this.#parts[index], at - start, done, size);
      done += size;
    }
  }

  /** Changes a range if all of it lies in writable parts. */
  async #change(
    position: number,
    length: number,
    change: (part: Disk, at: number, done: number, length: number) => Promise<void>,
  ): Promise<void> {
    this.#check(position, length);
    checkWritable(this);
    await this.#visit(position, length, async (part, at, done, size) => {
      if (!part || part.readOnly || at + size > part.size) {
        throw new DiskError(
          'READ_ONLY',
          `${this.#storage.name}: what lies at ${position + done} belongs to no writable part.`,
        );
      }
    });
    await this.#visit(position, length, async (part, at, done, size) => {
      if (!part) return;
      this.#changed.add(part);
      await change(part, at, done, size);
    });
  }
}

import { KernelImageError } from './errors.ts';

/** Bytes that can be read from anywhere: an open file, a blob, an array. */
export interface ByteSource {
  /** Bytes in all. */
  readonly size: number;
  /** Fills the start of `into` with the bytes at `offset`, and says how many; 0 only at the end. */
  read(offset: number, into: Uint8Array): number | Promise<number>;
}

/** The bytes of arrays, one after the other. */
export function bytesSource(...chunks: readonly Uint8Array[]): ByteSource {
  const starts: number[] = [];
  let size = 0;
  for (const chunk of chunks) {
    starts.push(size);
    size += chunk.length;
  }
  // Reads go from front to back, so the chunk of the last one is nearly always the right one again.
  let current = 0;
  const startOf = (index: number) => starts[index] ?? size;
  return {
    size,
    read(offset, into) {
      if (offset < startOf(current)) current = 0;
      while (current < chunks.length && offset >= startOf(current + 1)) current++;
      const within = offset - startOf(current);
      const part = chunks[current]?.subarray(within, within + into.length) ?? into.subarray(0, 0);
      into.set(part);
      return part.length;
    },
  };
}

/** `length` bytes of `source` from `start` on. */
export function sliceSource(source: ByteSource, start: number, length: number): ByteSource {
  return {
    size: length,
    read: (offset, into) => source.read(start + offset, into.subarray(0, Math.max(0, length - offset))),
  };
}

/**
 * Fills the whole of `into`.
 * @throws KernelImageError TRUNCATED when the source ends before
 */
export async function readFully(source: ByteSource, offset: number, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const count = await source.read(offset + done, into.subarray(done));
    if (count <= 0) throw truncated(offset + into.length, offset + done);
    done += count;
  }
}

export function truncated(needed: number, size: number): KernelImageError {
  const message = `The kernel goes on to byte ${needed}, but the file has ${size}: part of it is missing, get it again.`;
  return new KernelImageError('TRUNCATED', message);
}

/** The source from its start to its end, in pieces of up to `pieceSize` bytes; a piece is valid until the next. */
export async function* pieces(source: ByteSource, start = 0, length = source.size, pieceSize = 1 << 20) {
  const buffer = new Uint8Array(Math.min(pieceSize, length));
  for (let done = 0; done < length; ) {
    const piece = buffer.subarray(0, Math.min(buffer.length, length - done));
    await readFully(source, start + done, piece);
    yield { offset: done, bytes: piece };
    done += piece.length;
  }
}

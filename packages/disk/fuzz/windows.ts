import { seal } from '../test/support/microsoft.ts';

/** A part of an image that says where everything is. */
export interface Window {
  /** Bytes from the start of the image, or, when it is negative, from its end. */
  readonly position: number;
  readonly length: number;
}

/** An image that is zero but for some pieces. */
export interface SparseImage {
  readonly length: number;
  readonly pieces: readonly { readonly position: number; readonly bytes: Uint8Array }[];
}

/** Images of 6 MiB hide what matters from mutations, and checksums keep them out: of all of it, only windows are fuzzed. */
const IMAGE_LENGTH = 6 * 2 ** 20;
/** Where checksums are made right; zero outside of the windows that are being used. */
const scratch = Buffer.alloc(IMAGE_LENGTH);

/** The windows of an image, one after the other. */
export function pack(image: Uint8Array, windows: readonly Window[]): Uint8Array {
  return Buffer.concat(windows.map((window) => part(image, window)));
}

/** An image with these windows, of which some may be missing, zeroes between them, and checksums that are right. */
export function unpack(packed: Uint8Array, windows: readonly Window[]): SparseImage {
  let at = 0;
  for (const window of windows) {
    const target = part(scratch, window);
    const bytes = packed.subarray(at, at + window.length);
    target.set(bytes);
    target.fill(0, bytes.length);
    at += window.length;
  }
  seal(scratch);
  const pieces = windows.map((window) => ({
    position: startOf(scratch, window),
    bytes: Uint8Array.from(part(scratch, window)),
  }));
  for (const window of windows) part(scratch, window).fill(0);
  return { length: IMAGE_LENGTH, pieces };
}

function part(image: Uint8Array, window: Window): Uint8Array {
  const start = startOf(image, window);
  return image.subarray(start, start + window.length);
}

function startOf(image: Uint8Array, { position }: Window): number {
  return position < 0 ? image.length + position : position;
}

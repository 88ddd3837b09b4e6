import { seal } from '../test/support/microsoft.ts';

/** A part of an image that says where everything is. */
export interface Window {
  /** Bytes from the start of the image, or, when it is negative, from its end. */
  readonly position: number;
  readonly length: number;
}

/** Images of 6 MiB hide what matters from mutations, and checksums keep them out: of all of it, only windows are fuzzed. */
const IMAGE_LENGTH = 6 * 2 ** 20;

/** The windows of an image, one after the other. */
export function pack(image: Uint8Array, windows: readonly Window[]): Uint8Array {
  return Buffer.concat(windows.map((window) => part(image, window)));
}

/** An image with these windows, of which some may be missing, zeroes between them, and checksums that are right. */
export function unpack(packed: Uint8Array, windows: readonly Window[]): Uint8Array {
  const image = Buffer.alloc(IMAGE_LENGTH);
  let at = 0;
  for (const window of windows) {
    part(image, window).set(packed.subarray(at, at + window.length));
    at += window.length;
  }
  seal(image);
  return image;
}

function part(image: Uint8Array, { position, length }: Window): Uint8Array {
  const start = position < 0 ? image.length + position : position;
  return image.subarray(start, start + length);
}

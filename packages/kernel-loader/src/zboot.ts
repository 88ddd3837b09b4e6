import { truncated } from './source.ts';

// The kernel's drivers/firmware/efi/libstub/zboot-header.S: "MZ", "zimg" at 4, then little-endian words for where the
// payload is (8) and its size (12), and the name of the compression at 24, ended by a NUL.

const NAME_OFFSET = 24;
const NAME_END = 56;

const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

/** Whether `head` is that of an EFI zboot image: a compressed kernel behind a PE header, the same for every CPU. */
export function isZboot(head: Uint8Array): boolean {
  return head.length >= 64 && text(head.subarray(0, 2)) === 'MZ' && text(head.subarray(4, 8)) === 'zimg';
}

/** Where the compressed kernel is in the image. @throws KernelImageError TRUNCATED when not all of it is there */
export function zbootPayload(head: Uint8Array, fileSize: number) {
  const words = new DataView(head.buffer, head.byteOffset, head.length);
  const offset = words.getUint32(8, true);
  const size = words.getUint32(12, true);
  if (offset + size > fileSize) throw truncated(offset + size, fileSize);
  const [name = ''] = text(head.subarray(NAME_OFFSET, NAME_END)).split('\0');
  // "zstd22" names the level as well.
  const compression = name.startsWith('zstd') ? 'zstd' : name.replace(/[^a-z0-9]/g, '?') || 'nothing known';
  return { offset, size, compression };
}

import { KernelImageError } from './errors.ts';
import { checkRange, copyToGuest, type KernelMemory } from './memory.ts';
import type { Architecture, LoadedKernel, LoadOptions } from './options.ts';
import { executableSize } from './portable-executable.ts';
import { type ByteSource, truncated } from './source.ts';

// Documentation/arch/riscv/boot-image-header.rst and arch/arm64/booting.rst: one header of 64 bytes, little-endian.
// offset  8: text_offset (64 bits)  where the image goes, from a 2 MiB boundary
// offset 16: image_size  (64 bits)  memory it takes from there, more than the file for what starts as zeros
// offset 24: flags       (64 bits)  bit 0: big-endian
// offset 48: magic       (64 bits)  "RISCV", on riscv64 before header version 0.2
// offset 56: magic       (32 bits)  "RSC\x05" or "ARM\x64"

const HEADER_SIZE = 64;
const ALIGNMENT = 2 ** 21;
const MAGICS = new Map<number, Architecture>([
  [0x0543_5352, 'riscv64'],
  [0x644d_5241, 'aarch64'],
]);
/** Where arm64 kernels before 3.17 go: their image_size is zero, and their text_offset in either byte order. */
const ARM64_OLD_TEXT_OFFSET = 0x8_0000;

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** The architecture of the raw Image that begins with `head`, if it is one. */
export function imageArchitecture(head: Uint8Array): Architecture | undefined {
  if (head.length < HEADER_SIZE) return undefined;
  if (String.fromCharCode(...head.subarray(48, 56)) === 'RISCV\0\0\0') return 'riscv64';
  return MAGICS.get(viewOf(head).getUint32(56, true));
}

export async function loadImage(
  source: ByteSource,
  head: Uint8Array,
  memory: KernelMemory,
  { architecture, ramBase }: LoadOptions,
): Promise<Omit<LoadedKernel, 'compression'>> {
  const built = imageArchitecture(head);
  if (built !== architecture) {
    const message = `The kernel is an Image for ${built}; this machine is ${architecture}: give a kernel built for it.`;
    throw new KernelImageError('WRONG_ARCHITECTURE', message);
  }
  if (ramBase % ALIGNMENT !== 0) {
    const message = `Images are placed from a multiple of 2 MiB, which RAM at 0x${ramBase.toString(16)} is not.`;
    throw new KernelImageError('MISALIGNED', message);
  }
  const header = viewOf(head);
  const field = (offset: number) => Number(header.getBigUint64(offset, true));
  const isBigEndian = (header.getUint8(24) & 1) !== 0;
  if (isBigEndian) {
    throw new KernelImageError('WRONG_ARCHITECTURE', 'The kernel is big-endian: give a little-endian one.');
  }
  const imageSize = field(16);
  const fileSize = executableSize(head);
  if (source.size < fileSize) throw truncated(fileSize, source.size);
  const isOld = architecture === 'aarch64' && imageSize === 0;
  const start = ramBase + (isOld ? ARM64_OLD_TEXT_OFFSET : field(8));
  const size = Math.max(imageSize, source.size);
  checkRange(memory, start, size);
  // Linux clears its own memory, but the file of a stripped image may end before the data does.
  await copyToGuest(source, 0, source.size, memory, start);
  memory.fill(start + source.size, size - source.size, 0);
  return { format: 'image', start, end: start + size, entry: start };
}

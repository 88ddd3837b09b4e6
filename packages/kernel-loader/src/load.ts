import { compressionOf, decompress } from './decompress.ts';
import { isElf, loadElf } from './elf.ts';
import { KernelImageError } from './errors.ts';
import { imageArchitecture, loadImage } from './image.ts';
import type { KernelMemory } from './memory.ts';
import type { Architecture, LoadedKernel, LoadOptions } from './options.ts';
import { type ByteSource, readFully, sliceSource } from './source.ts';
import { isZboot, zbootPayload } from './zboot.ts';

/** Enough of the file to recognise every format. */
const HEAD_SIZE = 4096;
/** Packings around a kernel: an EFI zboot image inside a gzip file has two. */
const MAX_LAYERS = 3;

/**
 * Recognises the kernel in `file`, unpacks it if it is compressed, and writes it to `memory`.
 * @throws KernelImageError with what to do in its message; memory may be partly written then
 */
export async function loadKernel(
  file: ByteSource,
  memory: KernelMemory,
  options: LoadOptions,
): Promise<LoadedKernel> {
  const { decompressors = {}, maxUnpackedSize = 512 << 20 } = options;
  const compression: string[] = [];
  let source = file;
  for (;;) {
    const head = new Uint8Array(Math.min(HEAD_SIZE, source.size));
    await readFully(source, 0, head);
    let kind = compressionOf(head);
    if (kind === undefined && isZboot(head)) {
      const payload = zbootPayload(head, source.size);
      source = sliceSource(source, payload.offset, payload.size);
      kind = payload.compression;
    }
    if (kind === undefined) return { ...(await loadPlain(source, head, memory, options)), compression };
    compression.push(kind);
    if (compression.length > MAX_LAYERS) {
      throw new KernelImageError(
        'NOT_A_KERNEL',
        'The file is compressed again and again: give the kernel itself.',
      );
    }
    source = await decompress(source, kind, maxUnpackedSize, decompressors);
  }
}

async function loadPlain(
  source: ByteSource,
  head: Uint8Array,
  memory: KernelMemory,
  options: LoadOptions,
): Promise<Omit<LoadedKernel, 'compression'>> {
  if (isElf(head)) return loadElf(source, head, memory, options);
  if (imageArchitecture(head) !== undefined) return loadImage(source, head, memory, options);
  if (isBzImage(head)) throw bzImage(options.architecture);
  const what = head[0] === 0x4d && head[1] === 0x5a ? 'an EFI program without a kernel header' : 'no kernel';
  throw new KernelImageError(
    'NOT_A_KERNEL',
    `The file is ${what}: give a Linux kernel as ELF (vmlinux), as Image, or as an EFI zboot image (vmlinuz).`,
  );
}

/** Documentation/arch/x86/boot.rst: "HdrS" at 0x202, behind the boot flag. */
function isBzImage(head: Uint8Array): boolean {
  return (
    head[0x1fe] === 0x55 &&
    head[0x1ff] === 0xaa &&
    String.fromCharCode(...head.subarray(0x202, 0x206)) === 'HdrS'
  );
}

function bzImage(architecture: Architecture): KernelImageError {
  if (architecture !== 'x86_64') {
    const message = `The kernel is a bzImage for x86; this machine is ${architecture}: give a kernel built for it.`;
    return new KernelImageError('WRONG_ARCHITECTURE', message);
  }
  const message =
    "x86 kernels load as ELF, not as bzImage: unpack it with the kernel's scripts/extract-vmlinux.";
  return new KernelImageError('UNSUPPORTED_FORMAT', message);
}

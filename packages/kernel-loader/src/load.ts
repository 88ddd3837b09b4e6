import { isBzImage, loadBzImage } from './bzimage.ts';
import { compressionOf, type Decompressors, decompress, decompressHead } from './decompress.ts';
import { elfArchitecture, isElf, loadElf } from './elf.ts';
import { KernelImageError } from './errors.ts';
import { imageArchitecture, loadImage } from './image.ts';
import type { KernelMemory } from './memory.ts';
import { findMultiboot, loadMultiboot, MULTIBOOT_SEARCH, multibootHasAddresses } from './multiboot.ts';
import type { Architecture, LoadedKernel, LoadOptions } from './options.ts';
import { type ByteSource, readFully, sliceSource } from './source.ts';
import { isZboot, zbootPayload } from './zboot.ts';

/** Enough of the file to recognise every format. */
const HEAD_SIZE = MULTIBOOT_SEARCH;
/** Packings around a kernel: an EFI zboot image inside a gzip file has two. */
const MAX_LAYERS = 3;
const DEFAULT_MAX_UNPACKED_SIZE = 512 << 20;
/** From the start of RAM: crosvm's place for bzImages. */
const BZIMAGE_OFFSET = 0x20_0000;

type Unpack = (packed: ByteSource, compression: string) => Promise<ByteSource>;

/**
 * Recognises the kernel in `file`, unpacks it if it is compressed, and writes it to `memory`.
 * @throws KernelImageError with what to do in its message; memory may be partly written then
 */
export async function loadKernel(
  file: ByteSource,
  memory: KernelMemory,
  options: LoadOptions,
): Promise<LoadedKernel> {
  const { decompressors = {}, maxUnpackedSize = DEFAULT_MAX_UNPACKED_SIZE } = options;
  const { source, head, compression } = await unwrap(file, (packed, kind) =>
    decompress(packed, kind, maxUnpackedSize, decompressors),
  );
  return { ...(await loadPlain(source, head, memory, options)), compression };
}

/**
 * The architecture that the kernel in `file` is for. Of a compressed one only the beginning is unpacked.
 * @throws KernelImageError when it is no kernel, or for an architecture that no machine here has
 */
export async function kernelArchitecture(
  file: ByteSource,
  decompressors: Decompressors = {},
): Promise<Architecture> {
  const { head } = await unwrap(file, (packed, kind) =>
    decompressHead(packed, kind, HEAD_SIZE, decompressors),
  );
  if (isElf(head)) return elfArchitecture(head);
  const architecture = imageArchitecture(head);
  if (architecture !== undefined) return architecture;
  if (isBzImage(head) || findMultiboot(head) !== undefined) return 'x86_64';
  throw noKernel(head);
}

/** Takes off what is around a kernel. */
async function unwrap(file: ByteSource, unpack: Unpack) {
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
    if (kind === undefined) return { source, head, compression };
    compression.push(kind);
    if (compression.length > MAX_LAYERS) {
      throw new KernelImageError(
        'NOT_A_KERNEL',
        'The file is compressed again and again: give the kernel itself.',
      );
    }
    source = await unpack(source, kind);
  }
}

async function loadPlain(
  source: ByteSource,
  head: Uint8Array,
  memory: KernelMemory,
  options: LoadOptions,
): Promise<Omit<LoadedKernel, 'compression'>> {
  const multiboot = options.architecture === 'x86_64' ? findMultiboot(head) : undefined;
  if (multiboot !== undefined && multibootHasAddresses(head, multiboot)) {
    return { ...(await loadMultiboot(source, head, multiboot, memory)), isMultiboot: true };
  }
  if (isElf(head)) {
    const loaded = await loadElf(source, head, memory, options);
    return multiboot === undefined ? loaded : { ...loaded, isMultiboot: true };
  }
  if (imageArchitecture(head) !== undefined) return loadImage(source, head, memory, options);
  if (isBzImage(head)) {
    if (options.architecture === 'x86_64') {
      return loadBzImage(source, head, memory, options.ramBase + BZIMAGE_OFFSET);
    }
    const message = `The kernel is a bzImage for x86; this machine is ${options.architecture}: give a kernel built for it.`;
    throw new KernelImageError('WRONG_ARCHITECTURE', message);
  }
  throw noKernel(head);
}

function noKernel(head: Uint8Array): KernelImageError {
  const what = head[0] === 0x4d && head[1] === 0x5a ? 'an EFI program without a kernel header' : 'no kernel';
  return new KernelImageError(
    'NOT_A_KERNEL',
    `The file is ${what}: give a Linux kernel as bzImage or EFI zboot image (vmlinuz), as Image, or as ELF (vmlinux).`,
  );
}

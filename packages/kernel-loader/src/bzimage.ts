import { KernelImageError } from './errors.ts';
import { checkRange, copyToGuest, type KernelMemory } from './memory.ts';
import type { LinuxSetup, LoadedKernel } from './options.ts';
import { type ByteSource, truncated } from './source.ts';

// Documentation/arch/x86/boot.rst: the real-mode part with the setup header at 0x1f1, then the protected-mode kernel.

const SETUP_HEADER = 0x1f1;
/** The fields before `header` (0x202) end with the jump at 0x200, whose target says how long the rest is. */
const JUMP_OFFSET = 0x201;
const JUMP_END = 0x202;
/** Room for the setup header in `boot_params`. */
const SETUP_HEADER_END = 0x290;
const SECTOR_SIZE = 512;
/** For kernels that say 0. */
const DEFAULT_SETUP_SECTORS = 4;
const PARAGRAPH = 16;
/** The first with `cmdline_size`; Linux has it since 2.6.21 (2007). */
const MINIMUM_VERSION = 0x0206;
const VERSION_RELOCATABLE = 0x0205;
const VERSION_PREFERRED_ADDRESS = 0x020a;
const VERSION_XLOADFLAGS = 0x020c;
const LOADED_HIGH = 1;
const XLF_KERNEL_64 = 1 << 0;
const XLF_CAN_BE_LOADED_ABOVE_4G = 1 << 1;
/** Where the 64-bit entry is, from the start of the protected-mode kernel. */
const ENTRY_64_OFFSET = 0x200;
/** Where a kernel runs that cannot be moved. */
const FIXED_ADDRESS = 0x10_0000;

/** "HdrS" at 0x202, behind the boot flag. */
export function isBzImage(head: Uint8Array): boolean {
  return (
    head[0x1fe] === 0x55 &&
    head[0x1ff] === 0xaa &&
    String.fromCharCode(...head.subarray(0x202, 0x206)) === 'HdrS'
  );
}

/** Loads the protected-mode kernel to `address`, or to where it must be if it cannot be moved. */
export async function loadBzImage(
  source: ByteSource,
  head: Uint8Array,
  memory: KernelMemory,
  address: number,
): Promise<Omit<LoadedKernel, 'compression'>> {
  const data = new DataView(head.buffer, head.byteOffset, head.length);
  if (head.length < SETUP_HEADER_END) throw truncated(SETUP_HEADER_END, source.size);
  const version = data.getUint16(0x206, true);
  const loadFlags = data.getUint8(0x211);
  if (version < MINIMUM_VERSION || (loadFlags & LOADED_HIGH) === 0) {
    const shown = `${version >>> 8}.${String(version & 0xff).padStart(2, '0')}`;
    const message = `The kernel has boot protocol ${shown}: 2.06 is the oldest that can be booted, give a newer kernel.`;
    throw new KernelImageError('UNSUPPORTED_FORMAT', message);
  }
  const headerEnd = JUMP_END + data.getUint8(JUMP_OFFSET);
  if (headerEnd > SETUP_HEADER_END || headerEnd < 0x23c) {
    throw malformed(`its setup header ends at 0x${headerEnd.toString(16)}`);
  }
  const has = (since: number, end: number) => version >= since && headerEnd >= end;

  const sectors = data.getUint8(SETUP_HEADER) || DEFAULT_SETUP_SECTORS;
  const offset = (sectors + 1) * SECTOR_SIZE;
  const systemSize = data.getUint32(0x1f4, true) * PARAGRAPH;
  if (systemSize === 0) throw malformed('its protected-mode kernel is empty');
  // Build tools round the size up to paragraphs, and some do not write the last bytes of it.
  if (offset + systemSize > source.size + PARAGRAPH - 1) throw truncated(offset + systemSize, source.size);
  const size = source.size - offset;
  if (size <= ENTRY_64_OFFSET) throw malformed('its protected-mode kernel has no code');

  const isRelocatable = has(VERSION_RELOCATABLE, 0x235) && data.getUint8(0x234) !== 0;
  const alignment = data.getUint32(0x230, true);
  if (isRelocatable && (alignment === 0 || (alignment & (alignment - 1)) !== 0)) {
    throw malformed(`its alignment is 0x${alignment.toString(16)}`);
  }
  const start = isRelocatable ? address : FIXED_ADDRESS;
  const end = has(VERSION_PREFERRED_ADDRESS, 0x264)
    ? Math.max(start + size, runEnd(data, start, isRelocatable ? alignment : 1))
    : start + size;
  checkRange(memory, start, end - start);
  await copyToGuest(source, offset, size, memory, start);

  const xloadflags = has(VERSION_XLOADFLAGS, 0x238) ? data.getUint16(0x236, true) : 0;
  const is64Bit = (xloadflags & XLF_KERNEL_64) !== 0;
  const linux: LinuxSetup = {
    header: head.slice(SETUP_HEADER, headerEnd),
    is64Bit,
    commandLineMaximum: data.getUint32(0x238, true) || 255,
    initrdAddressMaximum:
      (xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) !== 0 ? Number.MAX_SAFE_INTEGER : data.getUint32(0x22c, true),
  };
  return { format: 'bzimage', start, end, entry: is64Bit ? start + ENTRY_64_OFFSET : start, linux };
}

/**
 * Where the memory ends that the kernel takes before it looks at its memory map: `init_size` from the first aligned address
 * at or behind where it is, but not before `pref_address`.
 */
function runEnd(data: DataView, start: number, alignment: number): number {
  const preferred = Number(data.getBigUint64(0x258, true));
  const aligned = Math.ceil(start / alignment) * alignment;
  return Math.max(aligned, preferred) + data.getUint32(0x260, true);
}

const malformed = (what: string) =>
  new KernelImageError('NOT_A_KERNEL', `The bzImage cannot be booted: ${what}. It is damaged, get it again.`);

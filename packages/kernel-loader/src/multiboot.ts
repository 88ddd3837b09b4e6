import { KernelImageError } from './errors.ts';
import { checkRange, copyToGuest, type KernelMemory } from './memory.ts';
import type { LoadedKernel } from './options.ts';
import { type ByteSource, truncated } from './source.ts';

// Multiboot Specification 0.6.96, section 3.1: magic, flags, checksum; with flag 16 the addresses to load at.

const MAGIC = 0x1bad_b002;
/** The header is in the first 8 KiB, 4-byte aligned. */
export const MULTIBOOT_SEARCH = 8192;
const HEADER_SIZE = 12;
const HEADER_WITH_ADDRESSES = 32;
/** Modules page aligned, and a memory map: both are done anyway. */
const PAGE_ALIGN = 1 << 0;
const MEMORY_INFORMATION = 1 << 1;
const ADDRESSES = 1 << 16;
/** Flags that a boot loader has to know. */
const MANDATORY = 0xffff;

/** Where the Multiboot header is in the first {@link MULTIBOOT_SEARCH} bytes of a file; undefined if there is none. */
export function findMultiboot(head: Uint8Array): number | undefined {
  const data = new DataView(head.buffer, head.byteOffset, Math.min(head.length, MULTIBOOT_SEARCH));
  for (let at = 0; at + HEADER_SIZE <= data.byteLength; at += 4) {
    if (data.getUint32(at, true) !== MAGIC) continue;
    const sum = MAGIC + data.getUint32(at + 4, true) + data.getUint32(at + 8, true);
    if (sum % 2 ** 32 === 0) return at;
  }
  return undefined;
}

/** Whether the header at `at` says itself where the file is to be loaded: otherwise the file is an ELF file as well. */
export function multibootHasAddresses(head: Uint8Array, at: number): boolean {
  const data = new DataView(head.buffer, head.byteOffset, head.length);
  const flags = data.getUint32(at + 4, true);
  const unknown = flags & MANDATORY & ~(PAGE_ALIGN | MEMORY_INFORMATION);
  if (unknown !== 0) {
    const message = `The Multiboot kernel needs features that are not here (flags 0x${unknown.toString(16)}), such as a video mode: build it without.`;
    throw new KernelImageError('UNSUPPORTED_FORMAT', message);
  }
  return (flags & ADDRESSES) !== 0;
}

/** Loads a file by the addresses in its Multiboot header. */
export async function loadMultiboot(
  source: ByteSource,
  head: Uint8Array,
  at: number,
  memory: KernelMemory,
): Promise<Omit<LoadedKernel, 'compression'>> {
  if (at + HEADER_WITH_ADDRESSES > head.length) throw truncated(at + HEADER_WITH_ADDRESSES, source.size);
  const data = new DataView(head.buffer, head.byteOffset, head.length);
  const field = (index: number) => data.getUint32(at + HEADER_SIZE + 4 * index, true);
  const [headerAddress, start, loadEnd, bssEnd, entry] = [field(0), field(1), field(2), field(3), field(4)];
  const offset = at - (headerAddress - start);
  if (headerAddress < start || offset < 0) throw malformed('its header is before what is loaded');
  const length = loadEnd === 0 ? source.size - offset : loadEnd - start;
  if (length <= 0) throw malformed('there is nothing to load');
  if (offset + length > source.size) throw truncated(offset + length, source.size);
  const end = Math.max(start + length, bssEnd);
  if (bssEnd !== 0 && bssEnd < start + length) throw malformed('its zeroed memory ends before its data');
  if (entry < start || entry >= end) throw malformed('its entry is outside of what is loaded');
  checkRange(memory, start, end - start);
  await copyToGuest(source, offset, length, memory, start);
  memory.fill(start + length, end - start - length, 0);
  return { format: 'multiboot', start, end, entry };
}

const malformed = (what: string) =>
  new KernelImageError('NOT_A_KERNEL', `The Multiboot kernel cannot be booted: ${what}.`);

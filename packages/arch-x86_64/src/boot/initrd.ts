import { type AddressRange, hex, loadInitrd, MachineError } from '@tsvmm/arch';
import type { ByteSource } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';

const PAGE_SIZE = 4096;

/**
 * Puts an initial RAM disk as high as it may be, out of the way of what the kernel allocates first.
 *
 * @param kernelEnd first address behind the kernel
 * @param highest highest address that its last byte may have
 * @throws MachineError MEMORY_TOO_SMALL, IMAGE_READ
 */
export async function placeInitrd(
  memory: GuestMemory,
  source: ByteSource,
  kernelEnd: number,
  highest: number,
): Promise<AddressRange> {
  for (const { base, size } of memory.regions.toReversed()) {
    const end = Math.min(base + size, highest + 1);
    const start = Math.floor((end - source.size) / PAGE_SIZE) * PAGE_SIZE;
    if (start >= Math.max(base, kernelEnd)) return await loadInitrd(memory, source, start);
  }
  throw new MachineError(
    'MEMORY_TOO_SMALL',
    `the initrd has ${mib(source.size)} MiB, and between the kernel's end (${hex(kernelEnd)}) and ` +
      `${highest < memory.end ? `${hex(highest)}, the highest address this kernel takes,` : 'the end of memory'} ` +
      'there is no room for it: raise --mem, or use a smaller --initrd',
  );
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

import type { ByteSource } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { type AddressRange, hex } from './address-allocator.ts';
import { MachineError } from './errors.ts';

const PIECE = 2 ** 20;

/**
 * Writes an initial RAM disk to guest memory.
 *
 * @returns where it is
 * @throws MachineError MEMORY_TOO_SMALL before anything is written, IMAGE_READ when the source breaks off
 */
export function loadInitrd(memory: GuestMemory, source: ByteSource, address: number): Promise<AddressRange> {
  const advice = 'raise --mem, or use a smaller --initrd';
  return loadWhole(memory, source, address, { name: 'initrd', advice });
}

/**
 * Writes firmware to guest memory, as it is.
 *
 * @returns where it is
 * @throws MachineError MEMORY_TOO_SMALL before anything is written, IMAGE_READ when the source breaks off
 */
export function loadFirmware(
  memory: GuestMemory,
  source: ByteSource,
  address: number,
): Promise<AddressRange> {
  const advice = 'raise --mem, or use a smaller --bios';
  return loadWhole(memory, source, address, { name: 'firmware', advice });
}

async function loadWhole(
  memory: GuestMemory,
  source: ByteSource,
  address: number,
  { name, advice }: { readonly name: string; readonly advice: string },
): Promise<AddressRange> {
  if (!memory.contains(address, source.size)) {
    throw new MachineError(
      'MEMORY_TOO_SMALL',
      `the ${name} has ${mib(source.size)} MiB, and from ${hex(address)} on there are ${mib(Math.max(0, memory.end - address))} MiB of memory: ${advice}`,
    );
  }
  for (let done = 0; done < source.size; ) {
    const piece = memory.bytes(address + done, Math.min(PIECE, source.size - done));
    const count = await source.read(done, piece);
    if (count <= 0) {
      throw new MachineError(
        'IMAGE_READ',
        `the ${name} ended after ${done} of ${source.size} bytes: it was changed while it was read, start again`,
      );
    }
    done += count;
  }
  return { start: address, end: address + source.size };
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
